"""Random histories, then an expiry and a sweep: every snapshot that is retained reads as it did before."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import rewrite, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake import Lake
from pyiceberg.table import Table

from lakeopt.tables.iceberg.deletion.reachable import reachable_files
from lakeopt.workflows.expire_snapshots import expire_snapshots
from lakeopt.workflows.sweep import sweep

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "overwrite", "delete", "rewrite", "tag", "branch", "roll back", "drop ref", "expire"]
        ),
        st.integers(0, 5),
    ),
    min_size=3,
    max_size=9,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lake]:
    """One lake for all histories, each with a table of its own."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        lake = Lake(Path(folder) / "lake")
        for name, value in lake.environment.items():
            patch.setenv(name, value)
        yield lake


def act(lake: Lake, table: Table, what: str, number: int, step: int) -> None:
    """One step of a history; what the table has no place for is left out."""
    table = lake.load(table.name())
    snapshots = table.snapshots()
    rows = pa.table({"id": range(10 * step, 10 * step + 5), "p": [number % 2] * 5})
    chosen = snapshots[number % len(snapshots)].snapshot_id if snapshots else None
    branches = [name for name, ref in table.refs().items() if ref.snapshot_ref_type.value == "branch"] or ["main"]
    match what:
        case "append":
            table.append(rows, branch=branches[number % len(branches)])
        case "overwrite":
            table.overwrite(rows, overwrite_filter=f"p == {number % 2}")
        case "delete":
            table.delete(f"id == {10 * number + 2}")
        case "rewrite" if table.current_snapshot() and len(table.scan().to_arrow()):
            rewrite(table)
        case "tag" if chosen:
            table.manage_snapshots().create_tag(chosen, f"tag-{step}").commit()
        case "branch" if chosen:
            table.manage_snapshots().create_branch(chosen, f"branch-{step}").commit()
        case "roll back" if (head := table.current_snapshot()) and head.parent_snapshot_id:
            table.manage_snapshots().rollback_to_snapshot(head.parent_snapshot_id).commit()
        case "drop ref":
            _drop_ref(table, number)
        case "expire":
            expire_snapshots(_name(table), older_than="0s", retain_last=number + 1)


def _drop_ref(table: Table, number: int) -> None:
    others = sorted(name for name in table.refs() if name != "main")
    if others:
        name = others[number % len(others)]
        manage: Any = table.manage_snapshots()
        (manage.remove_tag if name.startswith("tag") else manage.remove_branch)(name).commit()


def _name(table: Table) -> str:
    return "lake." + ".".join(table.name())


def _local(location: str) -> str:
    return location.removeprefix("file://")


@pytest.mark.slow
@settings(
    max_examples=200 if os.environ.get("LAKEOPT_SOAK") else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS, st.integers(1, 3))
def test_retained_snapshots_read_as_before(shared: Lake, steps: list[tuple[str, int]], retain_last: int) -> None:
    schema = pa.schema([("id", pa.int64()), ("p", pa.int64())])
    table = shared.create(f"db.t{uuid.uuid4().hex[:12]}", schema, partition=[("p", "identity")])
    table = shared.append(table, pa.table({"id": range(4), "p": [0, 0, 1, 1]}))
    for step, (what, number) in enumerate(steps):
        act(shared, table, what, number, step)
    before = shared.load(table.name())
    rows = {one.snapshot_id: rows_of(before, snapshot_id=one.snapshot_id) for one in before.snapshots()}
    result = expire_snapshots(_name(table), older_than="0s", retain_last=retain_last)
    swept = sweep(_name(table), grace=0, no_concurrent_writers=True)
    after = shared.load(table.name())
    assert {name: ref.snapshot_id for name, ref in after.refs().items()} == {
        name: ref.snapshot_id for name, ref in before.refs().items()
    }
    retained = {one.snapshot_id for one in after.snapshots()}
    assert retained == {int(one.snapshot_id) for one in result.retained}
    assert rows.keys() - retained == set(map(int, result.expired))
    for snapshot_id in retained:
        assert rows_of(after, snapshot_id=snapshot_id) == rows[snapshot_id]
    assert swept.failed == ()
    assert swept.kept == ()
    reached = {_local(path) for part in reachable_files(after) for path in part["file_path"].to_pylist()}
    left = {str(file) for file in Path(_local(after.location())).rglob("*") if file.is_file()}
    assert left <= reached  # whatever was expired is freed, to the last file
