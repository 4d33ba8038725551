"""Files that hold every type in every encoding that it may be written in, to be read back by other readers.

Each type stands in one file four times: mixed with nulls, without nulls, with nulls alone and as a constant. Values
are the least and the greatest of their type, empty, long, alike and random ones, over two row groups of many pages.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.bloom_filters import can_be_filtered
from lakeopt.parquet.encode import encode, possible_encodings, writer_arguments
from lakeopt.parquet.stitch import StitchedFile

ROWS, GROUP_ROWS = 1200, 700
PAGES = WriterOptions(page_rows=128, page_bytes=4096)

TYPES: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "decimal9": pa.decimal128(9, 2),
    "decimal18": pa.decimal128(18, 4),
    "decimal38": pa.decimal128(38, 10),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "string": pa.string(),
    "binary": pa.binary(),
    "fixed": pa.binary(16),
}
NESTED: Mapping[str, pa.DataType] = {
    "struct": pa.struct([pa.field("a", pa.int64()), pa.field("b", pa.string())]),
    "list": pa.list_(pa.field("element", pa.string())),
    "map": pa.map_(pa.string(), pa.int64()),
}


def types_of(encoding: str) -> dict[str, pa.DataType]:
    """The types that a column may have in an encoding; nested ones keep the default."""
    plain = {name: kind for name, kind in TYPES.items() if encoding in possible_encodings(kind)}
    return plain | (dict(NESTED) if encoding == "dictionary" else {})


@lru_cache
def rows_of(names: tuple[str, ...]) -> pa.Table:
    """One column per type and content, the same at each call."""
    columns: dict[str, pa.Array] = {}
    for name in names:
        kind = (TYPES | NESTED)[name]
        random = Random(name)
        values = [value for value in _values(name, random) for _ in range(random.choice((1, 1, 3)))]
        values = (values * (ROWS // len(values) + 1))[:ROWS]
        columns[f"{name}_dense"] = pa.array(values, kind)
        columns[f"{name}_mixed"] = pa.array([None if random.random() < 0.3 else value for value in values], kind)
        columns[f"{name}_null"] = pa.nulls(ROWS, kind)
        columns[f"{name}_constant"] = pa.array(values[:1] * ROWS, kind)
    return pa.table(columns)


def _values(name: str, random: Random) -> Iterator[Any]:
    match name:
        case "boolean":
            yield from [True] * 70 + [False] * 70 + [random.random() < 0.5 for _ in range(300)]
        case "int" | "long":
            bits = 31 if name == "int" else 63
            least, most = -(1 << bits), (1 << bits) - 1
            yield from [0, most, least, most, least, 1, -1, least + 1, 0, 0, *range(300), *range(90, -90, -3)]
            yield from [random.randint(least, most) >> random.randrange(bits) for _ in range(300)]
        case "float" | "double":
            inf = float("inf")
            yield from [0.0, -0.0, inf, -inf, 1.5, -1.5, float("nan"), 2.0**-126, 2.0**127]
            yield from [random.randrange(-999, 999) / 8 for _ in range(300)]
        case "decimal9" | "decimal18" | "decimal38":
            kind = TYPES[name]
            whole = [10**kind.precision - 1, 1 - 10**kind.precision, 0, 1, -1, *range(0, 900, 7)]
            whole += [random.randrange(10 ** random.randint(1, kind.precision)) for _ in range(300)]
            yield from [
                Decimal((int(number < 0), Decimal(abs(number)).as_tuple().digits, -kind.scale)) for number in whole
            ]
        case "date":
            yield from [dt.date.min, dt.date.max, dt.date(1582, 10, 4), dt.date(1970, 1, 1), dt.date(1969, 12, 31)]
            yield from [dt.date(2024, 1, 1) + dt.timedelta(random.randrange(900)) for _ in range(300)]
        case "time":
            yield from [dt.time(0), dt.time(23, 59, 59, 999_999), dt.time(0, 0, 0, 1)]
            yield from [dt.time(random.randrange(24), random.randrange(60)) for _ in range(300)]
        case "timestamp" | "timestamptz":
            zone = dt.UTC if name == "timestamptz" else None
            yield from [dt.datetime(1, 1, 1, tzinfo=zone), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, zone)]
            start = dt.datetime(1969, 12, 31, 23, tzinfo=zone)
            yield from [start + dt.timedelta(seconds=step) for step in range(0, 9000, 30)]
            yield from [start + dt.timedelta(microseconds=random.randrange(10**15)) for _ in range(300)]
        case "string" | "list" | "struct" | "map":
            words = ["", "a", "\x00", "äöü", "日本語", "x" * 5000, "", "prefix", "prefix-1", "prefix-12", "pre", "🜚"]
            words += [f"https://example.org/{n // 9}/{random.randrange(10**6)}" for n in range(300)]
            yield from (_nested(name, word, random) for word in words)
        case "binary":
            yield from [b"", b"\xff" * 3, b"\x00", b"\xc3\x28", b"", bytes(range(256)) * 9]
            yield from [random.randbytes(random.randrange(20)) for _ in range(300)]
        case _:
            yield from [b"\x00" * 16, b"\xff" * 16, *(random.randbytes(16) for _ in range(300))]


def _nested(name: str, word: str, random: Random) -> Any:
    if name == "list":
        return [word, None, word[:2]][: random.randrange(4)]
    if name == "struct":
        return {"a": None if random.random() < 0.2 else random.randrange(9), "b": word}
    return {word: 1, word + "b": None} if name == "map" and random.random() < 0.9 else ({} if name == "map" else word)


def write_encoded(rows: pa.Table, sink: IO[bytes], encoding: str, **options: Any) -> None:
    """A file as lakeopt writes it: row groups encoded apart, then put together."""
    writer = replace(PAGES, encodings=dict.fromkeys(rows.schema.names, encoding), **options)
    file = StitchedFile(sink)
    for start in range(0, max(1, rows.num_rows), GROUP_ROWS):
        file.append(encode(rows.slice(start, GROUP_ROWS), writer))
    file.finish({})


#: Types that may have a Bloom filter.
FILTERED = tuple(name for name, kind in TYPES.items() if can_be_filtered(kind))


def write_filtered(rows: pa.Table, sink: IO[bytes]) -> None:
    """As :func:`write_encoded`, with a Bloom filter on every column."""
    write_encoded(rows, sink, "dictionary", bloom_filters=dict.fromkeys(rows.schema.names, 500))


def write_other(rows: pa.Table, sink: IO[bytes], encodings: Mapping[str, str], **more: Any) -> None:
    """A file with what lakeopt never writes: ``encodings`` are of the Parquet format, by the column's type."""
    types = {name: name.partition("_")[0] for name in rows.schema.names}
    chosen = {name: encodings[kind] for name, kind in types.items() if kind in encodings}
    arguments = writer_arguments(rows, PAGES, dict.fromkeys(chosen, "plain")) | {"column_encoding": chosen or None}
    with pq.ParquetWriter(sink, rows.schema, **(arguments | more)) as writer:
        writer.write_table(rows, row_group_size=GROUP_ROWS)


