"""Random histories of appends, deletes and evolutions: regrouped manifests list the same files in the same words."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hand_rewrite import live_files, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lake import Lake
from manifest_words import says
from pyiceberg.table import Table

from lakeopt.maintenance.rewrite_manifests import shares
from lakeopt.tables.iceberg.commits.manifest_rewrite import regroup
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows.rewrite_manifests import plan_manifests

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3)),
        st.tuples(st.just("append everywhere"), st.just(0)),
        st.tuples(st.just("delete row"), st.integers(0, 1 << 16)),
        st.tuples(st.just("delete position"), st.integers(0, 1 << 16)),
        st.tuples(st.just("delete partition"), st.integers(0, 3)),
        st.tuples(st.just("regroup"), st.sampled_from([300, 2000, 1 << 23])),
        st.tuples(st.just("evolve"), st.just(0)),
    ),
    min_size=2,
    max_size=9,
)


def summaries(table: Table) -> dict[object, tuple[bool, bytes | None, bytes | None]]:
    """What the manifest list says of partitions, over all manifests of one spec and content: nulls, least, greatest."""
    found: dict[object, list[tuple[bool, bytes | None, bytes | None]]] = defaultdict(list)
    for manifest in table.current_snapshot().manifests(table.io):
        live = (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
        for place, part in enumerate(manifest.partitions or () if live else ()):
            key = (int(manifest.content), manifest.partition_spec_id, place)
            found[key].append((part.contains_null, part.lower_bound, part.upper_bound))
    return {
        key: (
            any(null for null, _, _ in some),
            min((low for _, low, _ in some if low is not None), default=None),
            max((high for _, _, high in some if high is not None), default=None),
        )
        for key, some in found.items()
    }


class History:
    """A table with one step after the other."""

    def __init__(self, root: Path, format_version: int) -> None:
        self.lake = Lake(root)
        schema = pa.schema([("id", pa.int64()), ("p", pa.int64())])
        self.lake.create("db.t", schema, partition=[("p", "identity")], format_version=format_version)
        self.next_id = 0

    @property
    def table(self) -> Table:
        return self.lake.load("db.t")

    def append(self, partitions: list[int | None]) -> None:
        ids = range(self.next_id, self.next_id + len(partitions))
        self.next_id += len(partitions)
        rows = pa.table({"id": pa.array(ids, pa.int64()), "p": pa.array(partitions, pa.int64())})
        self.lake.append(self.table, rows)

    def step(self, name: str, pick: int) -> None:
        table = self.table
        match name:
            case "append":
                self.append([pick] * 3)
            case "append everywhere":
                self.append([0, 1, 2, 3, None])
            case "delete row":
                ids = table.scan().to_arrow()["id"].to_pylist()
                table.delete(f"id == {ids[pick % len(ids)] if ids else 0}")
            case "delete partition":
                table.delete(f"p == {pick}")
            case "delete position":
                files = live_files(table)
                if files and table.format_version == 2:
                    file = files[pick % len(files)]
                    self.lake.land(table, self.lake.position_deletes(table, {file.file_path: [0]}, like=file))
            case "evolve":
                if table.spec().spec_id == 0:
                    with table.update_spec() as update:
                        update.add_identity("id")
            case _:
                self.regroup(pick)

    def regroup(self, target: int) -> None:
        table = self.table
        plan = plan_manifests(IcebergTable(table), target_bytes=target)
        if not plan.groups:
            return
        before, rows, bounds, pruned = says(table), rows_of(table), summaries(table), files_by_partition(table)
        done = regroup(IcebergTable(table), plan, shares, lambda number: None)
        table = self.table
        assert table.current_snapshot().snapshot_id == done.snapshot_id
        assert done.manifests_after <= plan.manifests_after  # manifests without live files go as well
        assert says(table) == before
        assert rows_of(table) == rows
        assert files_by_partition(table) == pruned
        for key, (null, low, high) in summaries(table).items():  # deleted entries no longer count
            assert null <= bounds[key][0]
            assert low is None or bounds[key][1] <= low
            assert high is None or high <= bounds[key][2]


def files_by_partition(table: Table) -> dict[int, set[str]]:
    return {p: {task.file.file_path for task in table.scan(f"p == {p}").plan_files()} for p in range(4)}


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(format_version=st.sampled_from([1, 2]), steps=STEPS)
def test_regrouping_changes_no_word(format_version: int, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        history = History(Path(root), format_version)
        for name, pick in [("append", 0), ("append everywhere", 0), *steps, ("regroup", 1 << 23)]:
            history.step(name, pick)
