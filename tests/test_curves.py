"""Space-filling curves by their defining properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.keys.curves import CURVES, code_bits, hilbert, z_order


def cells(columns: int, bits: int) -> list[np.ndarray]:
    """Every cell of a cube, as one array of codes a column."""
    axes = np.meshgrid(*[np.arange(1 << bits, dtype=np.uint64)] * columns, indexing="ij")
    return [axis.ravel() for axis in axes]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("columns", "bits"), [(1, 5), (2, 1), (2, 4), (3, 3), (4, 2), (5, 2), (7, 1)])
def test_each_cell_has_a_number_of_its_own(curve: str, columns: int, bits: int) -> None:
    numbers = CURVES[curve](cells(columns, bits), bits)
    assert sorted(numbers.tolist()) == list(range(1 << columns * bits))


@pytest.mark.parametrize(("columns", "bits"), [(1, 5), (2, 1), (2, 5), (3, 3), (4, 2), (6, 2)])
def test_neighbours_on_the_hilbert_curve_are_neighbours_in_space(columns: int, bits: int) -> None:
    places = cells(columns, bits)
    along = np.argsort(hilbert(places, bits))
    steps = sum(np.abs(np.diff(axis[along].astype(np.int64))) for axis in places)
    assert set(np.unique(steps)) == {1}


@given(st.lists(st.lists(st.integers(0, 1023), min_size=2, max_size=2), min_size=1, max_size=20))
def test_z_order_interleaves_bits(rows: list[list[int]]) -> None:
    codes = [np.array([row[place] for row in rows], np.uint64) for place in (0, 1)]
    expected = [int("".join(x + y for x, y in zip(f"{a:010b}", f"{b:010b}", strict=True)), 2) for a, b in rows]
    assert z_order(codes, 10).tolist() == expected


@pytest.mark.parametrize("curve", CURVES)
def test_codes_that_are_handed_in_stay_as_they_are(curve: str) -> None:
    codes = cells(2, 3)
    before = [code.copy() for code in codes]
    CURVES[curve](codes, 3)
    assert all((a == b).all() for a, b in zip(codes, before, strict=True))


def test_a_number_fits_64_bits_whatever_the_columns() -> None:
    assert all(code_bits(columns) * columns <= 60 for columns in range(1, 61))
