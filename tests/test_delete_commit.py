"""The replace commit on tables with delete files: which of them leave the table with the data files, and which stay.

A delete file that is taken out too early brings deleted rows back; so each test also counts the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import commit, live_files, metadata_files, plan_for, referenced_files, stage
from lake import Lake
from plain_reader import entries_of, read_ids
from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestContent, ManifestEntryStatus
from pyiceberg.table import Table

from lakeopt.errors import CommitConflict, ProofFailed, StalePlan
from lakeopt.tables.base import Committed
from lakeopt.tables.committer import committer
from lakeopt.tables.iceberg.table import IcebergTable

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

SCHEMA = pa.schema([("id", pa.int64()), ("p", pa.int64())])


@pytest.fixture
def table(lake: Lake) -> Table:
    """Partition 0 holds the ids 0 to 9 and 10 to 19 in two files, partition 1 those from 20 to 39."""
    made = lake.create("db.t", SCHEMA, partition=[("p", "identity")])
    for start in range(0, 40, 10):
        made = lake.append(made, rows(start, 10, start // 20))
    return made


def rows(start: int, count: int, partition: int) -> pa.Table:
    return pa.table({"id": range(start, start + count), "p": [partition] * count}, schema=SCHEMA)


def files_of(table: Table) -> list[DataFile]:
    return sorted(live_files(table), key=lambda file: int.from_bytes(file.lower_bounds[1], "little"))


def deletes_of(table: Table) -> set[str]:
    return {e.data_file.file_path for e in entries_of(table) if e.data_file.content != DataFileContent.DATA}


def rewrite(table: Table, files: Iterable[DataFile], **choices: Any) -> Committed:
    """Rewrite these files by the plan of now."""
    plan = plan_for(table, files=files, **choices)
    return committer("lakeopt").commit(
        IcebergTable(table), plan, stage(table, plan), on_snapshot_id=lambda number: None
    )


def assert_books_are_right(table: Table) -> None:
    """Totals of the summary are what the manifests give; no manifest of ours is left that nothing refers to."""
    summary, entries = table.current_snapshot().summary, entries_of(table)
    by_content = {
        content: [entry.data_file for entry in entries if entry.data_file.content == content]
        for content in DataFileContent
    }
    counts = {content: sum(file.record_count for file in files) for content, files in by_content.items()}
    deletes = by_content[DataFileContent.POSITION_DELETES] + by_content[DataFileContent.EQUALITY_DELETES]
    assert {name: int(summary[name]) for name in summary.additional_properties if name.startswith("total-")} == {
        "total-data-files": len(by_content[DataFileContent.DATA]),
        "total-records": counts[DataFileContent.DATA],
        "total-delete-files": len(deletes),
        "total-position-deletes": counts[DataFileContent.POSITION_DELETES],
        "total-equality-deletes": counts[DataFileContent.EQUALITY_DELETES],
        "total-files-size": sum(entry.data_file.file_size_in_bytes for entry in entries),
    }
    assert metadata_files(table) == referenced_files(table)


def test_a_position_delete_file_leaves_with_its_data_file(lake: Lake, table: Table) -> None:
    first, second, third, _ = files_of(table)
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [3, 4]}, like=first))
    table = lake.land(table, other := lake.position_deletes(table, {third.file_path: [0]}, like=third))
    done = rewrite(table, [first, second])
    table = lake.load("db.t")
    assert done.removed_delete_files_count == 1
    assert deletes_of(table) == {other.file_path}
    summary = table.current_snapshot().summary
    assert (summary["removed-delete-files"], summary["removed-position-delete-files"]) == ("1", "1")
    assert (summary["removed-position-deletes"], summary["deleted-records"]) == ("2", "20")
    assert summary["added-records"] == "18"
    assert read_ids(table) == sorted(set(range(40)) - {3, 4, 20})
    assert read_ids(table) == sorted(table.scan().to_arrow()["id"].to_pylist())
    assert_books_are_right(table)


def test_a_position_delete_file_of_two_data_files_stays_until_both_are_rewritten(lake: Lake, table: Table) -> None:
    first, second, *_ = files_of(table)
    deletes = lake.position_deletes(table, {first.file_path: [3], second.file_path: [4]}, like=first)
    table = lake.land(table, deletes)
    table = lake.append(table, rows(100, 1, 1))
    assert rewrite(table, [first]).removed_delete_files_count == 0
    table = lake.load("db.t")
    assert deletes_of(table) == {deletes.file_path}
    assert read_ids(table) == sorted(set(range(40)) - {3, 14} | {100})
    assert_books_are_right(table)

    assert rewrite(table, [second]).removed_delete_files_count == 1
    table = lake.load("db.t")
    assert deletes_of(table) == set()
    assert read_ids(table) == sorted(set(range(40)) - {3, 14} | {100})
    assert_books_are_right(table)


@pytest.mark.parametrize("bounds", ["none", "cut"])
def test_a_position_delete_file_without_exact_bounds_stays_while_its_partition_has_older_files(
    lake: Lake, table: Table, bounds: str
) -> None:
    first, second, *_ = files_of(table)
    deletes = lake.position_deletes(table, {first.file_path: [3]}, like=first)
    cut = ({2147483546: b"file:///"}, {2147483546: b"file://0"})
    deletes[10], deletes[11] = (None, None) if bounds == "none" else cut
    table = lake.land(table, deletes)
    assert rewrite(table, [first]).removed_delete_files_count == 0
    table = lake.load("db.t")
    assert read_ids(table) == sorted(set(range(40)) - {3})
    younger = lake.append(table, rows(100, 1, 0))
    last = next(file for file in live_files(younger) if file.file_path == second.file_path)
    ours = next(file for file in live_files(younger) if "staged" in file.file_path)
    assert rewrite(younger, [last, ours]).removed_delete_files_count == 1
    assert read_ids(lake.load("db.t")) == sorted(set(range(40)) - {3} | {100})


def test_a_position_delete_file_cannot_name_the_files_that_come(lake: Lake, table: Table) -> None:
    """By its bounds and sequence number it might apply to them; but it is older than their names."""
    first, second, *_ = files_of(table)
    deletes = lake.position_deletes(table, {first.file_path: [3]}, like=first)
    deletes[10] = deletes[11] = None
    table = lake.land(table, deletes)
    assert rewrite(table, [first, second]).removed_delete_files_count == 1
    table = lake.load("db.t")
    assert deletes_of(table) == set()
    assert read_ids(table) == sorted(set(range(40)) - {3})


def test_an_equality_delete_file_leaves_with_the_last_older_file_of_its_partition(lake: Lake, table: Table) -> None:
    first, second, *_ = files_of(table)
    deletes = lake.equality_deletes(table, pa.table({"id": [3, 14, 25]}), like=first)
    table = lake.land(table, deletes)
    table = lake.append(table, rows(3, 1, 0))  # younger than the deletes: it stays visible
    assert rewrite(table, [first]).removed_delete_files_count == 0
    table = lake.load("db.t")
    assert read_ids(table) == sorted(set(range(40)) - {14})
    assert rewrite(table, [second]).removed_delete_files_count == 1
    table = lake.load("db.t")
    assert deletes_of(table) == set()
    summary = table.current_snapshot().summary
    assert (summary["removed-equality-delete-files"], summary["removed-equality-deletes"]) == ("1", "3")
    assert read_ids(table) == sorted(set(range(40)) - {14})
    assert_books_are_right(table)


def test_a_global_equality_delete_file_waits_for_the_older_files_of_all_specs(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), rows(0, 10, 0))
    with table.update_spec() as update:
        update.add_identity("p")
    for start in (10, 20):
        table = lake.append(lake.load("db.t"), rows(start, 10, start // 20))
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": [3, 13, 23]})))
    table = lake.append(table, rows(3, 1, 0))
    expected = sorted(set(range(30)) - {13, 23})
    for number, removed in ((0, 0), (1, 0), (2, 1)):
        files = sorted((f for f in live_files(table) if "staged" not in f.file_path), key=lambda f: f.lower_bounds[1])
        old = [file for file in files if file.record_count == 10]
        spec_id = old[0].spec_id
        assert rewrite(table, old[:1]).removed_delete_files_count == removed, number
        table = lake.load("db.t")
        assert read_ids(table) == expected
        assert spec_id in {file.spec_id for file in live_files(table) if "staged" in file.file_path}
    assert_books_are_right(table)


def test_a_dangling_delete_file_of_any_partition_leaves_with_the_next_rewrite(lake: Lake, table: Table) -> None:
    first, second, third, fourth = files_of(table)
    gone = lake.position_deletes(table, {third.file_path: [0]}, like=third)
    kept = lake.position_deletes(table, {fourth.file_path: [0]}, like=fourth)
    table = lake.land(table, gone, kept)
    table.delete("id >= 20 and id < 30")
    table = lake.load("db.t")
    assert deletes_of(table) == {gone.file_path, kept.file_path}
    assert rewrite(table, [first, second]).removed_delete_files_count == 1
    table = lake.load("db.t")
    assert deletes_of(table) == {kept.file_path}
    assert read_ids(table) == sorted({*range(20), *range(31, 40)})
    assert_books_are_right(table)


def test_entries_that_stay_in_a_delete_manifest_stay_as_they_were(lake: Lake, table: Table) -> None:
    first, second, *_ = files_of(table)
    deletes = [lake.position_deletes(table, {file.file_path: [1]}, like=file) for file in (first, second)]
    table = lake.land(table, *deletes, lake.equality_deletes(table, pa.table({"id": [15]}), like=first))
    before = {entry.data_file.file_path: entry for entry in entries_of(table)}
    done = rewrite(table, [first])
    table = lake.load("db.t")
    manifests = table.current_snapshot().manifests(table.io)
    [manifest] = [m for m in manifests if m.content == ManifestContent.DELETES]
    assert (manifest.existing_files_count, manifest.deleted_files_count, manifest.added_files_count) == (2, 1, 0)
    assert (manifest.existing_rows_count, manifest.deleted_rows_count) == (2, 1)
    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
        old = before[entry.data_file.file_path]
        removed = entry.data_file.file_path == deletes[0].file_path
        assert entry.status == (ManifestEntryStatus.DELETED if removed else ManifestEntryStatus.EXISTING)
        assert entry.snapshot_id == (done.snapshot_id if removed else old.snapshot_id)
        assert (entry.sequence_number, entry.file_sequence_number) == (old.sequence_number, old.file_sequence_number)
        assert [entry.data_file[i] for i in range(len(old.data_file))] == [*old.data_file._data]
    assert read_ids(table) == sorted(set(range(40)) - {1, 11, 15})
    assert_books_are_right(table)


def test_what_lands_meanwhile_decides_again_what_may_leave(lake: Lake, table: Table) -> None:
    """A delete file was to leave; at the last moment another writer's file comes in that it applies to."""
    first, second, *_ = files_of(table)
    deletes = lake.equality_deletes(table, pa.table({"id": [3]}), like=first)
    table = lake.land(table, deletes)
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)

    def another_rewrite(number: int) -> None:
        """As a rewrite does that was planned before the deletes: rows with an older sequence number."""
        ids = rows(3, 1, 0)
        lake.land(lake.load("db.t"), lake.data_file(table, ids, partition=[0]), sequence=1)

    committer("lakeopt").commit(IcebergTable(table), plan, staged, on_snapshot_id=another_rewrite)
    table = lake.load("db.t")
    assert deletes_of(table) == {deletes.file_path}
    assert read_ids(table) == sorted(set(range(40)) - {3})
    assert_books_are_right(table)


