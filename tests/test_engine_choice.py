"""Which engine is taken where the user leaves it open."""

from __future__ import annotations

import importlib.util
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake

import lakeopt
from lakeopt.config import Settings
from lakeopt.errors import ConfigurationError, UsageError
from lakeopt.model.plan import SortField


@pytest.fixture
def table(lake: Lake) -> str:
    rows = pa.table({"k": pa.array(range(1000))})
    made = lake.create("db.t", rows.schema)
    for _ in range(2):
        made = lake.append(made, rows)
    return "db.t"


def plan(table: str, **settings: Any) -> tuple[str, str, str]:
    made = lakeopt.plan(table, engine="auto", sort_by=(SortField("k"),), settings=Settings(**settings))
    return made.engine, made.engine_reason, made.committer


def test_a_small_table_stays_on_one_machine_and_a_large_one_goes_to_spark(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, why, committer = plan(table)
    assert (engine, committer) == ("duckdb", "lakeopt")
    assert "not above 200" in why
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: object() if name == "pyspark" else found(name, *more)
    )
    engine, why, committer = plan(table, spark_above="1KB")
    assert (engine, committer) == ("spark", "lakeopt")
    assert "above 1" in why
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "pyspark" else found(name, *more)
    )
    engine, why, _ = plan(table, spark_above="1KB")
    assert engine == "duckdb"
    assert "pyspark is not installed" in why


def test_the_limit_is_a_size(table: str) -> None:
    with pytest.raises((UsageError, ConfigurationError)):
        plan(table, spark_above="many")


def test_an_engine_that_was_asked_for_needs_no_reason(table: str) -> None:
    assert lakeopt.plan(table, engine="duckdb", sort_by=(SortField("k"),)).engine_reason == ""
