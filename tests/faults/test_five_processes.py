"""Two appenders, two rewrites and a deleter on one table at once: no row is lost, doubled or back from the dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from plain_reader import read_ids
from servers.places import lake_at, marks, new_namespace

SECONDS = 60 if os.environ.get("LAKEOPT_SOAK") else 6
PARTITIONS = 4
WORKERS = (("append", 1), ("append", 2), ("rewrite", 0), ("rewrite", 1), ("delete", 0))

pytestmark = [pytest.mark.fault, pytest.mark.slow]


@pytest.mark.parametrize(
    ("catalog", "store"),
    [
        pytest.param("postgres", "local", marks=marks("postgres", "local")),
        pytest.param("rest", "s3", marks=marks("rest", "s3")),
    ],
)
def test_no_row_is_lost_doubled_or_resurrected(
    catalog: str,
    store: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    lake = lake_at(request, tmp_path / "lake", catalog, store)
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    first = list(range(2_000))
    name = f"{new_namespace()}.t"
    table = lake.create(name, pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for part in (first[1_000:], first[:1_000]):
        lake.append(table, pa.table({"id": part, "p": [i % PARTITIONS for i in part]}))
    script = str(Path(__file__).with_name("five_workers.py"))
    given = [json.dumps(lake.properties), str(lake.root)]
    processes = [
        subprocess.Popen(
            [sys.executable, script, role, str(number), str(SECONDS), name, *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role, number in WORKERS
    ]
    ended = [process.communicate(timeout=SECONDS + 240) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(WORKERS), [errors[-2_000:] for _, errors in ended]
    said = [json.loads(output.splitlines()[-1]) for output, _ in ended]
    appended = [row for worker in said if worker["role"] == "append" for row in worker["done"]]
    deleted = [row for worker in said if worker["role"] == "delete" for row in worker["done"]]
    for (role, number), worker in zip(WORKERS, said, strict=True):
        commits = len(worker["done"]) // (3 if role == "append" else 1)
        record_property(f"{role} {number}", {"commits": commits, "conflicts": worker["failed"]})
        assert commits, f"{role} {number} made no progress"
    table = lake.load(name)
    expected = Counter(first) + Counter(appended)
    expected.subtract(deleted)
    assert Counter(read_ids(table)) == +expected
    replaced = [s for s in table.snapshots() if s.summary is not None and s.summary.operation.value == "replace"]
    assert len(replaced) == sum(len(worker["done"]) for worker in said if worker["role"] == "rewrite")
