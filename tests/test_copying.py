"""Bin-pack without decoding: which file groups are copied, which are decoded and why, and what the table says after."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lake import Lake
from pyiceberg.table import Table
from pyiceberg.types import LongType

import lakeopt
from lakeopt.cli.app import main
from lakeopt.config import load_settings
from lakeopt.errors import DataFileError, UsageError
from lakeopt.model.plan import RewritePlan
from lakeopt.model.result import RewriteResult
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.copyable import difference
from lakeopt.tables.open import open_table
from lakeopt.workflows.copying import CopyChoice

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

MEMORY = 1 << 30
ROWS = 66_000
NAME = "lake.db.events"


def events(part: int, rows: int = ROWS, *, nans: int = 0) -> pa.Table:
    """Rows of one file: above the floor of 64k rows, and few bytes."""
    rng = np.random.default_rng(part)
    x = rng.integers(0, 50, rows).astype("float64")
    x[:nans] = np.nan
    return pa.table(
        {
            "id": pa.array(np.arange(rows, dtype="int64") + part * ROWS),
            "name": pa.array([f"name-{value}" for value in rng.integers(0, 300, rows)]),
            "x": pa.array(x, mask=np.arange(rows) % 100 == 99),
            "count": pa.array(rng.integers(0, 10**6, rows), pa.int32()),
        }
    )


def files_of(table: Table) -> list[Path]:
    return [Path(path.removeprefix("file://")) for path in table.inspect.files()["file_path"].to_pylist()]


def landed(lake: Lake, parts: int = 6, *, nans: int = 0, rows: int = ROWS, **properties: str) -> Table:
    """Files of one row group each, as pyiceberg writes them."""
    table = lake.create("db.events", events(0, 1).schema, properties=properties)
    for part in range(parts):
        table = lake.append(table, events(part, rows, nans=nans if part == 1 else 0))
    return table


def target_of(table: Table, files: float = 2.0) -> int:
    """A target size that so many new files hold all bytes with."""
    return int(sum(path.stat().st_size for path in files_of(table)) / files)


def rewrite(target: int, **more: Any) -> RewriteResult:
    return lakeopt.rewrite(NAME, strategy="bin-pack", target_file_bytes=target, memory_bytes=MEMORY, **more)


def plan(target: int, **more: Any) -> RewritePlan:
    return lakeopt.plan(NAME, strategy="bin-pack", target_file_bytes=target, **more)


def methods(made: RewritePlan) -> list[tuple[str, int, str]]:
    return [(group.method, group.file_count, group.method_reason) for group in made.groups]


def rows_of(table: Table) -> pa.Table:
    """All rows by id; NaN, which is not equal to itself, as a number that is not there."""
    rows = table.scan().to_arrow().sort_by("id").select(["id", "name", "x", "count"])
    x = rows["x"]
    return rows.set_column(2, "x", pc.if_else(pc.is_nan(x), -1.0, x)).cast(events(0, 1).schema)


def test_row_groups_are_copied_and_a_second_run_finds_nothing(lake: Lake) -> None:
    table = landed(lake, nans=7)
    target, before, old = target_of(table), rows_of(table), files_of(table)
    written = sum(path.stat().st_size for path in old)
    result = rewrite(target)
    after = lake.load("db.events")
    assert result.verification is not None
    assert (result.verification.method, result.verification.fingerprint) == ("bytes", None)
    assert (result.rewritten_data_files_count, result.added_data_files_count) == (6, 2)
    assert rows_of(after) == before
    assert abs(result.bytes_after - written) < 0.01 * written
    assert [pq.read_metadata(path).num_row_groups for path in files_of(after)] == [3, 3]
    nans = [(file.nan_value_counts[3], 3 in file.upper_bounds) for file in lake.files(after)]
    assert sorted(nans) == [(0, True), (7, False)]
    assert plan(target).groups == ()


def test_manifests_say_of_copies_what_they_say_of_rows_that_were_written(lake: Lake) -> None:
    """Every statistic of a copied file is that of its rows, floats bounded on both sides; only sizes may differ."""
    made = []
    for level in (None, 3):
        table = landed(lake, parts=5)
        rewrite(int(1.01 * target_of(table, 1)), compression_level=level)
        made += lake.files(lake.load("db.events"))
        lake.catalog.drop_table("db.events")
    copied, decoded = made
    assert copied.record_count == decoded.record_count == 5 * ROWS
    for name in ("value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds"):
        assert getattr(copied, name) == getattr(decoded, name), name
    assert copied.nan_value_counts == {3: 0}
    assert set(copied.upper_bounds) == {1, 2, 3, 4}


def test_the_plan_says_which_groups_are_copied_and_why(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    table = landed(lake)
    command = ["rewrite", NAME, "--strategy", "bin-pack", "--dry-run", "--target-file-size", str(target_of(table))]
    assert main(command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "copy: same writer and schema, zstd" in shown
    assert "proved by bytes" in shown
    assert main([*command, "--compression-level", "5", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert (group["method"], group["method_reason"]) == ("decode", "a compression level was asked for")


def test_what_the_table_asks_for_is_respected(lake: Lake) -> None:
    """A codec that it names, encodings and bloom filters that were chosen; a codec that it does not name may be any."""
    table = landed(lake)
    target = target_of(table)

    def with_codec(codec: str | None) -> list[tuple[str, int, str]]:
        if codec is not None:
            with lake.load("db.events").transaction() as change:
                change.set_properties({"write.parquet.compression-codec": codec})
        return methods(plan(target))

    assert with_codec(None) == [("copy", 6, "same writer and schema, zstd")]
    assert with_codec("zstd") == [("copy", 6, "same writer and schema, zstd")]
    assert with_codec("snappy") == [("decode", 6, "the table asks for snappy, files hold zstd")]
    opened = open_table(NAME, load_settings())
    groups = plan(target).groups
    for writer in (WriterOptions(encodings={"id": "plain"}), WriterOptions(bloom_filters={"id": 9})):
        made, _ = CopyChoice(opened, plan(target).layout, writer, target).divide(groups)
        assert [group.method for group in made] == ["decode"]


def test_schemas_of_today_only(lake: Lake) -> None:
    """Renamed, promoted, added, reordered: files that do not say what would be written today are decoded."""
    table = landed(lake, parts=5)
    target = target_of(table)
    reasons = []
    with table.update_schema() as change:
        change.rename_column("name", "label")
    reasons += methods(plan(target))
    with lake.load("db.events").update_schema() as change:
        change.rename_column("label", "name").update_column("count", LongType())
    reasons += methods(plan(target))
    with lake.load("db.events").update_schema() as change:
        change.update_column("count", LongType()).add_column("more", LongType())
    with lake.load("db.events").update_schema() as change:
        change.move_first("count")
    reasons += methods(plan(target))
    assert [reason for _, _, reason in reasons] == [
        "column label is called name in files",
        "column count is int32 in files",
        "column count is called id in files",
    ]
    assert {method for method, _, _ in reasons} == {"decode"}


def test_small_row_groups_and_other_writers_go_into_one_group_that_is_decoded(lake: Lake) -> None:
    """Only so many files are copied as fill new ones; a second run finds nothing in what the first has left."""
    table = landed(lake, parts=7)
    target = target_of(table, 7 / 3)
    for part in range(7, 12):
        table = lake.append(table, events(part, 500))
    other = lake.data_file(table, events(20), compression="zstd", store_schema=True)
    table = lake.land(table, other)
    before = rows_of(table)
    decided = plan(target)
    assert [(group.method, group.file_count) for group in decided.groups] == [("copy", 6), ("decode", 7)]
    assert decided.groups[1].method_reason == "row groups of fewer than 64k rows and 8 MB are merged"
    result = lakeopt.apply(decided, memory_bytes=MEMORY)
    assert result.verification is not None
    assert (result.verification.method, result.verification.fingerprint) == ("bytes and rows", None)
    assert rows_of(lake.load("db.events")) == before
    assert plan(target).groups == ()
    footers = [pq.read_metadata(path) for path in files_of(lake.load("db.events"))]
    assert sorted(footer.num_row_groups for footer in footers if footer.num_row_groups > 1)[-2:] == [3, 3]


def test_deletes_are_applied_by_decoding(lake: Lake) -> None:
    table = landed(lake, parts=5)
    target = target_of(table)
    path = table.inspect.files()["file_path"][0].as_py()
    table = lake.land(table, lake.position_deletes(table, {path: [0, 5]}, like=next(lake.files(table))))
    made = plan(target)
    assert methods(made) == [("decode", 5, "deletes are applied")]
    edited = dataclasses.replace(made, groups=tuple(dataclasses.replace(g, method="copy") for g in made.groups))
    with pytest.raises(UsageError, match="rows of group 0 cannot be copied"):
        edited.require_consistent()
    rewrite(target)
    assert lake.load("db.events").scan().count() == 5 * ROWS - 2


@pytest.mark.parametrize("verify", ["rows", "counts"])
def test_copies_are_proved_as_asked(lake: Lake, verify: str) -> None:
    result = rewrite(target_of(landed(lake, parts=5)), verify=verify)
    assert result.verification is not None
    assert result.verification.method == verify
    assert (result.verification.fingerprint is not None) == (verify == "rows")


def test_large_row_groups_that_would_leave_small_files_are_decoded(lake: Lake) -> None:
    """Each new file would hold one row group of six tenths of its size, and every run would do it again."""
    table = landed(lake, parts=5)
    target = int(files_of(table)[0].stat().st_size / 0.6)
    assert methods(plan(target)) == [("decode", 5, "row groups as they are would not fill new files")]


def test_a_file_that_changes_after_the_plan_fails_the_run_and_leaves_nothing(lake: Lake) -> None:
    table = landed(lake)
    made, paths = plan(target_of(table)), files_of(table)
    assert [group.method for group in made.groups] == ["copy"]
    good = paths[3].read_bytes()
    paths[3].write_bytes(good[: len(good) // 2] + good[-4000:])
    with pytest.raises(DataFileError):
        lakeopt.apply(made, memory_bytes=MEMORY)
    assert sorted(lake.warehouse.rglob("*.parquet")) == sorted(paths)
    paths[3].write_bytes(good)
    assert lakeopt.apply(made, memory_bytes=MEMORY).added_data_files_count == 2


def test_copied_files_join_those_that_come_later(lake: Lake) -> None:
    """A copy has the writer and the key-values of its sources, and is copied again."""
    table = landed(lake, parts=5)
    target = target_of(table, 1)
    rewrite(target * 3)
    for part in range(5, 9):
        table = lake.append(table, events(part))
    before = rows_of(table)
    made = plan(target * 2)
    assert [(group.method, group.file_count) for group in made.groups] == [("copy", 5)]
    assert lakeopt.apply(made, memory_bytes=MEMORY).added_data_files_count == 1
    assert rows_of(lake.load("db.events")) == before
    (path,) = files_of(lake.load("db.events"))
    keys = pq.read_metadata(path).metadata
    assert keys[b"lakeopt.plan-id"] == made.plan_id.encode()
    assert pq.read_metadata(path).num_row_groups == 9


def test_files_may_say_required_where_the_table_says_optional(lake: Lake) -> None:
    """As Spark writes them; each kind apart, and not the other way round, where a file may hold nulls."""
    table = landed(lake, parts=0)
    rows = events(0)
    sure = pa.schema([column.with_nullable(column.name == "x") for column in rows.schema])
    for part in range(8):
        as_required = {"schema": sure} if part < 4 else {}
        table = lake.land(table, lake.data_file(table, events(part), write=_write, **as_required))
    target = target_of(table, 4)
    before = rows_of(table)
    assert methods(plan(target)) == [("copy", 4, "same writer and schema, zstd")] * 2
    result = rewrite(target)
    assert result.verification is not None
    assert result.verification.method == "bytes"
    assert rows_of(lake.load("db.events")) == before
    required = [not pq.read_schema(path).field("id").nullable for path in files_of(lake.load("db.events"))]
    assert sorted(required) == [False, False, True, True]
    assert plan(target).groups == ()


def _write(rows: pa.Table, sink: IO[bytes], schema: pa.Schema | None = None) -> None:
    if schema is not None:
        ids = {column.name: column.metadata for column in rows.schema}
        rows = rows.cast(pa.schema([column.with_metadata(ids[column.name]) for column in schema]))
    pq.write_table(rows, sink, compression="zstd", store_schema=False)


@pytest.mark.parametrize(
    ("kind", "wanted", "reason"),
    [
        (pa.field("a", pa.int64(), nullable=False), pa.field("a", pa.int64()), None),
        (pa.field("a", pa.int64()), pa.field("a", pa.int64(), nullable=False), "column a is optional in files"),
        (pa.field("a", pa.list_(pa.field("x", pa.int64(), False))), pa.field("a", pa.list_(pa.int64())), None),
        (
            pa.field("a", pa.struct([pa.field("b", pa.string())])),
            pa.field("a", pa.struct([pa.field("b", pa.string(), False)])),
            "column a.b is optional in files",
        ),
    ],
)
def test_nulls_may_be_fewer_than_the_schema_allows_and_not_more(
    kind: pa.Field, wanted: pa.Field, reason: str | None
) -> None:
    assert difference([kind], [wanted]) == reason
