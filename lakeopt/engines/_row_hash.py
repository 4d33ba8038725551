"""Hash rows by the Iceberg type of their columns, in two independent 64-bit lanes (docs/design/proof.md).

DuckDB's ``hash()`` over Arrow batches is the work horse. Taken alone it would not do; measured on 2.0.1:

- a list, a struct and a map hash to the fold of their leaves, so ``[[1], [2]]``, ``[[1, 2]]`` and ``[1, 2]`` are
  one, and so are NULL, ``[]`` and ``[NULL]``: nested values are hashed here, level by level;
- 128-bit integers hash to the xor of their halves, so 0 and -1 are one: decimals above 18 digits go in as bytes;
- floats lose the sign of zero: they go in as bits;
- bytes that differ in the top bits of two 8-byte words hash alike: the second lane hashes them behind a prefix
  that moves every byte to another place of its word;
- the last argument of ``hash(a, b)`` is only xor-ed in, and such sums miss an exchange of values between two rows
  once in 10^8: every row's hash is finalised before it is summed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from pyarrow import types as is_

from lakeopt.model.result import Fingerprint
from lakeopt.parquet.field_ids import field_id
from lakeopt.parquet.values import bits, by_id_order, children, storage, window

#: Raised when the same rows come to have another fingerprint.
DEFINITION = 1
_MODULUS = 1 << 64
_SECOND_LANE = "second"
#: Rows from which hashing a dictionary's values apart (a query of its own) costs less than hashing every row's.
_WORTH_CODES = 16_384

#: Iceberg's names of Arrow's plain types, in all the ways that Arrow has to lay them out.
_NAMES = {"bool": "boolean", "int32": "int", "int64": "long", "float": "float", "double": "double"}
_NAMES |= {"date32[day]": "date", "time64[us]": "time"}
_NAMES |= {"large_string": "string", "string_view": "string", "large_binary": "binary", "binary_view": "binary"}

Words = np.ndarray[Any, np.dtype[np.uint64]]


def version() -> str:
    """Version of the fingerprint: our definition and DuckDB's, whose hash function may change with a release."""
    return f"{DEFINITION}/duckdb-{duckdb.__version__}"


def type_name(type_: pa.DataType) -> str:
    """Iceberg type of an Arrow type; nested fields are told by their ids, not by their names.

    >>> type_name(pa.large_string()), type_name(pa.decimal128(9, 2)), type_name(pa.timestamp("us", "UTC"))
    ('string', 'decimal(9, 2)', 'timestamptz')
    """
    if is_.is_dictionary(type_):
        return type_name(type_.value_type)
    if parts := children(type_):
        kind = "struct" if is_.is_struct(type_) else "map" if is_.is_map(type_) else "list"
        return f"{kind}<{','.join(identity(parts[place]) for place in _order(parts))}>"
    if is_.is_timestamp(type_):
        return ("timestamptz" if type_.tz else "timestamp") + ("_ns" if type_.unit == "ns" else "")
    if is_.is_decimal(type_):
        return f"decimal({type_.precision}, {type_.scale})"
    if isinstance(type_, pa.UuidType):
        return "uuid"
    if is_.is_fixed_size_binary(type_):
        return f"fixed[{type_.byte_width}]"
    return _NAMES.get(str(type_), str(type_))


def identity(column: pa.Field) -> str:
    """What makes a column this column: its field id (a name only where there is none) and its Iceberg type."""
    number = field_id(column)
    return f"{column.name if number is None else number}:{type_name(column.type)}"


@dataclass(slots=True)
class Sums:
    """Both lanes of a multiset of rows, or of one column of it, summed modulo 2^64."""

    low: int = 0
    high: int = 0

    def add(self, low: int, high: int) -> None:
        """Take in more rows."""
        self.low, self.high = (self.low + low) % _MODULUS, (self.high + high) % _MODULUS

    def digest(self) -> str:
        """128 bits as 32 hex digits."""
        return f"{self.high:016x}{self.low:016x}"