def test_delete_files_that_land_during_the_commit_stay(lake: Lake, table: Table) -> None:
    first, second, third, _ = files_of(table)
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [3]}, like=first))
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    landed = lake.position_deletes(table, {third.file_path: [0]}, like=third)

    def land(number: int) -> None:
        lake.land(lake.load("db.t"), landed)

    done = committer("lakeopt").commit(IcebergTable(table), plan, staged, on_snapshot_id=land)
    table = lake.load("db.t")
    assert done.removed_delete_files_count == 1
    assert deletes_of(table) == {landed.file_path}
    assert read_ids(table) == sorted(set(range(40)) - {3, 20})
    assert_books_are_right(table)


def test_an_equality_delete_file_with_an_old_sequence_number_is_a_conflict(lake: Lake, table: Table) -> None:
    """As an engine leaves it that merges delete files: it would not apply to what is written."""
    first, second, *_ = files_of(table)
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    lake.land(table, lake.equality_deletes(table, pa.table({"id": [3]}), like=first), sequence=3)
    with pytest.raises(CommitConflict, match="equality delete file"):
        commit(lake.load("db.t"), plan, staged)


def test_equality_deletes_that_land_meanwhile_apply_to_the_new_files(lake: Lake, table: Table) -> None:
    first, second, *_ = files_of(table)
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": [3]}), like=first))
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    younger = lake.equality_deletes(table, pa.table({"id": [4]}), like=first)
    lake.land(table, younger)
    commit(lake.load("db.t"), plan, staged)
    table = lake.load("db.t")
    assert deletes_of(table) == {younger.file_path}
    assert read_ids(table) == sorted(set(range(40)) - {3, 4})
    assert_books_are_right(table)


