"""What is written as a sort key reads back as the same key, whatever the columns are called."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakeopt.errors import UsageError
from lakeopt.model.plan import SortField
from lakeopt.model.sort_fields import format_sort_fields, parse_sort_fields

names = st.one_of(
    st.text(min_size=1, max_size=12),
    st.text(alphabet="\"`, \t\n.'adesc✈", min_size=1, max_size=8),
    st.sampled_from(["desc", "nulls", "select", "a.b", "arr delay", '"', "``", "✈️", "\u2028", "\x00"]),
)
fields = st.builds(SortField, names, st.sampled_from(["asc", "desc"]), st.sampled_from(["first", "last"]))
keys = st.lists(fields, min_size=1, max_size=5, unique_by=lambda field: field.name).map(tuple)


@given(keys)
@example((SortField("nulls"), SortField("desc", "desc", "first")))
def test_a_key_reads_back_as_written(key: tuple[SortField, ...]) -> None:
    assert parse_sort_fields(format_sort_fields(key)) == key


@given(st.text(alphabet='ab,"` descnulfirt', max_size=30))
def test_any_text_is_a_key_or_a_usage_error(text: str) -> None:
    try:
        key = parse_sort_fields(text)
    except UsageError:
        return
    assert parse_sort_fields(format_sort_fields(key)) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a", (SortField("a"),)),
        (" a , b DESC ", (SortField("a"), SortField("b", "desc", "last"))),
        ("a desc nulls first", (SortField("a", "desc", "first"),)),
        ("a NULLS Last", (SortField("a", "asc", "last"),)),
        ('"a,b" desc,`c``d`', (SortField("a,b", "desc", "last"), SortField("c`d"))),
        ("desc desc", (SortField("desc", "desc", "last"),)),
        ("payload.user", (SortField("payload.user"),)),
    ],
)
def test_examples(text: str, key: tuple[SortField, ...]) -> None:
    assert parse_sort_fields(text) == key


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "a b", "a desc asc", "a nulls", "a nulls middle", '"a', 'a"b', '""', "a,a desc", "``x"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="sort key"):
        parse_sort_fields(text)
