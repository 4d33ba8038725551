"""Types as Hive spells them (``array<struct<a:int>>``), as Iceberg types and back from Arrow, and values in text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import count
from typing import Any

import pyarrow as pa
from pyarrow import types as is_
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    UnknownType,
)

from lakeopt.tables.hive.source import Column

_PLAIN: dict[str, IcebergType] = {
    "boolean": BooleanType(),
    "tinyint": IntegerType(),
    "smallint": IntegerType(),
    "int": IntegerType(),
    "integer": IntegerType(),
    "bigint": LongType(),
    "float": FloatType(),
    "double": DoubleType(),
    "string": StringType(),
    "binary": BinaryType(),
    "date": DateType(),
    "timestamp": TimestampType(),
    "timestamp_ntz": TimestampType(),
    "timestamp with local time zone": TimestamptzType(),
    "timestamplocaltz": TimestamptzType(),
}
_TOKEN = re.compile(r"`((?:[^`]|``)*)`|([<>,:()])|([^<>,:()`]+)")
#: Whole numbers of each type, by bytes.
_WIDTHS = {"tinyint": 1, "smallint": 2, "int": 4, "integer": 4, "bigint": 8}
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iceberg_schema(columns: Sequence[Column]) -> Schema:
    """Schema of columns: ids from 1 by position, those of nested fields after all of them.

    A column of a type that is not known here (a union, an interval) has Iceberg's type ``unknown``.
    """
    nested = count(len(columns) + 1)
    fields = (
        NestedField(i, name, iceberg_type(text, nested), required=False) for i, (name, text) in enumerate(columns, 1)
    )
    return Schema(*fields)


def iceberg_type(text: str, ids: Iterator[int]) -> IcebergType:
    """Iceberg type of a Hive type; nested fields are numbered from ``ids``."""
    try:
        reader = _Reader(text, ids)
        found = reader.kind()
        return found if reader.at_end else UnknownType()
    except (_NotUnderstood, ValueError):
        return UnknownType()


def is_known(text: str) -> bool:
    """Whether values of a Hive type can be read and written here.

    >>> is_known("map<string,decimal(9,2)>"), is_known("struct<a:uniontype<int,string>>")
    (True, False)
    """
    return not _has_unknown(iceberg_type(text, count(1)))


def _has_unknown(kind: IcebergType) -> bool:
    if isinstance(kind, ListType):
        return _has_unknown(kind.element_type)
    if isinstance(kind, MapType):
        return _has_unknown(kind.key_type) or _has_unknown(kind.value_type)
    if isinstance(kind, StructType):
        return any(_has_unknown(field.field_type) for field in kind.fields)
    return isinstance(kind, UnknownType)


class _NotUnderstood(Exception):
    pass


class _Reader:
    """Reads one type from left to right."""

    def __init__(self, text: str, ids: Iterator[int]) -> None:
        self._tokens = [match for match in _TOKEN.finditer(text) if match[0].strip()]
        self._at, self._ids = 0, ids

    @property
    def at_end(self) -> bool:
        return self._at == len(self._tokens)

    def kind(self) -> IcebergType:
        word = self._word().lower()
        nested: dict[str, Callable[[], IcebergType]] = {"array": self._list, "map": self._map, "struct": self._struct}
        if word in nested and self._next_is("<"):
            return nested[word]()
        if word == "decimal":
            return DecimalType(*self._numbers()) if self._next_is("(") else DecimalType(10, 0)
        if word in ("char", "varchar"):
            self._numbers()
            return StringType()
        return _PLAIN.get(word) or UnknownType()

    def _list(self) -> IcebergType:
        self._expect("<")
        number = next(self._ids)
        element = self.kind()
        self._expect(">")
        return ListType(number, element, element_required=False)

    def _map(self) -> IcebergType:
        self._expect("<")
        key_id, value_id = next(self._ids), next(self._ids)
        key = self.kind()
        self._expect(",")
        value = self.kind()
        self._expect(">")
        return MapType(key_id, key, value_id, value, value_required=False)

    def _struct(self) -> IcebergType:
        self._expect("<")
        fields = []
        while not self._next_is(">"):
            number, name = next(self._ids), self._word()
            self._expect(":")
            fields.append(NestedField(number, name, self.kind(), required=False))
            if not self._next_is(">"):
                self._expect(",")
        self._expect(">")
        return StructType(*fields)

    def _numbers(self) -> list[int]:
        self._expect("(")
        found = [int(self._word())]
        while self._next_is(","):
            self._expect(",")
            found.append(int(self._word()))
        self._expect(")")
        return found if len(found) > 1 else [*found, 0]

    def _word(self) -> str:
        if self.at_end or self._tokens[self._at][2]:
            raise _NotUnderstood
        match = self._tokens[self._at]
        self._at += 1
        return match[1].replace("``", "`") if match[1] is not None else match[3].strip()

    def _next_is(self, sign: str) -> bool:
        return not self.at_end and self._tokens[self._at][2] == sign

    def _expect(self, sign: str) -> None:
        if not self._next_is(sign):
            raise _NotUnderstood
        self._at += 1


def hive_type(kind: pa.DataType) -> str:
    """How Hive spells the type of a column that a file holds; types that it has not are spelt as Arrow does.

    >>> hive_type(pa.list_(pa.struct([("a", pa.int8())]))), hive_type(pa.uint64())
    ('array<struct<a:tinyint>>', 'uint64')
    """
    named = {"int8": "tinyint", "int16": "smallint", "int32": "int", "int64": "bigint", "bool": "boolean"}
    named |= {"float": "float", "double": "double", "date32[day]": "date", "halffloat": "halffloat"}
    named |= {"uint8": "smallint", "uint16": "int", "uint32": "bigint"}
    if str(kind) in named:
        return named[str(kind)]
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return "string"
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind):
        return "binary"
    if is_.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if is_.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with local time zone"
    if is_.is_dictionary(kind):
        return hive_type(kind.value_type)
    return _nested(kind)


def _nested(kind: pa.DataType) -> str:
    if is_.is_map(kind):
        return f"map<{hive_type(kind.key_type)},{hive_type(kind.item_type)}>"
    if is_.is_list(kind) or is_.is_large_list(kind):
        return f"array<{hive_type(kind.value_type)}>"
    if is_.is_struct(kind):
        return f"struct<{','.join(f'{quoted(field.name)}:{hive_type(field.type)}' for field in kind)}>"
    return str(kind)


def quoted(name: str) -> str:
    """A field's name in a type's text, in backticks where it would be misread."""
    return name if re.fullmatch(r"\w[\w \-.]*", name) else "`" + name.replace("`", "``") + "`"


def parse_value(text: str, hive: str) -> Any:
    """A partition value as Iceberg holds values of its column's type: days, microseconds, numbers, text.

    :raises ValueError: the text is no value of the type; Hive reads a null then.

    >>> parse_value("2026-01-02", "date"), parse_value("007", "int"), parse_value("1.50", "decimal(5,2)")
    (20455, 7, Decimal('1.50'))
    """
    word = re.split(r"[(<]", hive.strip().lower())[0]
    if word in _WIDTHS:
        return _whole(text, _WIDTHS[word])
    if word in ("float", "double"):
        return float(text)
    if word == "decimal":
        return _decimal(text, hive)
    if word == "boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"no boolean: {text!r}")
        return text.lower() == "true"
    if word == "date":
        return date.fromisoformat(text).toordinal() - _EPOCH_DAY
    if word.startswith("timestamp"):
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        passed = moment - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
    return text.encode("utf-8", "surrogatepass") if word == "binary" else text


def _whole(text: str, width: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"no whole number: {text!r}")
    value, limit = int(text), 1 << (8 * width - 1)
    if not -limit <= value < limit:
        raise ValueError(f"out of range: {text}")
    return value


def _decimal(text: str, hive: str) -> Decimal:
    kind = iceberg_type(hive, count(1))
    try:
        value = Decimal(text)
        if not value.is_finite():
            raise ValueError(f"no decimal: {text!r}")
        return value.quantize(Decimal(1).scaleb(-kind.scale)) if isinstance(kind, DecimalType) else value
    except InvalidOperation:
        raise ValueError(f"no decimal: {text!r}") from None