@dataclass(slots=True)
class _Lanes:
    """Arguments of ``hash()`` for each lane, as SQL, and the Arrow columns that they name."""

    low: list[str] = field(default_factory=list)
    high: list[str] = field(default_factory=list)
    columns: dict[str, pa.Array] = field(default_factory=dict)

    def add(self, array: pa.Array, hasher: RowHasher) -> None:
        """One column: a plain one as it is, a nested or dictionary-coded one by its digests."""
        name = f"c{len(self.low)}"
        if is_.is_dictionary(array.type) and len(array) < max(_WORTH_CODES, 2 * len(array.dictionary)):
            array = array.dictionary_decode()
        if is_.is_dictionary(array.type) or is_.is_nested(array.type):
            first, second = hasher.digest(array)
            self.columns |= {name: pa.array(first), name + "_2": pa.array(second)}
            low, high = name, name + "_2"
        else:
            self.columns[name] = _leaf(array)
            low, high = _arguments(name, self.columns[name].type)
        self.low.append(low)
        self.high.append(high)

    def expressions(self, salt: str) -> tuple[str, str]:
        """The row hash of each lane: folded in opposite directions, and finalised."""
        text = "'" + salt.replace("'", "''") + "'"
        low, high = ", ".join([text, *self.low]), ", ".join([f"{text} || '{_SECOND_LANE}'", *reversed(self.high)])
        return f"hash(hash({low}))", f"hash(hash({high}))"


