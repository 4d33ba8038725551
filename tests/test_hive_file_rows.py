"""Files of a Hive table as rows: what is found once for all files of a schema is right for each of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from lakeopt.parquet.threads import ahead, each
from lakeopt.tables.hive.file_rows import FooterRows
from lakeopt.tables.hive.hive_types import iceberg_schema

COLUMNS = (("id", "bigint"), ("word", "string"))


def written(path: Path, rows: pa.Table, **options: object) -> str:
    pq.write_table(rows, path, **options)
    return str(path)


def reader(columns: tuple[tuple[str, str], ...] = COLUMNS) -> FooterRows:
    return FooterRows(iceberg_schema(columns), "parquet", lambda path: (fs.LocalFileSystem(), path))


def test_files_of_one_schema_have_counts_and_bounds_of_their_own(tmp_path: Path) -> None:
    found = reader()
    first = found(written(tmp_path / "a", pa.table({"id": [3, 1], "word": ["b", None]})))
    other = found(written(tmp_path / "b", pa.table({"id": [9, 7, 8], "word": ["x", "y", "z"]}), row_group_size=2))
    assert (first.record_count, other.record_count) == (2, 3)
    assert (first.null_value_counts, other.null_value_counts) == ({1: 0, 2: 1}, {1: 0, 2: 0})
    assert (first.lower_bounds[1][0], first.upper_bounds[1][0]) == (1, 3)
    assert (other.lower_bounds[1][0], other.upper_bounds[1][0], other.upper_bounds[2]) == (7, 9, b"z")
    assert len(other.split_offsets) == 2
    assert first.shape is other.shape


def test_files_that_pyarrow_takes_for_other_types_are_told_apart(tmp_path: Path) -> None:
    """Both have the same Parquet schema; a key-value makes one a dictionary's."""
    words = pa.array(["a", "b"])
    found = reader()
    plain = found(written(tmp_path / "a", pa.table({"id": [1, 2], "word": words})))
    coded = found(written(tmp_path / "b", pa.table({"id": [1, 2], "word": words.dictionary_encode()})))
    assert plain.shape is not None
    assert coded.shape is not None
    assert (plain.shape.field("word").type, str(coded.shape.field("word").type)[:10]) == (pa.string(), "dictionary")
    assert plain.upper_bounds[2] == b"b"
    assert 2 not in coded.upper_bounds


def test_a_key_value_of_each_file_is_not_kept_for_all(tmp_path: Path) -> None:
    found = reader()
    for number in range(40):
        rows = pa.table({"id": [number], "word": ["w"]}).replace_schema_metadata({"pandas": f"{number} rows"})
        assert found(written(tmp_path / str(number), rows)).record_count == 1
    assert len(found._layouts) == 16


def test_a_column_whose_place_differs_between_files(tmp_path: Path) -> None:
    found = reader()
    assert found(written(tmp_path / "a", pa.table({"id": [1], "word": ["w"]}))).upper_bounds[2] == b"w"
    turned = found(written(tmp_path / "b", pa.table({"Word": ["v"], "more": [{"x": 1}], "ID": [5]})))
    assert turned.upper_bounds[2] == b"v"
    assert turned.lower_bounds[1][0] == 5


def test_an_error_of_what_is_fetched_ahead_comes_to_the_taker() -> None:
    def pages() -> object:
        yield 1
        raise ValueError("gone")

    taken = ahead(pages())  # type: ignore[arg-type]
    assert next(taken) == 1
    with pytest.raises(ValueError, match="gone"):
        next(taken)


def test_batches_keep_their_order() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        assert list(each(pool, lambda one: one * 2, range(100))) == list(range(0, 200, 2))
