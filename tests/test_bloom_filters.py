"""Bloom filters: written and moved with their row groups, sized as asked, and never hiding a value from a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datafusion
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import FILTERED, GROUP_ROWS, ROWS, TYPES, rows_of, write_filtered

from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.bloom_filters import can_be_filtered
from lakeopt.parquet.encode import encode
from lakeopt.parquet.stitch import StitchedFile

GROUPS = -(-ROWS // GROUP_ROWS)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two row groups, each with a filter on every column but that of floats."""
    path = tmp_path_factory.mktemp("filters") / "rows.parquet"
    rows = rows_of(("float", *FILTERED)).append_column("dotted.name", rows_of(("string",))["string_dense"])
    with path.open("wb") as sink:
        write_filtered(rows, sink)
    return path


def filters(path: Path) -> dict[tuple[int, str], int]:
    """Length of the filter by row group and column."""
    footer = pq.read_metadata(path)
    chunks = [
        (g, footer.row_group(g).column(c)) for g in range(footer.num_row_groups) for c in range(footer.num_columns)
    ]
    return {(g, c.path_in_schema): c.bloom_filter_length for g, c in chunks if c.bloom_filter_length is not None}


def values_of(path: Path, column: str, count: int = 24) -> list[Any]:
    """Distinct values of a column: the first, and some that not all row groups hold."""
    values = [v for v in dict.fromkeys(pq.read_table(path, columns=[column])[column].to_pylist()) if v is not None]
    return values[:12] + values[12 :: max(1, len(values) // count)]


def test_each_row_group_has_a_filter_on_each_column_that_may_have_one(path: Path) -> None:
    columns = [name for name in pq.read_schema(path).names if not name.startswith("float")]
    assert set(filters(path)) == {(group, name) for group in range(GROUPS) for name in columns}


def test_an_absent_value_leaves_out_every_row_group_and_a_present_one_only_those_without_it(path: Path) -> None:
    with duckdb.connect() as connection:
        plan = connection.sql(f"EXPLAIN ANALYZE SELECT * FROM '{path}' WHERE string_dense = 'nowhere'").fetchall()
        assert f"Row Groups Scanned: 0 / {GROUPS}" in plan[0][1]
        held = pq.read_table(path, columns=["long_dense"])["long_dense"].to_pylist()
        for value in values_of(path, "long_dense"):
            probed = connection.sql(f"FROM parquet_bloom_probe('{path}', 'long_dense', {value})").fetchall()
            for _, group, excluded in probed:
                assert not (excluded and value in held[group * GROUP_ROWS : (group + 1) * GROUP_ROWS])
            assert len(probed) == GROUPS


@pytest.mark.parametrize("column", [*(f"{name}_dense" for name in FILTERED), "string_mixed", "dotted.name"])
def test_no_filter_hides_a_value(path: Path, column: str) -> None:
    held = pq.read_table(path, columns=[column])[column]
    values = held.to_pylist()
    frame = datafusion.SessionContext().read_parquet(str(path))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for value in values_of(path, column):
            text = "'" + str(value).replace("'", "''") + "'"
            if "\x00" not in text:
                found = connection.sql(f"SELECT count(*) FROM '{path}' WHERE \"{column}\" = {text}").fetchall()
                assert found == [(values.count(value),)]
            equal = datafusion.col(f'"{column}"') == datafusion.lit(pa.scalar(value, held.type))
            assert frame.filter(equal).count() == values.count(value)


def test_a_filter_has_the_size_of_its_values_and_never_of_more_than_the_rows() -> None:
    rows = pa.table({"id": pa.array(range(20_000), pa.int64())})
    sizes = {n: _filter_bytes(rows, WriterOptions(bloom_filters={"id": n})) for n in (1, 100, 20_000, 10**9)}
    assert 20_000 < sizes[20_000] < 40_000 + 64, "between one and two bytes a value"
    assert sizes[10**9] == sizes[20_000]
    assert sizes[1] < sizes[100] < sizes[20_000]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_few_rows_or_references_into_a_dictionary_are_no_trouble(rows: int) -> None:
    table = pa.table({"word": pa.array(["a"]).dictionary_encode(), "id": pa.array([1])}).slice(0, rows)
    part = encode(table, WriterOptions(bloom_filters={"word": 5, "id": 5, "no such": 5}, encodings={"id": "plain"}))
    assert pq.read_table(pa.BufferReader(part.data)).num_rows == rows


def test_columns_whose_equal_values_may_have_different_bytes_get_no_filter() -> None:
    assert not any(can_be_filtered(TYPES[name]) for name in ("float", "double", "decimal9", "decimal38", "boolean"))
    assert not any(can_be_filtered(kind) for kind in (pa.list_(pa.int64()), pa.struct([("a", pa.int64())])))


def _filter_bytes(rows: pa.Table, options: WriterOptions) -> int:
    sink = pa.BufferOutputStream()
    file = StitchedFile(sink)
    file.append(encode(rows, options))
    file.finish({})
    footer = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    return int(footer.row_group(0).column(0).bloom_filter_length)
