"""Types as Hive spells them: from Arrow to text and back, at every depth."""

from __future__ import annotations

from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.tables.hive.hive_types import hive_type, iceberg_type, is_known, parse_value
from lakeopt.tables.iceberg.arrow_schema import arrow_type

PLAIN = [pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32()]
NAMES = st.text(st.sampled_from("aBz_09 `<>,:é"), min_size=1, max_size=5).filter(lambda name: name.strip() == name)


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    return st.one_of(
        inner.map(pa.list_), st.tuples(inner, inner).map(lambda pair: pa.map_(*pair)), fields.map(pa.struct)
    )


DECIMALS = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: pa.decimal128(p, s)))
TYPES = st.recursive(st.one_of(st.sampled_from(PLAIN), DECIMALS), nested, max_leaves=6)


def bare(kind: pa.DataType) -> str:
    """A type as text without field ids and the names of list elements."""
    return hive_type(kind)


@given(TYPES)
def test_a_type_is_read_back_from_its_text(kind: pa.DataType) -> None:
    text = hive_type(kind)
    assert is_known(text)
    assert bare(arrow_type(iceberg_type(text, count(2)))) == text


@pytest.mark.parametrize("text", ["uniontype<int,string>", "struct<a:int", "array<>", "int>", "", "map<int>", "void"])
def test_what_is_no_type_is_unknown(text: str) -> None:
    assert not is_known(text)


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_whole_numbers_are_read_within_their_width(number: int) -> None:
    assert parse_value(str(number), "int") == number
    for kind, width in (("tinyint", 7), ("smallint", 15)):
        if -(1 << width) <= number < 1 << width:
            assert parse_value(str(number), kind) == number
        else:
            with pytest.raises(ValueError, match="out of range"):
                parse_value(str(number), kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "int"), ("1.5", "bigint"), ("2026-02-30", "date"), ("yes", "boolean"), ("x", "decimal(3,1)")],
)
def test_what_is_no_value_of_the_type_is_refused(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=r"no |day|month|isoformat|date"):
        parse_value(text, kind)
