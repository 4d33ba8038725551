"""Names of Hive partitions: against a plain spelling of what Hive's ``FileUtils`` does, and back."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.tables.hive.partition_names import NULL_NAME, escape, parse_folder, partition_name, unescape

#: Hive's list, as its source has it.
LISTED = [chr(code) for code in range(0x01, 0x20)] + list("\"#%'*/:=?\\\x7f{[]^")
ODD = st.text(st.sampled_from([*LISTED, *"aZ0 üß€😀.-_%2F", "\u0000", "\u0080"]), max_size=12)
TEXTS = st.one_of(ODD, st.text(max_size=12))


def plain_escape(text: str) -> str:
    """What Hive writes, character by character."""
    made = ""
    for character in text:
        made += "%" + format(ord(character), "02X") if character in LISTED else character
    return made


def plain_unescape(text: str) -> str:
    """What Hive reads, character by character."""
    made, at = "", 0
    while at < len(text):
        code = text[at + 1 : at + 3]
        if text[at] == "%" and len(code) == 2 and all(digit in string.hexdigits for digit in code):
            made, at = made + chr(int(code, 16)), at + 3
        else:
            made, at = made + text[at], at + 1
    return made


@given(TEXTS)
@settings(max_examples=300)
def test_escapes_are_hives(text: str) -> None:
    assert escape(text) == (plain_escape(text) or NULL_NAME)
    assert unescape(text) == plain_unescape(text)
    assert "/" not in escape(text)


@given(st.lists(st.tuples(TEXTS.filter(bool), st.none() | TEXTS), min_size=1, max_size=3))
def test_a_name_gives_its_values_back(pairs: list[tuple[str, str | None]]) -> None:
    name = partition_name([key for key, _ in pairs], [value for _, value in pairs])
    # To Hive an empty text is no other than a null, and neither is the name of one.
    wanted = [(key, None if value in ("", NULL_NAME) else value) for key, value in pairs]
    assert [parse_folder(part) for part in name.split("/")] == wanted


@given(TEXTS, TEXTS)
def test_two_values_never_share_a_name(left: str, right: str) -> None:
    assert (escape(left) == escape(right)) == (left == right or {left, right} <= {"", NULL_NAME})
