"""The replace commit on a quiet table: same rows, own spec, true statistics, exact books."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_rewrite import (
    commit,
    live_files,
    metadata_files,
    plan_for,
    referenced_files,
    rewrite,
    rows_of,
    stage,
    write_staged,
)
from lake import Lake, flights
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import META_SCHEMA, AvroFileHeader
from pyiceberg.avro.resolver import construct_writer
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.transforms import BucketTransform, IdentityTransform

from lakeopt.errors import CommitConflict, DataFileError, ProofFailed, Refused, StalePlan, UnknownName, UsageError
from lakeopt.model.plan import RewritePlan
from lakeopt.tables.committer import committer
from lakeopt.tables.iceberg.metadata.avro import MAGIC, read_blocks, read_header
from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.tables.open import open_table

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow


def check(table: Table, plan: RewritePlan) -> None:
    committer("lakeopt").check(IcebergTable(table), plan)


def assert_books_are_right(table: Table) -> None:
    """Totals of the summary are those that the manifests give, and no file of ours is left that nothing refers to."""
    summary = table.current_snapshot().summary
    files = table.inspect.files()
    assert int(summary["total-data-files"]) == len(files)
    assert int(summary["total-records"]) == sum(files["record_count"].to_pylist())
    assert int(summary["total-files-size"]) == sum(files["file_size_in_bytes"].to_pylist())
    assert metadata_files(table) == referenced_files(table)


@pytest.mark.parametrize("format_version", [1, 2])
@pytest.mark.parametrize("partition", [[], [("origin", "identity")], [("origin", "identity"), ("carrier", "identity")]])
def test_rows_stay_and_books_are_right(lake: Lake, format_version: int, partition: list[tuple[str, str]]) -> None:
    table = lake.flights(format_version=format_version, partition=partition)
    before, base = rows_of(table), table.current_snapshot()
    old = live_files(table)

    snapshot_id = rewrite(table, sort=("carrier", "dest"))

    table = lake.load("db.flights")
    head = table.current_snapshot()
    assert head.snapshot_id == snapshot_id
    assert head.parent_snapshot_id == base.snapshot_id
    assert head.summary.operation == Operation.REPLACE
    assert rows_of(table) == before == rows_of(table, snapshot_id=base.snapshot_id)
    assert int(head.summary["deleted-data-files"]) == len(old)
    assert int(head.summary["added-data-files"]) == len(live_files(table)) < len(old)
    assert head.summary["added-records"] == head.summary["deleted-records"] == str(len(before))
    assert {repr(file.partition) for file in live_files(table)} == {repr(file.partition) for file in old}
    assert_books_are_right(table)


@pytest.mark.parametrize("format_version", [1, 2])
def test_other_writers_go_on_afterwards(lake: Lake, format_version: int) -> None:
    table = lake.flights(format_version=format_version, partition=[("origin", "identity")])
    rewrite(table)
    before = rows_of(lake.load("db.flights"))
    table = lake.flights("db.other", days=1)
    table = lake.append(lake.load("db.flights"), table.scan().to_arrow())
    table.delete("carrier == 'UA'")
    assert all("'UA'" not in row for row in rows_of(table))
    assert len(rows_of(table)) > len(before) * 0.8
    rewrite(lake.load("db.flights"))
    assert rows_of(lake.load("db.flights")) == rows_of(table)


def test_plan_and_layout_stand_in_the_summary(lake: Lake) -> None:
    table = lake.flights(days=2)
    plan = plan_for(table, sort=("dest",))
    commit(table, plan, stage(table, plan))
    summary = lake.load("db.flights").current_snapshot().summary
    assert summary["lakeopt.plan-id"] == plan.plan_id
    said = json.loads(summary["lakeopt.layout"])
    assert (said["strategy"], said["version"]) == ("sort", 1)
    assert said["columns"] == [{"name": "dest", "direction": "asc", "nulls": "first"}]
    assert IcebergTable(lake.load("db.flights")).sort_key() == plan.layout.columns


def test_manifests_without_replaced_files_stay_as_they_are(lake: Lake) -> None:
    table = lake.flights(days=4)
    first = live_files(table)[:1]
    kept = {m.manifest_path for m in table.current_snapshot().manifests(table.io)}
    rewrite(table, files=first)
    table = lake.load("db.flights")
    after = {m.manifest_path for m in table.current_snapshot().manifests(table.io)}
    assert len(kept & after) == 3
    assert_books_are_right(table)


def test_entries_keep_their_age(lake: Lake) -> None:
    """Files that stay in a rewritten manifest keep snapshot and sequence numbers; new ones are as old as the base."""
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    files = [lake.data_file(table, pa.table({"id": [n]})) for n in range(3)]
    table = lake.land(table, *files)
    origin = table.current_snapshot()
    table = lake.append(table, pa.table({"id": [9]}))
    base = table.current_snapshot()
    snapshot_id = rewrite(table, files=files[:2])

    table = lake.load("db.t")
    entries = [
        entry
        for manifest in table.current_snapshot().manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    ]
    ages = {
        (e.data_file.file_path, e.status): (e.snapshot_id, e.sequence_number, e.file_sequence_number) for e in entries
    }
    one = (origin.snapshot_id, origin.sequence_number, origin.sequence_number)
    assert ages[files[2].file_path, ManifestEntryStatus.EXISTING] == one
    for file in files[:2]:
        assert ages[file.file_path, ManifestEntryStatus.DELETED] == (snapshot_id, *one[1:])
    [new] = [age for (_, status), age in ages.items() if status == ManifestEntryStatus.ADDED and age[0] == snapshot_id]
    assert new == (snapshot_id, base.sequence_number, table.current_snapshot().sequence_number)
    assert rows_of(table) == rows_of(table, snapshot_id=base.snapshot_id)


@pytest.mark.parametrize("append_after", [False, True])
def test_files_stay_in_their_own_spec(lake: Lake, append_after: bool) -> None:
    """A spec of the same arity became the default: filed under it, the new files would be pruned wrongly (B2)."""
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for start in (0, 10, 20):
        rows = pa.table({"id": range(start, start + 10), "p": [n % 2 for n in range(start, start + 10)]})
        table = lake.append(table, rows)
    plan = plan_for(table)
    staged = stage(table, plan)
    with lake.load("db.t").update_spec() as update:
        update.remove_field("p")
        update.add_field("id", IdentityTransform(), "id_itself")
    if append_after:
        lake.append(lake.load("db.t"), pa.table({"id": [100], "p": [0]}))
    commit(table, plan, staged)

    table = lake.load("db.t")
    assert {(f.spec_id, f.partition[0]) for f in live_files(table)} == {(0, 0), (0, 1)} | (
        {(1, 100)} if append_after else set()
    )
    for number in (*range(30), *([100] if append_after else [])):
        assert len(table.scan(f"id == {number}").to_arrow()) == 1
    assert len(table.scan("p == 1").to_arrow()) == 15
    assert_books_are_right(table)


def test_partition_values_of_a_dropped_column_stay(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.string())]), partition=[("p", "identity")])
    for _ in range(2):
        table = lake.append(table, pa.table({"id": [1, 2], "p": ["a", "b"]}))
    with table.update_spec() as update:
        update.remove_field("p")
    with table.update_schema() as update:
        update.delete_column("p")
    table = lake.load("db.t")
    before = rows_of(table)
    rewrite(table, files=[file for file in live_files(table) if file.partition[0] == "a"])
    table = lake.load("db.t")
    assert sorted(file.partition[0] for file in live_files(table)) == ["a", "b", "b"]
    assert rows_of(table) == before


def test_void_fields_of_required_columns(lake: Lake) -> None:
    """v1 tables keep dropped partition fields as ``void``, which is null even where the column is required."""
    schema = pa.schema([("id", pa.int64()), ("p", pa.int64())])
    table = lake.create("db.t", schema, partition=[("p", "identity")], format_version=1)
    rows = pa.table({"id": [1, 2], "p": [1, 1]}, schema=schema)
    for _ in range(2):
        table = lake.append(table, rows)
    with table.update_spec() as update:
        update.remove_field("p")
    table = lake.load("db.t")
    assert str(table.spec().fields[0].transform) == "void"
    for _ in range(2):
        table = lake.land(table, lake.data_file(table, rows, partition=[None]))
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.update_column("p", required=True)
    table = lake.load("db.t")
    before = rows_of(table)
    rewrite(table)
    table = lake.load("db.t")
    assert sorted((f.spec_id, f.partition[0]) for f in live_files(table)) == [(0, 1), (1, None)]
    assert rows_of(table) == before


def test_table_that_was_v1(lake: Lake) -> None:
    """Records of v1 manifests cannot be copied into v2 ones: they have other fields."""
    table = lake.flights(days=3, format_version=1, partition=[("origin", "identity")])
    table.transaction().upgrade_table_version(2).commit_transaction()
    table = lake.append(lake.load("db.flights"), table.scan(limit=50).to_arrow())
    before = rows_of(table)
    rewrite(table, files=[file for file in live_files(table) if file.partition[0] != "JFK"])
    table = lake.load("db.flights")
    assert table.format_version == 2
    assert rows_of(table) == before
    assert_books_are_right(table)


def test_names_of_partition_columns_may_be_odd(lake: Lake) -> None:
    name = 'select "the" día.x 🚀'
    table = lake.create("db.t", pa.schema([("id", pa.int64()), (name, pa.string())]), partition=[(name, "identity")])
    for _ in range(2):
        table = lake.append(table, pa.table({"id": [1, 2], name: ["é/=%", None]}))
    before = rows_of(table)
    rewrite(table)
    table = lake.load("db.t")
    assert len(live_files(table)) == 2
    assert rows_of(table) == before
    assert_books_are_right(table)


def test_branch(lake: Lake) -> None:
    """The commit moves its branch alone, and the branch keeps its own retention."""
    table = lake.flights(days=3)
    table.manage_snapshots().create_branch(
        table.current_snapshot().snapshot_id,
        "audit",
        max_ref_age_ms=1 << 40,
        max_snapshot_age_ms=1 << 39,
        min_snapshots_to_keep=7,
    ).commit()
    table = lake.load("db.flights")
    main = table.current_snapshot().snapshot_id
    snapshot_id = rewrite(table, branch="audit")
    table = lake.load("db.flights")
    audit = table.refs()["audit"]
    assert (table.current_snapshot().snapshot_id, audit.snapshot_id) == (main, snapshot_id)
    assert (audit.max_ref_age_ms, audit.max_snapshot_age_ms, audit.min_snapshots_to_keep) == (1 << 40, 1 << 39, 7)
    assert rows_of(table) == rows_of(table, snapshot_id=snapshot_id)


def test_a_sort_order_is_added_once_and_is_not_the_default(lake: Lake) -> None:
    table = lake.flights(days=2, sort=["day"])
    default = table.sort_order()
    for _ in range(2):
        rewrite(lake.load("db.flights"), sort=("carrier", "dest"))
    table = lake.load("db.flights")
    assert table.sort_order() == default
    [order] = [order for order in table.metadata.sort_orders if len(order.fields) == 2]
    assert [table.schema().find_column_name(field.source_id) for field in order.fields] == ["carrier", "dest"]
    assert {file.sort_order_id for file in live_files(table)} == {order.order_id}

    rewrite(table, sort=("carrier", "dest"), set_default_sort_order=True)
    table = lake.load("db.flights")
    assert table.sort_order() == order
    assert len(table.metadata.sort_orders) == 2


def test_only_sorted_files_carry_the_order(lake: Lake) -> None:
    table = lake.flights(days=2)
    plan = plan_for(table, sort=("carrier",))
    rows = table.scan().to_arrow()
    ordered, rest = (
        write_staged(table, [rows[:200]], is_sorted=True),
        write_staged(table, [rows[200:]], is_sorted=False),
    )
    commit(table, plan, {0: pa.concat_tables([ordered, rest])})
    table = lake.load("db.flights")
    assert sorted(str(file.sort_order_id) for file in live_files(table)) == ["1", "None"]


def test_bin_packing_adds_no_sort_order(lake: Lake) -> None:
    rewrite(lake.flights(days=2))
    table = lake.load("db.flights")
    assert [order.order_id for order in table.metadata.sort_orders] == [0]
    assert {file.sort_order_id for file in live_files(table)} == {None}


def test_statistics_follow_the_metrics_modes(lake: Lake) -> None:
    properties = {
        "write.metadata.metrics.default": "truncate(3)",
        "write.metadata.metrics.column.full": "full",
        "write.metadata.metrics.column.counts": "counts",
        "write.metadata.metrics.column.none": "none",
    }
    names = ["short", "full", "counts", "none"]
    table = lake.create("db.t", pa.schema([(name, pa.string()) for name in names]), properties=properties)
    for text in ("abcdef", "żółćw"):
        table = lake.append(table, pa.table({name: [text, None] for name in names}))
    rewrite(table)
    [file] = live_files(lake.load("db.t"))
    assert file.value_counts == {1: 4, 2: 4, 3: 4}
    assert file.null_value_counts == {1: 2, 2: 2, 3: 2}
    assert file.lower_bounds == {1: b"abc", 2: b"abcdef"}
    assert file.upper_bounds == {1: "żóŃ".encode(), 2: "żółćw".encode()}
    assert set(file.column_sizes) == {1, 2, 3, 4}
    assert len(file.split_offsets) == 1


def test_nan_leaves_no_upper_bound(lake: Lake) -> None:
    """Engines that sort NaN last would prune a file whose upper bound leaves its NaN out."""
    table = lake.create("db.t", pa.schema([("x", pa.float64()), ("y", pa.float32()), ("all", pa.float64())]))
    nan = float("nan")
    for _ in range(2):
        table = lake.append(
            table, pa.table({"x": [1.0, nan], "y": pa.array([2.0, -0.0], pa.float32()), "all": [nan, nan]})
        )
    rewrite(table)
    [file] = live_files(lake.load("db.t"))
    assert file.nan_value_counts == {1: 2, 2: 0, 3: 4}
    assert file.lower_bounds == {1: struct.pack("<d", 1.0), 2: struct.pack("<f", -0.0)}
    assert file.upper_bounds == {2: struct.pack("<f", 2.0)}


def test_a_row_group_without_a_range_leaves_no_bounds(lake: Lake) -> None:
    """Parquet writers leave out ranges of very long values; the other row groups' range is not the file's."""
    table = lake.create("db.t", pa.schema([("s", pa.string())]), properties={"write.metadata.metrics.default": "full"})
    table = lake.append(table, pa.table({"s": ["m", "n", "z" * 9000, "a"]}))
    plan = plan_for(table)
    commit(table, plan, stage(table, plan, row_group_size=2))
    table = lake.load("db.t")
    [file] = live_files(table)
    assert file.lower_bounds == file.upper_bounds == {}
    assert len(file.split_offsets) == 2
    assert len(table.scan("s == 'a'").to_arrow()) == 1


def test_nested_columns_have_counts_only(lake: Lake) -> None:
    kinds = [("a.b", pa.int64()), ("s", pa.struct([("b", pa.string())])), ("l", pa.list_(pa.int32()))]
    schema = pa.schema([*kinds, ("m", pa.map_(pa.string(), pa.int64()))])
    table = lake.create("db.t", schema, properties={"write.metadata.metrics.default": "full"})
    rows = pa.table({"a.b": [7], "s": [{"b": "x"}], "l": [[1, 2]], "m": [[("k", 1)]]}, schema=schema)
    for _ in range(2):
        table = lake.append(table, rows)
    rewrite(table)
    table = lake.load("db.t")
    [file] = live_files(table)
    _dotted, struct_, list_, map_ = (field.field_type for field in table.schema().fields)
    counts = {struct_.fields[0].field_id: 2, list_.element_id: 4, map_.key_id: 2, map_.value_id: 2}
    assert file.value_counts == {table.schema().fields[0].field_id: 2} | counts
    assert not file.lower_bounds.keys() & counts.keys()


def test_truncated_manifest_is_never_rewritten(lake: Lake) -> None:
    """pyiceberg takes a manifest that ends early for a shorter one: rewritten, its other files would be lost."""
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    files = [lake.data_file(table, pa.table({"id": [n]})) for n in range(40)]
    table = lake.land(table, *files)
    plan = plan_for(table, files=files[:2])
    staged = stage(table, plan)
    [manifest] = table.current_snapshot().manifests(table.io)
    path = Path(manifest.manifest_path.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 4])
    with pytest.raises(DataFileError, match="manifest"):
        commit(table, plan, staged)
    assert lake.load("db.t").current_snapshot().snapshot_id == table.current_snapshot().snapshot_id


def test_a_manifest_that_names_no_codec_is_not_compressed(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    files = [lake.data_file(table, pa.table({"id": [n]})) for n in range(4)]
    table = lake.land(table, *files)
    plan = plan_for(table, files=files[:2])
    staged = stage(table, plan)
    [manifest] = table.current_snapshot().manifests(table.io)
    path = Path(manifest.manifest_path.removeprefix("file://"))
    content = path.read_bytes()
    decoder = StrictDecoder(content)
    header = read_header(decoder)
    blocks = list(read_blocks(decoder, header, len(content)))
    with path.open("wb") as stream:
        encoder = BinaryEncoder(stream)
        meta = {key: value for key, value in header.meta.items() if key != "avro.codec"}
        construct_writer(META_SCHEMA).write(encoder, AvroFileHeader(MAGIC, meta, header.sync))
        for count, block in blocks:
            encoder.write_int(count)
            encoder.write_bytes(block)
            encoder.write(header.sync)
    commit(table, plan, staged)
    listed = pa.concat_tables(open_table("lake.db.t").files())
    assert sum(listed["record_count"].to_pylist()) == 4
    assert {file.file_path for file in files[2:]} < set(listed["file_path"].to_pylist())


def test_rows_that_do_not_add_up(lake: Lake) -> None:
    table = lake.flights(days=2)
    plan = plan_for(table)
    staged = {0: write_staged(table, [table.scan(limit=399).to_arrow()])}
    with pytest.raises(ProofFailed, match="400 rows in the table, but 399"):
        commit(table, plan, staged)
    assert lake.load("db.flights").current_snapshot().snapshot_id == table.current_snapshot().snapshot_id


def test_a_staged_file_that_changed(lake: Lake) -> None:
    table = lake.flights(days=2)
    plan = plan_for(table)
    staged = stage(table, plan)
    path = Path(staged[0]["file_path"][0].as_py().removeprefix("file://"))
    other = write_staged(table, [table.scan(limit=3).to_arrow()])["file_path"][0].as_py()
    path.write_bytes(Path(other.removeprefix("file://")).read_bytes())
    with pytest.raises(DataFileError, match="holds 3 rows, but 400"):
        commit(table, plan, staged)


def test_equality_deletes_of_the_past_do_not_reach_new_files(lake: Lake) -> None:
    """Rows that were written after an equality delete stay when their file is rewritten."""
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    table = lake.append(table, pa.table({"id": [1, 2]}))
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": [1]})))
    table = lake.append(table, pa.table({"id": [1, 3]}))
    [delete] = [
        e for m in table.current_snapshot().manifests(table.io) for e in m.fetch_manifest_entry(table.io) if m.content
    ]
    newer = [
        file for file in live_files(table) if file.lower_bounds[1] != file.upper_bounds[1] and 3 in file.upper_bounds[1]
    ]
    rewrite(table, files=newer)
    table = lake.load("db.t")
    entries = [
        e
        for m in table.current_snapshot().manifests(table.io)
        for e in m.fetch_manifest_entry(table.io)
        if not m.content
    ]
    [new] = [e for e in entries if e.snapshot_id == table.current_snapshot().snapshot_id]
    assert new.sequence_number >= delete.sequence_number


def stale_plans() -> dict[str, str]:
    return {
        "rollback": "no ancestor",
        "expired": "has expired",
        "schema": "schema changed",
        "dropped": "made anew",
        "removed": "no longer in the table",
        "branch": "is gone",
        "deletes": "deleted meanwhile",
    }


@pytest.mark.parametrize("change", stale_plans())
def test_stale_plans(lake: Lake, change: str) -> None:
    table = lake.flights(days=3)
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "b").commit()
    table = lake.load("db.flights")
    plan = plan_for(table, branch="b" if change == "branch" else "main")
    check(table, plan)
    rows = table.scan(limit=2).to_arrow()
    lake.append(table, rows)
    check(table, plan)
    other = lake.load("db.flights")
    if change == "rollback":
        other.manage_snapshots().rollback_to_snapshot(other.snapshots()[0].snapshot_id).commit()
    elif change == "expired":
        other.manage_snapshots().remove_branch("b").commit()
        other = lake.load("db.flights")
        other.maintenance.expire_snapshots().by_id(table.current_snapshot().snapshot_id).commit()
    elif change == "schema":
        with other.update_schema() as update:
            update.delete_column("dest")
    elif change == "dropped":
        lake.catalog.drop_table("db.flights")
        lake.flights(days=3)
    elif change == "removed":
        other.delete("day < '2013-01-02'")
    elif change == "branch":
        other.manage_snapshots().remove_branch("b").commit()
    else:
        file = live_files(table)[0]
        lake.land(other, lake.position_deletes(other, {file.file_path: [0]}, like=file))
    with pytest.raises(StalePlan, match=stale_plans()[change]):
        check(table, plan)
    with pytest.raises((StalePlan, CommitConflict), match=stale_plans()[change]):
        commit(table, plan, stage(table, plan))


def test_v3_is_refused(lake: Lake) -> None:
    table = lake.flights(days=1)
    metadata = json.loads(table.metadata.model_dump_json()) | {"format-version": 3, "next-row-id": 0}
    location = f"{table.location()}/metadata/v3.metadata.json"
    Path(location.removeprefix("file://")).write_text(json.dumps(metadata))
    plan = plan_for(table)
    staged = stage(table, plan)
    lake.catalog.drop_table("db.flights")
    table = lake.catalog.register_table("db.flights", location)
    for act in (lambda: check(table, plan), lambda: commit(table, plan, staged)):
        with pytest.raises(Refused, match=r"v3|version 3"):
            act()


def test_nothing_to_commit(lake: Lake) -> None:
    table = lake.flights(days=1)
    with pytest.raises(UsageError, match="nothing to commit"):
        commit(table, plan_for(table), {})


def test_find(lake: Lake) -> None:
    table = lake.flights(days=1)
    mine = committer("lakeopt")
    assert mine.find(IcebergTable(table), table.current_snapshot().snapshot_id)
    assert not mine.find(IcebergTable(table), 42)
    lake.catalog.drop_table("db.flights")
    assert not mine.find(IcebergTable(table), table.current_snapshot().snapshot_id)


def test_unknown_committer() -> None:
    with pytest.raises(UnknownName, match="no committer named 'java'"):
        committer("java")


def test_buckets(lake: Lake) -> None:
    """A bucket cannot be told from a file's bounds; the partition comes from the replaced files."""
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    with table.update_spec() as update:
        update.add_field("id", BucketTransform(4), "bucket")
    table = lake.load("db.t")
    for ids in ([1, 2], [3, 9]):
        table = lake.land(table, lake.data_file(table, pa.table({"id": ids}), partition=[2]))
    rewrite(table)
    [file] = live_files(lake.load("db.t"))
    assert (file.spec_id, file.partition[0]) == (1, 2)


def test_a_staged_file_without_field_ids(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    table = lake.append(table, pa.table({"id": [1]}))
    plan = plan_for(table)
    staged = stage(table, plan)
    pq.write_table(pa.table({"id": [1]}), staged[0]["file_path"][0].as_py().removeprefix("file://"))
    with pytest.raises(DataFileError, match="field ids"):
        commit(table, plan, staged)


@pytest.mark.parametrize(("asked", "left"), [("true", 3), ("false", 8)])
def test_old_metadata_files_go_where_the_table_asks_for_it(lake: Lake, asked: str, left: int) -> None:
    kept = {"write.metadata.previous-versions-max": "2", "write.metadata.delete-after-commit.enabled": asked}
    table = lake.flights(days=3, rows_per_day=10, properties=kept)
    for _ in range(2):
        rewrite(lake.append(table, flights(7, 10)))
    table = lake.load("db.flights")
    assert len(list(Path(table.location().removeprefix("file://"), "metadata").glob("*.metadata.json"))) == left
