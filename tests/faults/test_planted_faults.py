"""Every way in which a reader is known to go wrong, planted into a staging step: the proof must catch each.

The table has had columns renamed, added with a default and promoted, and has a file without field ids, an identity
partition column that no file holds, and row deletes. An honest staging of it is proved; each fault is caught, and
the columns that it spoilt are named.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scans import equality_deletes, field, position_deletes, scan_of, table, write

from lakeopt.errors import DataFileError, ProofFailed
from lakeopt.model.scan import Scan, staged_schema
from lakeopt.parquet.scan import read_batches
from lakeopt.registry import ENGINES, load
from lakeopt.workflows.verify import prove, staged_scan

NOW = pa.schema(
    [
        field("id", pa.int64(), 1),
        field("place", pa.struct([field("town", pa.string(), 3), field("zip", pa.int32(), 4)]), 2),
        field("at", pa.timestamp("us", "UTC"), 5),
        field("price", pa.decimal128(9, 2), 6),
        field("tags", pa.map_(field("key", pa.string(), 8, False), field("value", pa.string(), 9)), 7),
        field("added", pa.string(), 10),
        field("region", pa.string(), 11),
        field("ratio", pa.float64(), 12),
    ]
)
THEN = pa.schema(
    [
        field("id", pa.int32(), 1),
        field("place", pa.struct([field("city", pa.string(), 3), field("zip", pa.int32(), 4)]), 2),
        *[NOW.field(name) for name in ("at", "price", "tags", "ratio")],
    ]
)
PLAIN = pa.schema(
    [
        ("id", pa.int32()),
        ("place", pa.struct([("city", pa.string()), ("zip", pa.int32())])),
        ("at", pa.timestamp("us", "UTC")),
        ("price", pa.decimal128(9, 2)),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("ratio", pa.float64()),
    ]
)
MAPPING: tuple[dict[str, Any], ...] = (
    *(
        {"field-id": n, "names": [name]}
        for n, name in [(1, "id"), (5, "at"), (6, "price"), (10, "added"), (12, "ratio")]
    ),
    {
        "field-id": 2,
        "names": ["place"],
        "fields": [{"field-id": 3, "names": ["town", "city"]}, {"field-id": 4, "names": ["zip"]}],
    },
    {
        "field-id": 7,
        "names": ["tags"],
        "fields": [{"field-id": 8, "names": ["key"]}, {"field-id": 9, "names": ["value"]}],
    },
)
COUNT = 50


def rows(schema: pa.Schema, start: int) -> pa.Table:
    numbers = range(start, start + COUNT)
    columns = {
        "id": list(numbers),
        "place": [None if n % 7 == 0 else {schema.field("place").type[0].name: f"t{n % 5}", "zip": n} for n in numbers],
        "at": [dt.datetime(2024, 3, 1, tzinfo=dt.UTC) + dt.timedelta(hours=n) for n in numbers],
        "price": [Decimal(n).scaleb(-2) for n in numbers],
        "tags": [[("a", "x"), ("b", str(n % 3))] for n in numbers],
        "ratio": [-0.0 if n % 10 == 0 else n / 3 for n in numbers],
    }
    return table(schema, **{name: columns[name] for name in schema.names})


@pytest.fixture
def before(tmp_path: Path) -> Scan:
    one, two = write(tmp_path / "ids.parquet", rows(THEN, 0)), write(tmp_path / "plain.parquet", rows(PLAIN, COUNT))
    deletes = [
        position_deletes(tmp_path / "d1.parquet", {one: [3, 4]}),
        equality_deletes(tmp_path / "d2.parquet", table(pa.schema([THEN.field("id")]), id=[10, 60])),
    ]
    return scan_of(
        NOW,
        [one, two],
        deletes=deletes,
        name_mapping=MAPPING,
        defaults={10: "new"},
        constants={one.as_uri(): {11: "north"}, two.as_uri(): {11: "south"}},
    )


def read(scan: Scan) -> pa.Table:
    return pa.Table.from_batches(read_batches(scan, threads=1), schema=scan.schema)


def written(rows: pa.Table, scan: Scan, root: Path) -> Scan:
    path = write(root / "out" / "0.parquet", rows)
    row = {
        "file_path": path.as_uri(),
        "file_size_in_bytes": path.stat().st_size,
        "record_count": rows.num_rows,
        "sorted": False,
        "nan_value_counts": [],
    }
    return staged_scan(scan, pa.Table.from_pylist([row], schema=staged_schema()))


def put(rows: pa.Table, name: str, values: Any) -> pa.Table:
    """The rows with other values in one column."""
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), values)


def renamed_field_as_null(scan: Scan) -> pa.Table:
    """A reader that matches nested fields by name: what was ``city`` in the file is not found as ``town``."""
    found = read(scan)
    place = found["place"].combine_chunks()
    town = pa.nulls(len(place), pa.string())
    return put(
        found,
        "place",
        pa.StructArray.from_arrays([town, place.field(1)], fields=list(place.type), mask=place.is_null()),
    )


def exchanged_fields(scan: Scan) -> pa.Table:
    found = read(scan)
    return put(found, "ratio", found["ratio"].combine_chunks()[::-1])


def file_without_ids_as_nulls(scan: Scan) -> pa.Table:
    first = read(dataclasses.replace(scan, files=scan.files.slice(0, 1)))
    count = len(read(scan)) - len(first)
    return pa.concat_tables([first, pa.table([pa.nulls(count, kind) for kind in NOW.types], schema=NOW)])


def lost_default(scan: Scan) -> pa.Table:
    return read(dataclasses.replace(scan, defaults={}))


def lost_partition_value(scan: Scan) -> pa.Table:
    return read(dataclasses.replace(scan, constants={}))


def ignored_deletes(scan: Scan) -> pa.Table:
    place = scan.files.schema.get_field_index("delete_files")
    kept = pa.nulls(scan.files.num_rows, scan.files.schema.field(place).type)
    return read(dataclasses.replace(scan, files=scan.files.set_column(place, "delete_files", kept), deletes=None))


def deletes_of_other_rows(scan: Scan) -> pa.Table:
    found = read(scan)
    return pa.concat_tables([found.slice(1), read(dataclasses.replace(scan, files=scan.files)).slice(5, 1)])


def shifted_time_zone(scan: Scan) -> pa.Table:
    found = read(scan)
    local = pc.assume_timezone(found["at"].cast(pa.timestamp("us")), "America/New_York")
    return put(found, "at", local.cast(pa.timestamp("us", "UTC")))


def half_precision(scan: Scan) -> pa.Table:
    found = read(scan)
    return put(found, "ratio", found["ratio"].cast(pa.float32()).cast(pa.float64()))


def zeros_without_sign(scan: Scan) -> pa.Table:
    found = read(scan)
    return put(found, "ratio", pc.add(found["ratio"], 0.0))


def null_structs_as_structs_of_nulls(scan: Scan) -> pa.Table:
    found = read(scan)
    place = found["place"].combine_chunks()
    return put(found, "place", pa.StructArray.from_arrays(place.flatten(), fields=list(place.type)))


def lost_map_entries(scan: Scan) -> pa.Table:
    found = read(scan)
    firsts = [entries[:1] for entries in found["tags"].to_pylist()]
    return put(found, "tags", pa.array(firsts, NOW.field("tags").type))


def rescaled_decimals(scan: Scan) -> pa.Table:
    found = read(scan)
    return put(found, "price", pc.multiply(found["price"], Decimal(10)).cast(pa.decimal128(9, 2)))


Fault = Callable[[Scan], pa.Table]
FAULTS: list[tuple[Fault, str]] = [
    (renamed_field_as_null, "differ in 'place'"),
    (exchanged_fields, "values have moved from row to row"),
    (file_without_ids_as_nulls, "differ in 'id', 'place', 'at', 'price', 'tags', 'added', 'region', 'ratio'"),
    (lost_default, "differ in 'added'"),
    (lost_partition_value, "differ in 'region'"),
    (ignored_deletes, "96 rows were read, 100 were written"),
    (deletes_of_other_rows, "differ in 'id'"),
    (shifted_time_zone, "differ in 'at'"),
    (half_precision, "differ in 'ratio'"),
    (zeros_without_sign, "differ in 'ratio'"),
    (null_structs_as_structs_of_nulls, "differ in 'place'"),
    (lost_map_entries, "differ in 'tags'"),
    (rescaled_decimals, "differ in 'price'"),
]


def prove_rows(scan: Scan, staged: Scan) -> Any:
    return prove(load(ENGINES, "duckdb").ENGINE, scan, staged, "rows", threads=2, memory_bytes=1 << 28)


def test_an_honest_staging_is_proved(before: Scan, tmp_path: Path) -> None:
    found = read(before)
    proof = prove_rows(before, written(found.take(list(range(len(found)))[::-1]), before, tmp_path))
    assert proof.matched
    assert proof.record_count == 2 * COUNT - 4
    assert proof.fingerprint
    assert proof.version


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_planted_fault_is_caught_and_named(before: Scan, tmp_path: Path, fault: Fault, message: str) -> None:
    staged = written(fault(before), before, tmp_path)
    with pytest.raises(ProofFailed) as caught:
        prove_rows(before, staged)
    assert message in str(caught.value)
    assert "the table is as it was" in (caught.value.hint or "")


def test_counts_catch_ignored_deletes_and_lost_rows_only(before: Scan, tmp_path: Path) -> None:
    engine = load(ENGINES, "duckdb").ENGINE
    options: dict[str, Any] = {"threads": 2, "memory_bytes": 1 << 28}
    proof = prove(engine, before, written(lost_default(before), before, tmp_path / "1"), "counts", **options)
    assert (proof.method, proof.matched, proof.fingerprint, proof.record_count) == ("counts", True, None, 96)
    for number, rows in enumerate((ignored_deletes(before), read(before).slice(1))):
        with pytest.raises(ProofFailed, match="96 rows were read"):
            prove(engine, before, written(rows, before, tmp_path / f"x{number}"), "counts", **options)


def test_a_file_that_does_not_hold_what_the_manifest_counts_stops_the_proof(before: Scan, tmp_path: Path) -> None:
    staged = written(read(before), before, tmp_path)
    place = before.files.schema.get_field_index("record_count")
    files = before.files.set_column(place, before.files.schema.field(place), pa.array([COUNT, COUNT + 1]))
    for method in ("rows", "counts"):
        with pytest.raises(DataFileError, match="the table says 51"):
            prove(
                load(ENGINES, "duckdb").ENGINE,
                dataclasses.replace(before, files=files),
                staged,
                method,
                threads=1,
                memory_bytes=1 << 28,
            )