class RowHasher:
    """Fingerprint of the rows of any number of record batches, in any order and any cutting.

    One per thread: it holds a DuckDB connection of its own, with one thread. ``schema`` says which columns
    there are (by name) and carries their field ids; batches may code strings in any of Arrow's ways.
    """

    def __init__(self, schema: pa.Schema, *, by_column: bool = False) -> None:
        self._fields = [schema.field(place) for place in _order(list(schema))]
        self._salt = ";".join(identity(column) for column in self._fields)
        self._connection = duckdb.connect(config={"threads": 1})
        self._null = int(self._connection.execute("SELECT hash(NULL)").fetchall()[0][0])
        self._dictionaries: deque[tuple[pa.Array, tuple[pa.Array, pa.Array]]] = deque(maxlen=len(schema))
        self._rows, self._sums = 0, Sums()
        self._columns = {column.name: Sums() for column in self._fields} if by_column else {}

    def update(self, batch: pa.RecordBatch) -> None:
        """Take in the rows of one batch."""
        if not batch.num_rows:
            return
        lanes = _Lanes()
        for column in self._fields:
            lanes.add(batch.column(column.name), self)
        wanted = list(lanes.expressions(self._salt))
        for position, column in enumerate(self._fields if self._columns else ()):
            wanted += _Lanes([lanes.low[position]], [lanes.high[position]]).expressions(identity(column))
        rows = pa.table(lanes.columns)
        sums = self._connection.execute(f"SELECT {', '.join(f'sum({item})' for item in wanted)} FROM rows").fetchall()[
            0
        ]
        self._rows += rows.num_rows
        self._sums.add(sums[0], sums[1])
        for position, column_sums in enumerate(self._columns.values(), start=1):
            column_sums.add(sums[2 * position], sums[2 * position + 1])

    def merge(self, other: RowHasher) -> None:
        """Take in all that another hasher of the same schema took in."""
        self._rows += other._rows
        self._sums.add(other._sums.low, other._sums.high)
        for name, sums in other._columns.items():
            self._columns[name].add(sums.low, sums.high)

    def result(self) -> Fingerprint:
        """The fingerprint of all rows so far."""
        return Fingerprint(
            version=version(),
            record_count=self._rows,
            low=f"{self._sums.low:016x}",
            high=f"{self._sums.high:016x}",
            columns={name: sums.digest() for name, sums in self._columns.items()} if self._columns else None,
        )

    def digest(self, array: pa.Array) -> tuple[Words, Words]:
        """Two 64-bit words per value of a nested or dictionary-coded array; a null has the word of NULL twice."""
        if is_.is_dictionary(array.type):
            codes = array.indices.fill_null(len(array.dictionary)) if array.indices.null_count else array.indices
            low, high = (words.take(codes).to_numpy() for words in self._dictionary_words(array.dictionary))
            return low, high
        if is_.is_struct(array.type):
            parts = [array.field(place) for place in _order(list(array.type))]
            words = self._words(parts) if parts else (np.zeros(len(array), np.uint64), np.zeros(len(array), np.uint64))
        elif is_.is_map(array.type):
            offsets, entries = window(array)
            words = self._total(offsets, self._words([entries.field(0), entries.field(1)]))
        else:
            offsets, values = window(array)
            places = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
            words = self._total(offsets, self._words([pa.array(places), values]))
        if array.null_count:
            missing = array.is_null().to_numpy(zero_copy_only=False)
            for lane in words:
                lane[missing] = self._null
        return words

    def _dictionary_words(self, dictionary: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Both words of each value of a dictionary, null behind them; kept, as the next batch often has the same."""
        for known, words in self._dictionaries:
            if known.equals(dictionary):
                return words
        values = pa.concat_arrays([dictionary, pa.nulls(1, dictionary.type)])
        low, high = self._select(*_arguments("c0", values.type), {"c0": values})
        self._dictionaries.append((dictionary, (pa.array(low), pa.array(high))))
        return self._dictionaries[-1][1]

    def _words(self, arrays: Sequence[pa.Array]) -> tuple[Words, Words]:
        """Both lanes of the rows that these arrays make side by side."""
        if not len(arrays[0]):
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        lanes = _Lanes()
        for array in arrays:
            lanes.add(array, self)
        return self._select(*lanes.expressions(""), lanes.columns)

    def _select(self, low: str, high: str, columns: Mapping[str, pa.Array]) -> tuple[Words, Words]:
        rows = pa.table(dict(columns))
        found = self._connection.execute(f"SELECT {low} AS low, {high} AS high FROM rows").fetchnumpy()
        assert len(found["low"]) == rows.num_rows
        return np.array(found["low"]), np.array(found["high"])

    def _total(self, offsets: np.ndarray[Any, Any], words: tuple[Words, Words]) -> tuple[Words, Words]:
        """Words of each list: the sum over its members (places included where they count), with their number."""
        sums = []
        for lane in words:
            running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(lane, dtype=np.uint64)])
            sums.append(running[offsets[1:]] - running[offsets[:-1]])
        lengths = pa.array(np.diff(offsets))
        low, _ = self._words([lengths, pa.array(sums[0])])
        _, high = self._words([lengths, pa.array(sums[1])])
        return low, high


def merged(hashers: Iterable[RowHasher]) -> RowHasher:
    """The first hasher, having taken in all the others."""
    first, *others = hashers
    for other in others:
        first.merge(other)
    return first


def _leaf(array: pa.Array) -> pa.Array:
    """Canonical form of a plain column."""
    array = bits(storage(array))
    if is_.is_date32(array.type):
        return array.view(pa.int32())
    if is_.is_time64(array.type) or is_.is_timestamp(array.type):
        return array.view(pa.int64())
    if is_.is_decimal(array.type) and array.type.precision > 18:
        return array.view(pa.binary(16))
    return array


def _arguments(name: str, type_: pa.DataType) -> tuple[str, str]:
    """What of a plain column goes into each lane. Numbers of up to 64 bits are hashed one to one: once is enough."""
    if is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_):
        return f"hash({name})", f"hash('abc' || {name})"
    if (
        is_.is_binary(type_)
        or is_.is_large_binary(type_)
        or is_.is_binary_view(type_)
        or is_.is_fixed_size_binary(type_)
    ):
        return f"hash({name})", f"hash('abc'::BLOB || {name})"
    return name, name


def _order(fields: Sequence[pa.Field]) -> list[int]:
    return by_id_order([field_id(part) for part in fields], [part.name for part in fields])