@dataclass(frozen=True)
class Other:
    """A file with a feature of ``readers.FEATURES``, over columns of these types."""

    feature: str
    types: tuple[str, ...]
    write: Callable[[pa.Table, IO[bytes]], None]


_WITH_BOOLEANS = ("boolean", *types_of("dictionary"))
#: Files that hold more than an encoding; none of them but the first two is as lakeopt writes it.
OTHERS: Mapping[str, Other] = {
    "page-index": Other("page-index", ("long", "string"), partial(write_encoded, encoding="dictionary")),
    "bloom-filters": Other("bloom-filters", FILTERED, write_filtered),
    "data-page-v2": Other(
        "data-page-v2",
        _WITH_BOOLEANS,
        partial(write_other, encodings={"boolean": "PLAIN"}, data_page_version="2.0"),
    ),
    "plain-data-page-v2": Other(
        "data-page-v2",
        tuple(TYPES),
        partial(write_other, encodings=dict.fromkeys(TYPES, "PLAIN"), data_page_version="2.0"),
    ),
    "rle-booleans": Other("rle-booleans", ("boolean", "int"), partial(write_other, encodings={"boolean": "RLE"})),
    "rle-booleans-data-page-v2": Other(
        "rle-booleans", ("boolean", "int"), partial(write_other, encodings={"boolean": "RLE"}, data_page_version="2.0")
    ),
}


def encodings_in(path: Path, column: str) -> set[str]:
    """Encodings that the footer names for a top-level column, those of levels left out."""
    footer = pq.read_metadata(path)
    chunks = [footer.row_group(g).column(c) for g in range(footer.num_row_groups) for c in range(footer.num_columns)]
    return {e for chunk in chunks if chunk.path_in_schema.split(".")[0] == column for e in chunk.encodings} - {"RLE"}


def differing(expected: pa.Table, read: pa.Table) -> list[str]:
    """Columns that were read otherwise than written; NaN equals itself and -0.0 is not 0.0."""
    assert read.column_names == expected.column_names
    return [name for name in expected.column_names if not _same(expected[name], read[name])]


def _same(expected: pa.ChunkedArray, read: pa.ChunkedArray) -> bool:
    read = read.cast(expected.type)
    return bool(expected.equals(read)) or repr(expected.to_pylist()) == repr(read.to_pylist())
