"""``migrate --rewrite`` under kill -9: no half table, the source as it was, and the next run makes it and cleans up."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.kills import Kills
from lake import Lake

pytestmark = pytest.mark.fault

ROUNDS = 40 if os.environ.get("LAKEOPT_SOAK") else 4
DAYS, ROWS = 4, 300


@pytest.fixture
def hive(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    root = tmp_path / "hive" / "events"
    for day in range(DAYS):
        place = root / f"day={day}"
        place.mkdir(parents=True)
        data = pa.table(
            {"id": [ROWS * day + row for row in range(ROWS)], "agent": [str(row % 7) for row in range(ROWS)]}
        )
        pq.write_table(data, place / "part-0.parquet")
    return root


def contents(root: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def ids(lake: Lake, name: str) -> list[int]:
    return sorted(lake.catalog.load_table(name).scan().to_arrow()["id"].to_pylist())


def files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def referenced(lake: Lake, name: str) -> set[str]:
    table = lake.catalog.load_table(name)
    named = {entry["file_path"] for entry in table.inspect.files().to_pylist()}
    for snapshot in table.metadata.snapshots:
        named |= {snapshot.manifest_list, *(m.manifest_path for m in snapshot.manifests(table.io))}
    return {path.removeprefix("file://") for path in (*named, table.metadata_location)}


def test_killed_at_any_instant(lake: Lake, hive: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, tmp_path / "state", wanted=ROUNDS, seed=20261127)
    before, wanted = contents(hive), list(range(DAYS * ROWS))

    def command(name: str) -> list[str]:
        return ["migrate", str(hive), "--to", name, "--rewrite", "--strategy", "bin-pack", "--yes", "--quiet"]

    kills.finish(command("db.first"))
    assert ids(lake, "db.first") == wanted
    for number in kills.rounds():
        name = f"db.t{number}"
        kills.kill(command(name))
        assert contents(hive) == before, f"round {number}"
        if lake.catalog.table_exists(name):
            assert ids(lake, name) == wanted, f"round {number}: a half table"
            continue
        kills.finish(command(name))
        assert ids(lake, name) == wanted, f"round {number}, completed"
        assert files(lake.warehouse / "db" / f"t{number}") == referenced(lake, name), f"round {number}: files were left"
        assert contents(hive) == before
