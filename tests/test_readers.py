"""What readers in Python read of each encoding and feature, and what the names of readers allow to be written."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import duckdb
import encoded_files
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import OTHERS, differing, rows_of, types_of

from lakeopt.errors import UnknownName, UsageError
from lakeopt.layout import readers
from lakeopt.model.scan import ENCODINGS, WriterOptions
from lakeopt.parquet.encode import encode


def by_datafusion(path: Path) -> pa.Table:
    import datafusion

    frame = datafusion.SessionContext().read_parquet(str(path))
    return pa.Table.from_batches(frame.collect(), frame.schema())


def by_duckdb(path: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"SELECT * FROM '{path}'").to_arrow_table()


def by_polars(path: Path) -> pa.Table:
    import polars

    return polars.read_parquet(path).to_arrow()


READ: dict[str, Callable[[Path], pa.Table]] = {
    "datafusion": by_datafusion,
    "duckdb": by_duckdb,
    "polars": by_polars,
    "pyarrow": pq.read_table,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoded")
    for encoding in ENCODINGS:
        with (folder / f"{encoding}.parquet").open("wb") as sink:
            encoded_files.write_encoded(rows_of(tuple(types_of(encoding))), sink, encoding)
    for feature, other in OTHERS.items():
        with (folder / f"{feature}.parquet").open("wb") as sink:
            other.write(rows_of(other.types), sink)
    return folder


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_hold_the_encoding_in_every_type_that_may_have_it(files: Path, encoding: str) -> None:
    names = {"dictionary": "RLE_DICTIONARY"}
    for column in rows_of(tuple(types_of(encoding))).column_names:
        found = encoded_files.encodings_in(files / f"{encoding}.parquet", column)
        assert names.get(encoding, encoding.replace("-", "_").upper()) in found, column
        if encoding not in names:
            assert len(found) == 1


@pytest.mark.parametrize("content", [*ENCODINGS, *OTHERS])
@pytest.mark.parametrize("reader", READ)
def test_a_reader_in_python_reads_what_its_entry_says(files: Path, reader: str, content: str) -> None:
    (version,) = readers.READERS[reader]
    assert importlib.metadata.version(reader).startswith(f"{version}.")
    types = types_of(content) if content in ENCODINGS else OTHERS[content].types
    path, feature = files / f"{content}.parquet", content if content in ENCODINGS else OTHERS[content].feature
    if feature in readers.READERS[reader][version]:
        assert differing(rows_of(tuple(types)), READ[reader](path)) == []
    else:
        with pytest.raises(Exception, match=r"(?i)unsupported|not supported|not implemented"):
            READ[reader](path)


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("reader", READ)
def test_a_reader_in_python_reads_files_of_no_rows_and_of_one(tmp_path: Path, reader: str, rows: int) -> None:
    for encoding in ENCODINGS:
        table, path = rows_of(tuple(types_of(encoding))).slice(3, rows), tmp_path / f"{encoding}.parquet"
        with path.open("wb") as sink:
            encoded_files.write_encoded(table, sink, encoding)
        assert differing(table, READ[reader](path)) == []


def test_only_what_every_named_reader_reads_is_allowed() -> None:
    assert readers.allowed() == readers.allowed(["all"]) == {"dictionary", "plain"}
    assert readers.allowed(["duckdb", "spark"]) == set(ENCODINGS)
    assert readers.allowed(["spark-iceberg=1.12"]) == set(ENCODINGS)
    assert readers.allowed(["spark-iceberg=1.12", "spark-iceberg"]) == readers.BASIC
    assert "rle-booleans" not in readers.common(["spark-iceberg=1.12"])
    for reader, versions in readers.READERS.items():
        assert readers.allowed([reader]) == readers.allowed([f"{reader}={next(iter(versions))}"])


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1", ()),
        ("1.8.1", ()),
        ("1.9.2", ()),
        ("1.10", ("delta-binary-packed",)),
        ("1.11.0", ("delta-binary-packed",)),
        ("1.12.3", ENCODINGS),
        ("2.0", ENCODINGS),
    ],
)
def test_a_version_counts_as_the_newest_tested_below_it(version: str, expected: tuple[str, ...]) -> None:
    assert readers.allowed([f"spark-iceberg={version}"]) == readers.BASIC | set(expected)


def test_readers_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(UnknownName) as caught:
        readers.allowed(["duckdb", "spark-icebreg"])
    assert caught.value.hint == "did you mean 'spark-iceberg'?"
    for names, message in (([], "no reader"), (["spark="], "no version"), (["duckdb=new"], "no version")):
        with pytest.raises(UsageError, match=message):
            readers.allowed(names)


def test_byte_stream_split_is_never_written() -> None:
    assert not any("byte-stream-split" in reads for versions in readers.READERS.values() for reads in versions.values())
    with pytest.raises(UsageError, match="cannot be 'byte-stream-split'"):
        WriterOptions.from_mapping({"encoding.price": "byte-stream-split"})
    with pytest.raises(KeyError):
        encode(pa.table({"price": [1.5]}), WriterOptions(encodings={"price": "byte-stream-split"}))
