"""Every finding: a real table that has it, and the same table without its cause."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt import registry
from lakeopt.analysis.checks import manifests, row_groups, small_files
from lakeopt.layout import file_groups
from lakeopt.model.layout_record import (
    ARRIVAL_BYTES,
    ARRIVAL_RECORDS,
    LAYOUT_PROPERTY,
    MEASURED_PROPERTY,
    WRITTEN_BYTES,
    without_cuts,
)
from lakeopt.model.plan import Layout, MeasuredLayout, SortField
from lakeopt.model.serde import to_json
from lakeopt.model.table import Finding
from lakeopt.workflows.inspect import inspect

Build = Callable[[Lake, pytest.MonkeyPatch], Any]
CASES: dict[str, tuple[Build, Build]] = {}

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("part", pa.int32()), ("score", pa.float64())])
TARGET = "write.target-file-size-bytes"


def rows(count: int = 10, *, start: int = 0, part: int = 0, seed: int = 0) -> pa.Table:
    """Rows that do not compress, so that their number says how large the file is."""
    random = np.random.default_rng(seed)
    names = [bytes(text).hex() for text in random.integers(0, 256, (count, 16), np.uint8)]
    ids = np.arange(start, start + count)
    return pa.table([ids, names, np.full(count, part, np.int32), random.random(count)], schema=SCHEMA)


def findings(name: str = "lake.db.t") -> dict[str, Finding]:
    return {finding.code: finding for finding in inspect(name).findings}


def case(code: str) -> Callable[[Callable[[Lake, pytest.MonkeyPatch, bool], Any]], None]:
    """Register a builder that takes whether to make the table sick."""

    def register(build: Callable[[Lake, pytest.MonkeyPatch, bool], Any]) -> None:
        CASES[code] = (lambda lake, patch: build(lake, patch, True), lambda lake, patch: build(lake, patch, False))

    return register


def made(lake: Lake, *files: dict[str, Any], **options: Any) -> Table:
    """A table of hand-made files: each a dict of ``rows`` and options of :meth:`Lake.data_file`."""
    table = lake.create("db.t", SCHEMA, **options)
    return lake.land(table, *[lake.data_file(table, **file) for file in files])


@case("small-files")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, *[{"rows": rows(start=10 * n)} for n in range(6 if sick else 4)])


@case("file-size-skew")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    sizes = [30] * 9 + [3000 if sick else 30]
    made(lake, *[{"rows": rows(size)} for size in sizes], sort=["id"], properties={TARGET: "10000"})


@case("partition-skew")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    files = [{"rows": rows(2000 if sick and n == 0 else 20, part=n), "partition": [n]} for n in range(6)]
    made(lake, *files, partition=[("part", "identity")], properties={TARGET: "10000"})


@case("tiny-partitions")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    files = [{"rows": rows(2, part=n), "partition": [n]} for n in range(100 if sick else 99)]
    made(lake, *files, partition=[("part", "identity")])


@case("delete-files")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    table = made(lake, {"rows": rows()})
    file = next(lake.files(table))
    if sick:
        lake.land(table, lake.position_deletes(table, {file.file_path: [1, 2]}, like=file))


@case("dangling-deletes")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    table = made(lake, {"rows": rows()})
    file = next(lake.files(table))
    target = "file:///gone.parquet" if sick else file.file_path
    lake.land(table, lake.position_deletes(table, {target: [1]}, like=file))


@case("no-sort-order")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows()}, {"rows": rows()}, sort=[] if sick else ["id"])


@case("stale-sort-order")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    files = [{"rows": rows(start=10 * n), "sort_order_id": None if sick and n == 0 else 1} for n in range(4)]
    made(lake, *files, sort=["id"])


@case("badly-clustered")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, *[{"rows": rows(start=0 if sick else 10 * n)} for n in range(3)], sort=["id"])


@case("layout-drift")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    layout = Layout("sort", (SortField("id"),))
    held = MeasuredLayout(
        "p", "2026-11-01T00:00:00+00:00", "storage", layout, {}, 0.5, 0.5, 9, None, (), 10**6, 10**5, 5 * 10**5
    )
    table = lake.create("db.t", SCHEMA, properties={MEASURED_PROPERTY: to_json(held)})
    written = 9 * 10**5 if sick else 5 * 10**5
    words = {ARRIVAL_BYTES: "1000000", ARRIVAL_RECORDS: "100000", WRITTEN_BYTES: str(written)}
    table.append(rows(), snapshot_properties={LAYOUT_PROPERTY: without_cuts(layout), "lakeopt.plan-id": "q", **words})


@case("small-row-groups")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows(1000), "row_group_size": 100 if sick else 1000}, sort=["id"])


@case("large-row-groups")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    patch.setattr(row_groups, "LARGE_BYTES", 20_000)  # a test writes no half gigabyte
    made(lake, {"rows": rows(1000), "row_group_size": 1000 if sick else 100})


@case("weak-codec")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows(), "compression": "snappy" if sick else "zstd"}, sort=["id"])


@case("mixed-codecs")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows(), "compression": "zstd"}, {"rows": rows(), "compression": "brotli" if sick else "zstd"})


@case("missing-bounds")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows()}, properties={"write.metadata.metrics.column.name": "counts" if sick else "truncate(2)"})


@case("no-page-index")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    made(lake, {"rows": rows(100_000), "write_page_index": not sick}, sort=["id"])


@case("mixed-partition-specs")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    table = made(lake, {"rows": rows()})
    with table.update_spec() as update:
        update.add_identity("part")
    if sick:
        table = lake.load("db.t")
        lake.land(table, lake.data_file(table, rows(), partition=[0]))


@case("read-only")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    lake.create("db.t", SCHEMA, properties={"write.format.default": "orc" if sick else "parquet"})


@case("unreadable-files")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    table = made(lake, *[{"rows": rows()} for _ in range(3)])
    if sick:
        first, second, _ = [Path(file.file_path.removeprefix("file://")) for file in lake.files(table)]
        first.unlink()
        second.write_bytes(second.read_bytes()[:-9])


@case("snapshot-growth")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    table = lake.create("db.t", SCHEMA, properties={"history.expire.max-snapshot-age-ms": "1"} if sick else None)
    for _ in range(21):
        table = lake.append(table, rows(1))


@case("manifest-growth")
def _(lake: Lake, patch: pytest.MonkeyPatch, sick: bool) -> None:
    patch.setattr(manifests, "MANY", 5)  # a hundred commits take long
    table = lake.create("db.t", SCHEMA)
    for _ in range(5 if sick else 4):
        table = lake.append(table, rows(1))


@pytest.mark.parametrize("code", CASES)
def test_a_finding_has_its_cause(lake: Lake, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    CASES[code][0](lake, monkeypatch)
    found = findings()[code]
    assert found.message
    assert found.evidence
    if found.fix is not None:
        program, verb, table, *_ = shlex.split(found.fix)
        assert (program, table) == ("lakeopt", "lake.db.t")
        assert verb.replace("-", "_") in lakeopt.__all__


@pytest.mark.parametrize("code", CASES)
def test_no_cause_no_finding(lake: Lake, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    CASES[code][1](lake, monkeypatch)
    assert code not in findings()


def test_every_code_has_a_case() -> None:
    spoken = set()
    for name in registry.names(registry.CHECKS):
        source = Path(registry.load(registry.CHECKS, name).__file__).read_text()
        after = [part.split('"', 2)[1] for part in source.split("Finding(")[1:] if '"' in part]
        spoken |= {word for word in after if word.islower() and " " not in word}
    assert spoken == set(CASES)


def test_small_means_the_same_to_the_check_and_to_the_rewrite() -> None:
    assert small_files.SMALL_SHARE == file_groups.SMALL_SHARE
    assert small_files.MIN_SMALL_FILES == file_groups.MIN_SMALL_FILES


def test_evidence_of_unreadable_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES["unreadable-files"][0](lake, monkeypatch)
    found = findings()["unreadable-files"]
    assert found.severity == "critical"
    assert (found.evidence["unreadable_files"], found.evidence["footers_tried"]) == (2, 3)
    reasons = sorted(found.evidence["files"].values())
    assert "cannot be read" in reasons[0]
    assert "is missing" in reasons[1]


def test_evidence_of_small_files_is_exact(lake: Lake) -> None:
    made(lake, *[{"rows": rows(part=n % 2), "partition": [n % 2]} for n in range(12)], partition=[("part", "identity")])
    found = findings()["small-files"]
    assert found.evidence["small_files"] == found.evidence["data_files"] == 12
    assert (found.evidence["avoidable_files"], found.evidence["partitions"]) == (10, 2)
    assert found.fix == "lakeopt rewrite lake.db.t --strategy bin-pack"


def test_a_table_that_cannot_be_written_gets_no_command_that_writes(lake: Lake) -> None:
    files = [{"rows": rows()} for _ in range(6)]
    made(lake, *files, properties={"write.format.default": "orc"})
    found = findings()
    assert {"read-only", "small-files", "no-sort-order"} <= set(found)
    assert found["small-files"].fix is None
    assert found["no-sort-order"].fix == "lakeopt recommend lake.db.t"


@pytest.mark.parametrize("runs", [4, 5])
def test_sorted_files_are_badly_clustered_where_a_rewrite_would_merge_them(lake: Lake, runs: int) -> None:
    files = [{"rows": rows(20, start=n), "sort_order_id": 1} for n in range(runs)]
    made(lake, *files, sort=["id"], properties={TARGET: "2000"})
    found = findings().get("badly-clustered")
    groups = lakeopt.plan("lake.db.t", strategy="sort", sort_by=[SortField("id")]).groups
    assert (found is not None, len(groups)) == (runs > 4, int(runs > 4))
    if found is not None:
        assert found.evidence["files_at_a_key"] == 5


def test_files_along_a_curve_do_not_lie_as_they_arrived(lake: Lake) -> None:
    """The layout is in the names of the files: what came later is out of it, and no command merges it away."""
    table = made(lake, *[{"rows": rows(20, start=n)} for n in range(3)], properties={TARGET: "10000"})
    layout = {"strategy": "z-order", "sort_by": [SortField("id"), SortField("name")]}
    lakeopt.apply(lakeopt.plan("lake.db.t", **layout))
    assert not {"no-sort-order", "stale-sort-order"} & set(findings())
    for n in range(6):
        table = lake.append(table, rows(start=10 * n))
    found = findings()
    assert {found[code].fix for code in ("stale-sort-order", "small-files")} == {
        "lakeopt rewrite lake.db.t --strategy z-order --sort-by id,name"
    }
    assert "z-order layout (id,name)" in found["stale-sort-order"].message


def test_buckets_are_not_merged_for_being_small(lake: Lake) -> None:
    table = made(lake, {"rows": rows(600)})
    lakeopt.apply(lakeopt.plan("lake.db.t", strategy="pv-buckets", sort_by=[SortField("id")], buckets=6))
    found = findings()
    assert not {"small-files", "no-sort-order"} & set(found)
    lake.append(table, rows())
    fix = findings()["stale-sort-order"].fix
    assert fix is not None
    assert fix.startswith("lakeopt rewrite lake.db.t --strategy pv-buckets --sort-by id,")
    assert fix.endswith(" --buckets 6")


def test_a_remembered_layout_is_mended_with_the_encodings_that_were_measured(lake: Lake) -> None:
    layout = Layout("sort", (SortField("id"),))
    held = MeasuredLayout("p", "2026-11-01T00:00:00+00:00", "balanced", layout, {}, 0.5, 0.5, 9, None, ())
    made(lake, {"rows": rows()}, {"rows": rows()}, sort=["id"], properties={MEASURED_PROPERTY: to_json(held)})
    assert findings()["stale-sort-order"].fix == "lakeopt rewrite lake.db.t --goal balanced"


def test_an_empty_table_has_no_findings(lake: Lake) -> None:
    lake.create("db.t", SCHEMA, sort=["id"], partition=[("part", "identity")])
    assert findings() == {}


#: Findings whose command writes the table anew.
MENDED = [
    "small-files",
    "file-size-skew",
    "stale-sort-order",
    "badly-clustered",
    "weak-codec",
    "small-row-groups",
    "no-page-index",
]


@pytest.mark.slow
@pytest.mark.parametrize("code", MENDED)
def test_the_command_mends_what_was_found(lake: Lake, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    CASES[code][0](lake, monkeypatch)
    fix = findings()[code].fix
    assert fix is not None
    program, *words = shlex.split(fix)
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words, "--yes", "--quiet"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert code not in findings()
