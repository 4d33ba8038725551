"""The planner against pyiceberg's own listing, on histories nobody chose; filters; damaged metadata."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake import Lake
from pyiceberg.exceptions import ValidationError
from pyiceberg.table import Table
from pyiceberg.types import LongType

from lakeopt.errors import DataFileError, UnknownName, UsageError
from lakeopt.model.scan import files_schema
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.tables.open import open_table

SCHEMA = pa.schema([("id", pa.int64()), ("p", pa.int32()), ("v", pa.string()), ("x", pa.float64())])
SHARED = [
    "content file_path file_format spec_id record_count file_size_in_bytes sort_order_id key_metadata split_offsets",
    "equality_ids column_sizes value_counts null_value_counts nan_value_counts lower_bounds upper_bounds",
]


def rows(start: int, count: int, parts: int = 3) -> pa.Table:
    ids = range(start, start + count)
    values = [f"v{i}" if i % 5 else None for i in ids]
    return pa.table([ids, [i % parts for i in ids], values, [i / 3 for i in ids]], schema=SCHEMA)


def planned(table: IcebergTable, **options: Any) -> pa.Table:
    return pa.concat_tables([files_schema().empty_table(), *table.files(**options)])


def listed(table: pa.Table) -> list[dict[str, Any]]:
    columns = " ".join(SHARED).split()
    found = table.select(columns).to_pylist()
    for row in found:
        for name, value in row.items():
            if isinstance(value, list) and value and isinstance(value[0], tuple):
                row[name] = sorted(value)
        row["file_format"] = str(getattr(row["file_format"], "value", row["file_format"])).upper()
    return sorted(found, key=lambda row: row["file_path"])


STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 6)),
    st.tuples(st.just("delete"), st.sampled_from(["p = 1", "id < 4", "v is null", "id >= 2"])),
    st.tuples(st.just("overwrite"), st.sampled_from(["p = 0", "id > 5"])),
    st.tuples(st.just("position deletes"), st.integers(0, 9)),
    st.tuples(st.just("equality deletes"), st.integers(0, 9)),
    st.tuples(st.just("spec"), st.sampled_from(["p", "v"])),
)


def take(lake: Lake, table: Table, step: tuple[str, Any], version: int) -> Table:
    """One step of a history; a step that such a table cannot take changes nothing."""
    what, value = step
    start = len(table.metadata.snapshots) * 7
    data = [file for file in lake.files(table) if file.content == 0]
    if what == "append":
        return lake.append(table, rows(start, value))
    if what == "delete" and not any(file.content == 2 for file in lake.files(table)):
        table.delete(value)
    elif what == "overwrite" and not any(file.content == 2 for file in lake.files(table)):
        table.overwrite(rows(start, 2), overwrite_filter=value)
    elif what == "spec":
        names = {field.name for field in table.spec().fields}
        with table.update_spec() as spec:
            spec.remove_field(value) if value in names else spec.add_identity(value)
    elif what == "position deletes" and data and version == 2:
        file = data[value % len(data)]
        lake.land(table, lake.position_deletes(table, {file.file_path: [0]}, like=file))
    elif what == "equality deletes" and data and version == 2:
        like = data[value % len(data)]
        lake.land(table, lake.equality_deletes(table, rows(value, 1).select(["id"]), like=like))
    return lake.load(table.name())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=7), st.sampled_from([1, 2]), st.booleans())
@pytest.mark.filterwarnings("ignore:Delete operation")
def test_live_files_are_those_that_pyiceberg_lists(steps: list[Any], version: int, partitioned: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(Path(root))
        table = lake.create("db.t", SCHEMA, partition=[("p", "identity")][:partitioned], format_version=version)
        for step in [("append", 3), *steps]:
            try:
                table = take(lake, table, step, version)
            except (ValidationError, ValueError):  # a spec change that would name a field twice
                table = lake.load("db.t")
        for snapshot in table.metadata.snapshots:
            found = planned(IcebergTable(table), snapshot_id=snapshot.snapshot_id, content="all")
            assert listed(found) == listed(table.inspect.files(snapshot.snapshot_id))
            assert found.schema == files_schema()


OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
PREDICATES = st.one_of(
    st.builds("id {} {}".format, OPERATORS, st.integers(-1, 30)),
    st.builds("p {} {}".format, OPERATORS, st.integers(-1, 4)),
    st.builds("x {} {}".format, OPERATORS, st.decimals(0, 10, places=2)),
    st.builds("v {} 'v{}'".format, OPERATORS, st.integers(0, 30)),
    st.sampled_from(["v is null", "v is not null", "x is nan", "v like 'v1%'", "p in (1, 2)", "not p in (0)"]),
)
FILTERS = st.recursive(
    PREDICATES, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner), max_leaves=4
)


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, pa.Table]:
    """A table of three specs, promoted and added columns; and its rows with the file that each is in."""
    lake = Lake(tmp_path_factory.mktemp("evolved"))
    table = lake.create("db.t", SCHEMA)
    table = lake.append(table, rows(0, 4))
    with table.update_spec() as spec:
        spec.add_identity("p")
    table = lake.append(table, rows(4, 9))
    with table.update_spec() as spec:
        spec.add_field("id", "bucket[4]", "id_bucket")
        spec.remove_field("p")
    table = lake.load("db.t")
    bucket = table.spec().fields[-1].transform.transform(table.schema().find_type("id"))
    for start in (13, 21):
        files = [lake.data_file(table, rows(at, 1), partition=[bucket(at)]) for at in range(start, start + 8)]
        table = lake.land(table, *files)
    with table.update_schema() as schema:
        schema.update_column("p", LongType())
    table = lake.load("db.t")
    parts = []
    for file in lake.files(table):
        with table.io.new_input(file.file_path).open() as source:
            content = pq.read_table(source).select(SCHEMA.names).cast(SCHEMA)
        parts.append(content.append_column("file", pa.array([file.file_path] * len(content))))
    return table, pa.concat_tables(parts)


@settings(max_examples=80, deadline=None)
@given(where=FILTERS)
def test_a_filter_keeps_every_file_that_holds_a_matching_row(evolved: tuple[Table, pa.Table], where: str) -> None:
    import duckdb

    table, content = evolved
    kept = set(planned(IcebergTable(table), where=where)["file_path"].to_pylist())
    condition = where.replace("x is nan", "isnan(x)")
    matching = duckdb.connect().sql(f"select distinct file from content where {condition}").fetchall()
    assert {path for (path,) in matching} <= kept
    assert len(content) > 0


def test_a_filter_prunes_by_partition_and_by_metrics(evolved: tuple[Table, pa.Table]) -> None:
    table = IcebergTable(evolved[0])
    assert len(planned(table, where="id = 20")) == 1
    assert len(planned(table, where="id > 1000")) == 0
    assert len(planned(table, where="true")) == len(planned(table))


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("id =", UsageError, "not understood at 'id'$"),
        ("id = 1 and", UsageError, "not understood at its end$"),
        ("idd = 1", UnknownName, "no column named 'idd'"),
        ("id = 'many'", UsageError, "not a filter"),
        ("v like '%x'", UsageError, "not a filter"),
        ("", UsageError, "not a filter"),
        ("id = 1; drop table t", UsageError, "not a filter"),
    ],
)
def test_a_wrong_filter_is_refused_before_anything_is_read(
    evolved: tuple[Table, pa.Table], where: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        IcebergTable(evolved[0]).files(where=where)


def test_filters_name_odd_columns(lake: Lake) -> None:
    odd = ["select", "two words", "été", "🛫"]
    table = lake.create("db.odd", pa.schema([(name, pa.int64()) for name in odd]))
    for i in range(3):
        lake.append(table, pa.table({name: pa.array([i]) for name in odd}))
    for name in odd:
        assert len(planned(open_table("db.odd"), where=f'"{name}" = 1')) == 1


def test_partitions_are_json_in_single_value_form(lake: Lake) -> None:
    table = lake.flights(days=1, partition=[("day", "identity"), ("origin", "identity")])
    files = planned(open_table("db.flights"))
    assert set(files["partition"].to_pylist()) == {
        f'{{"day": "2013-01-01", "origin": "{origin}"}}' for origin in ("EWR", "JFK", "LGA")
    }
    assert pc.sum(files["record_count"]).as_py() == table.scan().count()


def metadata_files(table: Table) -> dict[str, Path]:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    manifests = snapshot.manifests(table.io)
    locations = {"manifest list": snapshot.manifest_list, "manifest": manifests[0].manifest_path}
    return {what: Path(location.removeprefix("file://")) for what, location in locations.items()}


@pytest.mark.parametrize("what", ["manifest list", "manifest"])
def test_missing_metadata_is_named(lake: Lake, what: str) -> None:
    path = metadata_files(lake.flights(days=2))[what]
    path.unlink()
    with pytest.raises(DataFileError, match=f"{what} is missing: file://{path}"):
        planned(open_table("db.flights"))


@pytest.mark.parametrize("what", ["manifest list", "manifest"])
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.999])
def test_truncated_metadata_is_never_taken_for_less(lake: Lake, what: str, left: float) -> None:
    path = metadata_files(lake.flights(days=2))[what]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(DataFileError, match=f"{what} is damaged: file://{path}"):
        planned(open_table("db.flights"))


def test_a_manifest_cut_between_blocks_is_found_by_its_counts(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA)
    lake.land(table, *[lake.data_file(table, rows(i, 1)) for i in range(3)])
    path = metadata_files(lake.load("db.t"))["manifest"]
    content = path.read_bytes()
    last_block = content.rindex(content[-16:], 0, len(content) - 16) + 16
    path.write_bytes(content[:last_block])
    with pytest.raises(DataFileError, match="2 live files"):
        planned(open_table("db.t"))


FUZZ = """
import random, sys
from pathlib import Path
from lakeopt.errors import LakeoptError
from lakeopt.tables.open import open_table
path, random = Path(sys.argv[1]), random.Random(7)
content = path.read_bytes()
outcomes = set()
for _ in range(150):
    damaged = bytearray(content)
    for _ in range(random.choice([1, 2, 8])):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    path.write_bytes(damaged)
    try:
        outcomes.add(sum(map(len, open_table("db.t").files())))
    except LakeoptError as error:
        outcomes.add(type(error).__name__)
path.write_bytes(content)
print(sorted(map(str, outcomes)))
"""


@pytest.mark.fault
@pytest.mark.parametrize("what", ["manifest list", "manifest"])
@pytest.mark.parametrize("codec", ["gzip", "null"])
def test_damaged_bytes_end_in_an_error_and_never_in_a_crash(lake: Lake, what: str, codec: str) -> None:
    """In a process of its own: the decoder below is compiled code that used to read beyond its buffer."""
    properties = {"write.avro.compression-codec": codec}
    table = lake.create("db.t", SCHEMA, partition=[("p", "identity")], properties=properties)
    lake.append(table, rows(0, 9))
    path = metadata_files(lake.load("db.t"))[what]
    done = subprocess.run([sys.executable, "-c", FUZZ, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "DataFileError" in done.stdout
