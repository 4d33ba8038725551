"""Chains of data files say of every pair whether the delete file applies, as the lists do that they were made from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lakeopt.engines.duckdb.chains import chains

LISTS = st.dictionaries(st.integers(0, 30), st.frozensets(st.integers(0, 6), min_size=1), max_size=12)


@given(LISTS)
def test_numbers_say_what_lists_say(applied: dict[int, frozenset[int]]) -> None:
    found = chains(applied)
    assert sorted(number for chain in found for number in chain.places) == sorted(applied)
    for chain in found:
        for data_file, place in chain.places.items():
            assert {delete for delete, first in chain.first.items() if first <= place} == applied[data_file]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_files_of_one_partition_are_one_chain(sequence_numbers: list[int]) -> None:
    """There a delete file applies to all data files that are older."""
    applied = {n: frozenset(range(sequence + 1, 11)) for n, sequence in enumerate(sequence_numbers)}
    assert len(chains(applied)) == 1
