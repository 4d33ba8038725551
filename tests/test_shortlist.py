"""Which columns are tried as keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lakeopt.layout.shortlist import LOWEST, MAX_KEYS, shortlist


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**6)), max_size=200))
def test_keys_are_distinct_not_constant_and_by_ascending_cardinality(columns: list[tuple[int, int]]) -> None:
    cardinality = {f"c{number}": values for number, (values, _) in enumerate(columns)}
    sizes = {f"c{number}": size for number, (_, size) in enumerate(columns)}
    keys = shortlist(cardinality, sizes, rows=1000)
    assert len(set(keys)) == len(keys) <= MAX_KEYS
    assert [cardinality[key] for key in keys] == sorted(cardinality[key] for key in keys)
    usable = sorted(values for values in cardinality.values() if values > 1)
    assert [cardinality[key] for key in keys[:LOWEST]] == usable[:LOWEST]
    assert len(keys) == min(len(usable), MAX_KEYS)


def test_heavy_repeating_columns_stay_in_a_wide_table() -> None:
    cardinality = {f"c{number}": 10 + number for number in range(500)} | {"heavy": 900, "unique": 1000}
    sizes = dict.fromkeys(cardinality, 10) | {"heavy": 1000, "unique": 1000}
    keys = shortlist(cardinality, sizes, rows=1000)
    assert "heavy" in keys
    assert "unique" not in keys