def test_a_plan_that_does_not_know_of_a_delete_file_is_stale(lake: Lake, table: Table) -> None:
    import dataclasses

    first, second, *_ = files_of(table)
    deletes = lake.position_deletes(table, {first.file_path: [3]}, like=first)
    table = lake.land(table, deletes)
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    blind = dataclasses.replace(plan, groups=tuple(dataclasses.replace(g, delete_files=()) for g in plan.groups))
    for attempt in (
        lambda: committer("lakeopt").check(IcebergTable(table), blind),
        lambda: commit(table, blind, staged),
    ):
        with pytest.raises(StalePlan, match=f"does not know of the delete file {deletes.file_path}"):
            attempt()
    assert lake.load("db.t").metadata_location == table.metadata_location


def test_deletes_never_make_rows(lake: Lake, table: Table) -> None:
    from hand_rewrite import write_staged

    first, *_ = files_of(table)
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [3]}, like=first))
    with pytest.raises(ProofFailed, match="has 10 rows in the table, but 11 were written"):
        commit(table, plan_for(table, files=[first]), {0: write_staged(table, [rows(0, 11, 0)])})


def test_a_position_delete_file_that_another_engine_merged_meanwhile_is_a_conflict(lake: Lake, table: Table) -> None:
    first, second, *_ = files_of(table)
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [3]}, like=first))
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    lake.land(table, lake.position_deletes(table, {first.file_path: [3]}, like=first))
    with pytest.raises(CommitConflict, match="position delete file"):
        commit(lake.load("db.t"), plan, staged)


def test_over_all_attempts_a_manifest_is_read_a_few_times_at_most(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that reads all that came since the base outlasts the next commit of a busy writer."""
    first, second, *_ = files_of(table)
    plan = plan_for(table, files=[first, second])
    staged = stage(table, plan)
    lands = iter(range(8))
    opened: Counter[str] = Counter()
    new_input = PyArrowFileIO.new_input

    def counting(io: PyArrowFileIO, location: str) -> InputFile:
        opened[location] += location.endswith(".avro") and not Path(location).name.startswith("snap-")
        return new_input(io, location)

    def upsert() -> None:
        if next(lands, None) is not None:
            with monkeypatch.context() as others:
                others.setattr(PyArrowFileIO, "new_input", new_input)
                head = lake.load("db.t")
                lake.land(head, lake.equality_deletes(head, pa.table({"id": [3]}), like=first))

    monkeypatch.setattr(PyArrowFileIO, "new_input", counting)
    committer("lakeopt").commit(
        IcebergTable(table), plan, staged, on_snapshot_id=lambda number: None, before_attempt=upsert
    )
    assert next(lands, None) is None
    assert max(opened.values()) <= 4
    assert read_ids(lake.load("db.t")) == sorted(set(range(40)) - {3})
