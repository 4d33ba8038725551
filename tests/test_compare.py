"""What two tables take, column by column: bytes as the files have them, and the reason as it was made."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake import Lake
from pyarrow import fs

import lakeopt
from lakeopt.errors import DataFileError
from lakeopt.model.comparison import ColumnComparison, StorageComparison
from lakeopt.orc import stored_columns as of_orc
from lakeopt.parquet import stored_columns as of_parquet

ROWS = 20_000
#: Bytes that the footer of a stripe takes at most, with the streams of the row itself.
STRIPE_FOOTER = 400


def rows(seed: int = 0) -> pa.Table:
    places = list(range(ROWS))
    random.Random(seed).shuffle(places)
    return pa.table(
        {
            "id": pa.array(places, pa.int64()),
            "agent": [f"Mozilla/5.0 (device {place % 50}; build {place % 50:08d})" for place in places],
            "session": [f"{place:032x}" for place in places],
        }
    )


def local(location: str) -> tuple[fs.FileSystem, str]:
    return fs.LocalFileSystem(), location


def table(lake: Lake, name: str, data: pa.Table, **writer: Any) -> str:
    """A table of one file, written with these options of pyarrow's writer."""
    lake.catalog.create_namespace_if_not_exists("db")
    made = lake.catalog.create_table(f"db.{name}", data.schema)
    path = lake.root / f"{name}.parquet"
    pq.write_table(data, path, **writer)
    made.add_files([path.as_uri()])
    return f"lake.db.{name}"


def column(value: StorageComparison, name: str) -> ColumnComparison:
    return next(one for one in value.columns if one.name == name)


def test_bytes_of_columns_are_those_of_the_files(lake: Lake) -> None:
    data = rows()
    value = lakeopt.compare(table(lake, "a", data), table(lake, "b", data.sort_by("agent")))
    for side in ("before", "after"):
        compared = getattr(value, side)
        path = lake.root / f"{compared.table[-1]}.parquet"
        group = pq.read_metadata(path).row_group(0)
        wanted = {group.column(i).path_in_schema: group.column(i).total_compressed_size for i in range(3)}
        assert {one.name: getattr(one, f"bytes_{side}") for one in value.columns} == wanted
        assert (compared.record_count, compared.footers_read, compared.bytes) == (ROWS, 1, path.stat().st_size)
    assert value.ratio == pytest.approx(value.after.bytes / value.before.bytes)
    assert column(value, "agent").ratio < 0.5  # type: ignore[operator]
    assert "the same encodings over another order of rows" in column(value, "agent").why


def test_the_reason_names_a_dictionary_that_was_outgrown(lake: Lake) -> None:
    data = rows()
    long = data.set_column(2, "session", repeated(data["session"]))
    value = lakeopt.compare(table(lake, "a", long), table(lake, "b", long, dictionary_pagesize_limit=4096))
    found = column(value, "session")
    assert value.columns[0] is found
    assert found.why.startswith("its dictionary outgrew the limit")
    assert found.before is not None
    assert found.before.dictionary_share == 1.0
    assert found.after is not None
    assert found.after.overflowed_share == 1.0


def repeated(values: pa.ChunkedArray) -> pa.Array:
    """Long values, each of them often: what a dictionary is for, and what outgrows a small one."""
    distinct = values.combine_chunks().slice(0, 500)
    return distinct.take(pa.array([place % 500 for place in range(ROWS)]))


def test_the_reason_names_the_codec(lake: Lake) -> None:
    value = lakeopt.compare(table(lake, "a", rows(), compression="gzip"), table(lake, "b", rows()))
    assert (dict(value.before.codecs).keys(), dict(value.after.codecs).keys()) == ({"gzip"}, {"snappy"})
    assert "snappy instead of gzip: packed to" in column(value, "session").why


def test_sizes_are_held_against_each_other_a_row(lake: Lake) -> None:
    value = lakeopt.compare(table(lake, "a", rows()), table(lake, "b", pa.concat_tables([rows(), rows()])))
    assert value.ratio == pytest.approx(value.after.bytes / value.before.bytes / 2)
    assert column(value, "agent").ratio == pytest.approx(
        column(value, "agent").bytes_after / column(value, "agent").bytes_before / 2
    )


def test_a_column_that_one_side_lacks_is_named(lake: Lake) -> None:
    value = lakeopt.compare(table(lake, "a", rows()), table(lake, "b", rows().drop_columns(["agent"])))
    assert column(value, "agent").why == "not in the files of the second table"
    assert (column(value, "agent").after, column(value, "agent").ratio) == (None, None)


def test_an_empty_table_has_no_ratio(lake: Lake) -> None:
    lake.catalog.create_namespace("db")
    lake.catalog.create_table("db.a", rows().schema)
    value = lakeopt.compare("lake.db.a", table(lake, "b", rows()))
    assert value.ratio is None
    assert {one.why for one in value.columns} == {"not in the files of the first table"}


@pytest.mark.parametrize("codec", ["uncompressed", "zlib", "snappy", "zstd"])
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 400), st.booleans())
def test_columns_of_orc_take_what_the_file_takes(codec: str, count: int, distinct: int, coded: bool) -> None:
    import io

    strings = [f"value {place % distinct}" for place in range(count)]
    nested = [{"p": [place], "q": None if place % 3 else "x"} for place in range(count)]
    data = pa.table({"Id": range(count), "text": strings, "nested": nested})
    sink = io.BytesIO()
    pa.orc.write_table(
        data, sink, compression=codec, dictionary_key_size_threshold=1.0 if coded else 0.0, stripe_size=64 << 10
    )
    body = sink.getvalue()
    found = list(of_orc.stored_columns("f", in_memory(body)))
    assert {name for name, _ in found} == {"Id", "text", "nested"}
    file = pa.orc.ORCFile(io.BytesIO(body))
    total = sum(chunk.bytes for _, chunk in found)
    assert total < file.content_length <= total + 3 + file.nstripes * STRIPE_FOOTER
    text = {chunk.encodings for name, chunk in found if name == "text"}
    assert text == {("dictionary",)} if coded and distinct * 2 < count else text <= {("dictionary",), ("direct",)}


def in_memory(body: bytes):  # type: ignore[no-untyped-def]
    class System:
        def open_input_file(self, path: str) -> pa.NativeFile:
            return pa.BufferReader(body)

    return lambda location: (System(), location)


@pytest.mark.parametrize("module", [of_orc, of_parquet])
@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut"])
def test_damaged_files_are_data_file_errors(module: object, damage: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    if damage != "missing":
        if module is of_orc:
            pa.orc.write_table(rows(), str(path), compression="zlib")
        else:
            pq.write_table(rows(), path)
        body = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"not at all " * 20, "cut": body[: len(body) // 2]}[damage])
    with pytest.raises(DataFileError, match=str(path)):
        list(module.stored_columns(str(path), local))  # type: ignore[attr-defined]
