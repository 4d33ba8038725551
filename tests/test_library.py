"""The library as a user imports it: every command is a function of the same name."""

from __future__ import annotations

import importlib

import pytest
from lake import Lake

import lakeopt


def test_every_command_is_a_callable_however_its_name_is_reached(lake: Lake) -> None:
    lake.flights(days=1)
    for _ in range(2):  # importing the package lakeopt.tables must not hide the function lakeopt.tables
        assert [row.table for row in lakeopt.tables().tables] == ["lake.db.flights"]
    importlib.import_module("lakeopt.tables.open")
    for name in lakeopt.__all__:
        assert name == "__version__" or callable(getattr(lakeopt, name)), name


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="vacuum"):
        _ = lakeopt.vacuum
