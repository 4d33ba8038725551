"""The strict decoder: what was written comes back, and nothing is ever read from behind the buffer."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.avro.encoder import BinaryEncoder

from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder

LONGS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.lists(
    st.one_of(
        st.tuples(st.just("int"), LONGS),
        st.tuples(st.just("bytes"), st.binary(max_size=40)),
        st.tuples(st.just("utf8"), st.text(max_size=20)),
        st.tuples(st.just("boolean"), st.booleans()),
        st.tuples(st.just("double"), st.floats(allow_nan=False)),
        st.tuples(st.just("float"), st.floats(width=32, allow_nan=False)),
    ),
    max_size=12,
)


def encoded(values: list[tuple[str, Any]]) -> bytes:
    sink = io.BytesIO()
    encoder = BinaryEncoder(sink)
    for kind, value in values:
        getattr(encoder, f"write_{kind}")(value)
    return sink.getvalue()


@given(VALUES)
def test_what_was_written_comes_back(values: list[tuple[str, Any]]) -> None:
    content = encoded(values)
    decoder = StrictDecoder(content)
    assert [(kind, getattr(decoder, f"read_{kind}")()) for kind, _ in values] == values
    assert decoder.tell() == len(content)
    skipping = StrictDecoder(content)
    for kind, _ in values:
        getattr(skipping, f"skip_{kind}")()
    assert skipping.tell() == len(content)


@given(VALUES.filter(bool), st.data())
def test_a_shorter_buffer_is_an_error_or_ends_past_its_end(values: list[tuple[str, Any]], data: st.DataObject) -> None:
    content = encoded(values)
    short = content[: data.draw(st.integers(0, len(content) - 1))]
    decoder = StrictDecoder(short)
    try:
        for kind, _ in values:
            getattr(decoder, f"read_{kind}")()
    except (EOFError, UnicodeDecodeError):
        return
    assert decoder.tell() > len(short)


@given(st.lists(LONGS, min_size=1, max_size=20))
def test_numbers_in_a_row_keep_their_bits(numbers: list[int]) -> None:
    ints = StrictDecoder(encoded([("int", number) for number in numbers])).read_ints(len(numbers))
    assert memoryview(ints.tobytes()).cast("q").tolist() == numbers


@given(st.dictionaries(st.integers(0, 2**31), st.binary(max_size=30), max_size=8))
def test_bounds_come_as_a_dict(bounds: dict[int, bytes]) -> None:
    found: dict[int, bytes] = {}
    pairs = [pair for key, value in bounds.items() for pair in (("int", key), ("bytes", value))]
    StrictDecoder(encoded(pairs)).read_int_bytes_dict(len(bounds), found)
    skipping = StrictDecoder(encoded(pairs))
    skipping.skip_int_bytes(len(bounds))
    assert skipping.tell() == len(encoded(pairs))
    assert found == bounds


@pytest.mark.parametrize("length", [2, 100, 2**31, 2**62, -1, -(2**40)])
def test_a_length_beyond_the_buffer_is_an_error(length: int) -> None:
    content = encoded([("int", length)]) + b"x"
    for read in ("read_bytes", "read_utf8", "skip_bytes"):
        with pytest.raises(EOFError):
            getattr(StrictDecoder(content), read)()
    for count in ("read", "read_ints", "skip"):
        with pytest.raises(EOFError):
            getattr(StrictDecoder(b"x"), count)(length)
    with pytest.raises(EOFError):
        StrictDecoder(encoded([("int", 1), ("int", length)]) + b"x").read_int_bytes_dict(1, {})
    with pytest.raises(EOFError):
        StrictDecoder(encoded([("int", 1), ("int", length)]) + b"x").skip_int_bytes(1)
