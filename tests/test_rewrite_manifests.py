"""Regrouping manifests: the same files, in the same words and of the same age, in fewer and narrower manifests."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from hand_rewrite import live_files, metadata_files, referenced_files, rows_of
from lake import Lake, flights
from manifest_words import manifests, says
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.typedef import Record

from lakeopt.config import load_settings
from lakeopt.errors import CommitConflict, ProofFailed, Refused, StalePlan, UnknownName, UsageError
from lakeopt.maintenance.rewrite_manifests import shares
from lakeopt.model.manifests import ManifestFacts, ManifestsPlan
from lakeopt.model.serde import from_json, to_json
from lakeopt.tables.iceberg.commits import manifest_rewrite
from lakeopt.tables.iceberg.commits.rollback import roll_back
from lakeopt.tables.iceberg.metadata.source_manifest import read_source
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows.journal import runs
from lakeopt.workflows.rewrite_manifests import apply_manifests, plan_manifests, rewrite_manifests

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

NAME = "lake.db.flights"


def totals(table: Table) -> dict[str, str]:
    summary = table.current_snapshot().summary
    return {name: text for name, text in summary.additional_properties.items() if name.startswith("total-")}


@pytest.mark.parametrize("format_version", [1, 2])
def test_entries_say_what_they_said(lake: Lake, format_version: int) -> None:
    table = lake.flights(days=6, partition=[("origin", "identity")], format_version=format_version)
    table.delete("carrier == 'UA'")
    table = lake.append(table, flights(9, 50))
    rows, before, counts = rows_of(table), says(table), totals(table)
    old = {one.manifest_path for one in manifests(table)}

    result = rewrite_manifests(NAME)

    table = lake.load("db.flights")
    assert says(table) == before
    assert rows_of(table) == rows
    assert totals(table) == counts
    assert len(manifests(table)) == result.manifests_after == 1 < result.manifests_before == len(old)
    head = table.current_snapshot()
    assert (str(head.snapshot_id),) == result.snapshot_ids
    assert head.summary.operation == Operation.REPLACE
    assert head.summary["manifests-created"] == "1"
    assert head.summary["manifests-kept"] == "0"
    assert head.summary["manifests-replaced"] == str(len(old))
    assert head.summary["entries-processed"] == str(result.entries) == str(sum(before.values()))
    assert metadata_files(table) == referenced_files(table)
    [run] = runs(IcebergTable(table), load_settings())
    assert run.status == "committed"


def test_a_second_time_nothing_is_committed(lake: Lake) -> None:
    lake.flights(days=5, partition=[("origin", "identity")])
    rewrite_manifests(NAME)
    location = lake.load("db.flights").metadata_location
    again = rewrite_manifests(NAME)
    assert again.snapshot_ids == ()
    assert again.manifests_after == again.manifests_before == 1
    assert lake.load("db.flights").metadata_location == location


def many_days(lake: Lake, days: int = 12, per_day: int = 40) -> Table:
    """Files of all days land a few of each day at a time: every manifest speaks of every day."""
    schema = pa.schema([("day", pa.int32()), ("id", pa.int64())])
    table = lake.create("db.flights", schema, partition=[("day", "identity")])
    random = np.random.default_rng(1)
    for _ in range(4):
        files = []
        for number in range(days * per_day // 4):
            day = number % days
            file = DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=f"{table.location()}/data/{uuid.UUID(bytes=random.bytes(16))}.parquet",
                file_format=FileFormat.PARQUET,
                partition=Record(day),
                record_count=random.integers(1, 1 << 40).item(),
                file_size_in_bytes=random.integers(1, 1 << 40).item(),
                lower_bounds={2: random.bytes(8)},
                upper_bounds={2: random.bytes(8)},
            )
            file.spec_id = 0
            files.append(file)
        table = lake.land(table, *files)
    return table


def test_well_sized_manifests_stay_as_they_are(lake: Lake) -> None:
    table = many_days(lake)
    size = read_source(table.io, manifests(table)[0]).packed_bytes()
    rewrite_manifests(NAME, target_bytes=size)
    table = lake.load("db.flights")
    settled = {one.manifest_path for one in manifests(table)}
    extra = [lake.data_file(table, pa.table({"day": [99], "id": [n]}), partition=[99]) for n in range(3)]
    for file in extra:
        table = lake.land(table, file)
    result = rewrite_manifests(NAME, target_bytes=size)
    table = lake.load("db.flights")
    now = {one.manifest_path for one in manifests(table)}
    assert settled <= now
    assert len(now) == len(settled) + 1 == result.manifests_after


def test_delete_manifests_are_regrouped_too(lake: Lake) -> None:
    table = lake.flights(days=3)
    for file in live_files(table):
        table = lake.land(table, lake.position_deletes(table, {file.file_path: [0, 2]}, like=file))
    rows, before = rows_of(table), says(table)
    result = rewrite_manifests(NAME)
    table = lake.load("db.flights")
    assert sorted(one.content for one in manifests(table)) == [0, 1]
    assert result.manifests_before == 6
    assert says(table) == before
    assert rows_of(table) == rows


def test_specs_are_never_mixed(lake: Lake) -> None:
    table = lake.flights(days=2, partition=[("origin", "identity")])
    with table.update_spec() as update:
        update.remove_field("origin")
        update.add_identity("carrier")
    table = lake.append(lake.append(table, flights(7, 100)), flights(8, 100))
    rows, before = rows_of(table), says(table)
    rewrite_manifests(NAME)
    table = lake.load("db.flights")
    assert says(table) == before
    assert rows_of(table) == rows
    assert sorted(one.partition_spec_id for one in manifests(table)) == [0, 1]
    assert len(list(table.scan("origin == 'JFK' and carrier == 'UA'").plan_files())) > 0


def test_a_manifest_of_an_older_format_is_left_alone(lake: Lake) -> None:
    table = lake.flights(days=3, format_version=1)
    with table.transaction() as transaction:
        transaction.upgrade_table_version(2)
    table = lake.append(lake.append(lake.load("db.flights"), flights(7, 10)), flights(8, 10))
    old = {one.manifest_path for one in manifests(table)}
    before = says(table)
    result = rewrite_manifests(NAME)
    table = lake.load("db.flights")
    assert says(table) == before
    assert len(old & {one.manifest_path for one in manifests(table)}) == 3
    assert sum(result.left_alone.values()) == 3
    assert any("older format" in reason for reason in result.left_alone)


def test_appends_meanwhile_stay(lake: Lake) -> None:
    table = lake.flights(days=4)
    plan = plan_manifests(NAME)
    table = lake.append(table, flights(7, 20))
    before = says(table)
    result = apply_manifests(plan)
    table = lake.load("db.flights")
    assert says(table) == before
    assert (result.manifests_before, result.manifests_after) == (5, 2)


def test_manifests_that_are_gone_are_left_out(lake: Lake) -> None:
    table = lake.flights(days=4, partition=[("origin", "identity")])
    plan = plan_manifests(NAME)
    table.delete("origin == 'JFK'")
    before = says(lake.load("db.flights"))
    with pytest.raises(CommitConflict, match="replaced meanwhile"):
        apply_manifests(plan)
    table = lake.load("db.flights")
    assert says(table) == before
    assert metadata_files(table) == referenced_files(table)


def test_a_wrong_copy_is_found_and_nothing_is_committed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.flights(days=4)

    def forgetful(facts: Iterable[ManifestFacts], target: int) -> list[object]:
        return [shares(list(facts), target)[0][1:]]

    with pytest.raises(ProofFailed, match="1 entries lost"):
        manifest_rewrite.regroup(IcebergTable(table), plan_manifests(NAME), forgetful, lambda number: None)  # type: ignore[arg-type]
    assert lake.load("db.flights").metadata_location == table.metadata_location
    assert metadata_files(table) == referenced_files(table)


def test_the_proof_sees_one_changed_byte(lake: Lake) -> None:
    table = lake.flights(days=1)
    [before], [after] = ([read_source(table.io, one, heads=True) for one in manifests(table)] for _ in range(2))
    manifest_rewrite.prove_equal([before], [after])
    after.records[0] = after.records[0][:-1] + bytes([after.records[0][-1] ^ 1])
    with pytest.raises(ProofFailed):
        manifest_rewrite.prove_equal([before], [after])
    [again] = [read_source(table.io, one, heads=True) for one in manifests(table)]
    again.entries[0].sequence_number = 77
    with pytest.raises(ProofFailed):
        manifest_rewrite.prove_equal([before], [again])


def test_branches(lake: Lake) -> None:
    table = lake.flights(days=3)
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "audit").commit()
    main = table.current_snapshot().snapshot_id
    result = rewrite_manifests(NAME, branch="audit")
    refs = lake.load("db.flights").metadata.refs
    assert (str(refs["audit"].snapshot_id), refs["main"].snapshot_id) == (result.snapshot_ids[0], main)
    with pytest.raises(UnknownName):
        rewrite_manifests(NAME, branch="none")


def test_what_cannot_be_done_is_refused(lake: Lake) -> None:
    table = lake.flights(days=2)
    with pytest.raises(Refused, match="metadata file"):
        rewrite_manifests(table.metadata_location)
    plan = plan_manifests(NAME)
    lake.catalog.drop_table("db.flights")
    lake.flights(days=2)
    with pytest.raises(StalePlan, match="made anew"):
        apply_manifests(plan)
    lake.create("db.empty", pa.schema([("id", pa.int64())]))
    assert rewrite_manifests("lake.db.empty").snapshot_ids == ()


def test_an_edited_plan_is_refused(lake: Lake) -> None:
    table = lake.flights(days=4, partition=[("origin", "identity")])
    with table.update_spec() as update:
        update.add_identity("carrier")
    table = lake.append(lake.append(table, flights(7, 100)), flights(8, 100))
    plan = plan_manifests(NAME)
    first, second = plan.groups
    twice = dataclasses.replace(second, manifests=first.manifests)
    mixed = dataclasses.replace(first, manifests=(*first.manifests, *second.manifests))
    for groups, said in [((first, twice), "named twice"), ((mixed,), "several kinds")]:
        with pytest.raises(UsageError, match=said):
            apply_manifests(dataclasses.replace(plan, groups=groups))
    with pytest.raises(UsageError, match="no plan id"):
        apply_manifests(dataclasses.replace(plan, plan_id="../../x"))
    table = lake.load("db.flights")
    assert metadata_files(table) == referenced_files(table)
    assert apply_manifests(from_json(ManifestsPlan, to_json(plan))).manifests_after == 2


def test_it_can_be_rolled_back(lake: Lake) -> None:
    table = lake.flights(days=4)
    before = {one.manifest_path for one in manifests(table)}
    result = rewrite_manifests(NAME)
    roll_back(IcebergTable(lake.load("db.flights")), result.plan_id, [int(result.snapshot_ids[0])])
    assert {one.manifest_path for one in manifests(lake.load("db.flights"))} == before
