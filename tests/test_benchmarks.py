"""The benchmark suite: its data sets and strategies are whole, its results valid, compared and shown rightly."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import compare, result_files, tables
from benchmarks.datasets import events, vega
from benchmarks.strategies.base import Profile, Subject
from benchmarks.suite_cells import Conditions, cells
from lakeopt import registry
from lakeopt.workflows.queries import parse_queries

DATASETS, STRATEGIES = "benchmarks.datasets", "benchmarks.strategies"
COMMITTED = [
    path
    for path in sorted(result_files.RESULTS.glob("*/*.json"))
    if json.loads(path.read_text()).get("kind") == result_files.KIND
]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_results_are_valid(path: Path) -> None:
    result_files.require_valid(json.loads(path.read_text()))


@pytest.mark.parametrize("name", ["suite", "suite-quick"])
def test_the_readme_shows_a_result_that_is_kept(name: str) -> None:
    """That of the newest, or of an older one: who runs a benchmark need not change the README."""
    text = tables.README.read_text()
    assert text.count(f"<!-- {name}: begin -->") == text.count(f"<!-- {name}: end -->") == 1
    kept = [json.loads(path.read_text()) for path in result_files.named(name)]
    if kept:
        shown = [tables.section(name, tables.SECTIONS[name](result)) for result in kept]
        assert any(one in text for one in shown), "python -m benchmarks.tables --readme writes the tables anew"
        assert tables.refreshed(tables.refreshed(text)) == tables.refreshed(text)


@pytest.mark.parametrize("name", registry.names(DATASETS))
def test_a_data_set_says_where_it_is_from_and_what_is_asked(name: str) -> None:
    dataset = registry.load(DATASETS, name)
    assert all(text.strip() for text in (dataset.TITLE, dataset.SOURCE, dataset.LICENCE))
    queries = parse_queries(dataset.QUERIES).queries
    assert all(query.weight > 0 for query in queries)
    assert max(queries, key=lambda query: query.weight) is queries[0]
    assert dataset.COLUMNS[0] in queries[0].sql
    for column in dataset.COLUMNS:
        assert any(column in query.sql for query in queries)


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return pa.concat_tables(events.batches(Path(), 0.005, 4))


def test_the_event_log_is_the_same_every_time(log: pa.Table) -> None:
    assert log.shape == (100_000, 24)
    assert log.equals(pa.concat_tables(events.batches(Path(), 0.005, 4)))


@pytest.mark.parametrize(
    ("column", "determined"),
    [
        ("device_id", "device_model"),
        ("device_id", "city"),
        ("device_id", "user_id"),
        ("device_id", "experiment"),
        ("device_model", "os"),
        ("device_model", "os_version"),
        ("city", "country"),
        ("country", "language"),
        ("event_name", "page"),
        ("session_id", "device_id"),
    ],
)
def test_a_column_of_the_event_log_follows_from_another(log: pa.Table, column: str, determined: str) -> None:
    counted = log.group_by(column).aggregate([(determined, "count_distinct")])[f"{determined}_count_distinct"]
    assert pc.max(counted).as_py() == 1
    assert pc.count_distinct(log[determined]).as_py() > 1


def test_event_names_are_skewed_with_a_long_tail(log: pa.Table) -> None:
    counts = np.sort(pc.value_counts(log["event_name"]).field("counts").to_numpy())[::-1]
    assert 0.15 < counts[0] / len(log) < 0.25
    assert (counts <= 0.001 * len(log)).sum() > 200


def test_sessions_are_near_in_time_and_the_app_is_rolled_out(log: pa.Table) -> None:
    received, happened = (log[name].cast(pa.int64()).to_numpy() for name in ("received_at", "event_time"))
    assert (np.diff(received) > 0).all()
    assert (received >= happened).all()
    assert ((received - happened) <= 600_000_000 + 1_000).all()
    span = log.group_by("session_id").aggregate([("received_at", "min"), ("received_at", "max")])
    length = pc.subtract(span["received_at_max"], span["received_at_min"]).cast(pa.int64()).to_numpy()
    assert np.median(length) < (received[-1] - received[0]) / 4
    first, last = (pc.count_distinct(part["app_version"]).as_py() for part in (log.slice(0, 5_000), log.slice(95_000)))
    assert max(first, last) < pc.count_distinct(log["app_version"]).as_py()


def test_places_count_the_rows_of_a_session(log: pa.Table) -> None:
    whole = log.group_by("session_id").aggregate([("sequence", "max"), ("sequence", "count"), ("sequence", "min")])
    assert pc.all(pc.equal(pc.add(whole["sequence_max"], 1), whole["sequence_count"])).as_py()
    assert pc.max(whole["sequence_min"]).as_py() == 0


COLUMNS = [
    {"name": "a,b", "distinct_count": 9, "redundancy": 0.9, "width": 2.0, "correlation": 0.5},
    {"name": "low", "distinct_count": 2, "redundancy": 1.0, "width": 0.1, "correlation": 0.1},
    {"name": 'q"', "distinct_count": 50, "redundancy": 0.5, "width": 4.0, "correlation": 0.6},
    {"name": "unique", "distinct_count": 99, "redundancy": 0.0, "width": 9.0, "correlation": 0.9},
]


class KnownProfile(Profile):
    """A profile whose figures are known."""

    def columns(self) -> list[dict[str, Any]]:
        self.seconds = 7.0
        return COLUMNS


@pytest.mark.parametrize("name", registry.names(STRATEGIES))
def test_a_strategy_says_how_a_table_is_rewritten(name: str) -> None:
    from lakeopt.cli.options import sort_key

    strategy = registry.load(STRATEGIES, name)
    assert strategy.CODECS[0] == strategy.QUICK_CODECS[0] == "zstd-3"
    assert set(strategy.QUICK_CODECS) <= set(strategy.CODECS)
    subject = Subject(("x", "y", "z", "rest"), Path("q.sql"), KnownProfile("none"))
    options = strategy.options(subject)
    key = {
        "ascending-cardinality": ["low", "a,b", 'q"', "unique"],
        "closed-formula": ['q"', "a,b", "low"],
        "z-order": ["x", "y", "z"],
        "hilbert": ["x", "y", "z"],
        "main-column": ["x"],
    }.get(name)
    if key is not None:
        assert [field.name for field in sort_key(options[options.index("--sort-by") + 1])] == key
    assert subject.asked_seconds == (7.0 if name in ("ascending-cardinality", "closed-formula") else 0.0)
    assert (options is None) == (name == "arrival")


@pytest.mark.parametrize("kind", [DATASETS, STRATEGIES])
def test_places_in_tables_differ(kind: str) -> None:
    places = [registry.load(kind, name).PLACE for name in registry.names(kind)]
    assert len(set(places)) == len(places)


def made(sizes: dict[str, int | None], *, unavailable: str | None = None) -> dict[str, Any]:
    """A result of one data set with strategies of these bytes, arrival order of 1000."""
    about = {
        "title": "t",
        "source": "s",
        "licence": "l",
        "main_column": "c",
        "unavailable": unavailable,
        "queries": {"q": 2, "p": 1},
    }
    about |= {"rows": 10, "columns": 2, "landed_files": 3, "landed_bytes": 1500}
    about |= {"arrival_bytes": None if unavailable else {"zstd-3": 1000, "zstd-9": 900, "snappy": 1400}}
    read = {"files": 1, "row_groups": 1, "hot_seconds": 0.1, "cold_seconds": None, "same_answer": True}
    found = [
        {
            "dataset": "d",
            "strategy": name,
            "codec": "zstd-3",
            "bytes": size,
            "files": 1,
            "order": "sort: c",
            "search_seconds": 3.0,
            "rewrite_seconds": 3.0,
            "wall_seconds": 6.0,
            "cpu_seconds": 5.0,
            "peak_rss_bytes": 100,
            "proved": True,
            "queries": None if size is None else {"q": read | {"bytes": size // 2}, "p": read | {"bytes": size}},
            "error": "it broke" if size is None else None,
        }
        for name, size in sizes.items()
    ]
    return {
        "kind": "benchmark_suite",
        "schema_version": 1,
        "date": "2026-01-01T00:00:00+00:00",
        "machine": {"cpu": "c", "cores": 2, "memory_bytes": 1, "system": "s"},
        "versions": dict.fromkeys(("python", "lakeopt", "pyarrow", "duckdb", "pyiceberg"), "1"),
        "settings": {"quick": True, "threads": 2, "memory": "4GB", "target_file_size": "32MB", "landed_files": 3}
        | {"baseline": "b", "query_runs": 1, "cache": "warm"},
        "strategies": {name: name.upper() for name in sizes},
        "datasets": {"d": about},
        "cells": found,
        "cost": {"wall_seconds": 60.0, "cpu_seconds": 1.0, "load": 0.1},
    }


def test_a_result_without_one_of_its_parts_is_no_result() -> None:
    whole = made({"arrival": 1000, "bin-pack": None})
    result_files.require_valid(whole)
    places = [(whole, key) for key in whole] + [(whole["cells"][0], key) for key in whole["cells"][0]]
    places += [(whole["datasets"]["d"], key) for key in whole["datasets"]["d"]]
    places += [(whole["cells"][0]["queries"]["q"], "bytes"), (whole["machine"], "cpu"), (whole["versions"], "duckdb")]
    for place, key in places:
        kept = place.pop(key)
        with pytest.raises(ValueError, match=r"^\$"):
            result_files.require_valid(whole)
        place[key] = kept
    result_files.require_valid(whole)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result["cells"].append(result["cells"][0]),
        lambda result: result["cells"][0].update(dataset="unknown"),
        lambda result: result["cells"][0].update(bytes=-1),
        lambda result: result["cells"][0].update(bytes=None),
        lambda result: result["cells"][0]["queries"].pop("p"),
        lambda result: result.update(note="more"),
        lambda result: result.update(date="yesterday"),
    ],
    ids=["twice", "unknown", "negative", "null-without-error", "query-missing", "more", "date"],
)
def test_a_spoiled_result_is_refused(spoil: Any) -> None:
    result = made({"arrival": 1000})
    spoil(result)
    with pytest.raises(ValueError, match=r"^\$"):
        result_files.require_valid(result)


def test_a_result_is_inside_the_noise_of_itself() -> None:
    result = made({"arrival": 1000, "bin-pack": None})
    assert compare.differences(result, copy.deepcopy(result)) == []


@pytest.mark.parametrize(
    ("size", "fails"), [(1000, False), (1009, False), (991, False), (1012, True), (980, True), (None, True)]
)
def test_bytes_differ_above_one_percent(size: int | None, fails: bool, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = made({"sort": 1000}), made({"sort": size})
    assert any(found.figure == "bytes" for found in compare.differences(before, after)) == fails
    assert compare.report(before, after) == fails
    assert ("null" in capsys.readouterr().out) == (size is None)


def test_what_queries_read_is_compared_and_seconds_alone_do_not_fail() -> None:
    before, after = made({"sort": 1000}), made({"sort": 1000})
    after["cells"][0]["search_seconds"] = 30.0
    assert [found.figure for found in compare.differences(before, after)] == ["search_seconds"]
    assert compare.report(before, after) == 0
    after["cells"][0]["queries"]["q"]["bytes"] = 700
    assert compare.report(before, after) == 1


def test_a_data_set_that_cannot_be_had_is_named_and_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    before, after = made({"sort": 1000}), made({"sort": None}, unavailable="no npm")
    result_files.require_valid(after)
    assert compare.report(before, after) == 0
    assert "no npm" in capsys.readouterr().out


def test_tables_show_ratios_and_null_as_a_dash() -> None:
    result = made({"arrival": 1000, "bin-pack": 800, "z-order": 600, "hilbert": None})
    text = tables.markdown(result)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| BIN-PACK | 0.800 | 0.800 |" in rows
    assert "| Z-ORDER | **0.600** | **0.600** |" in rows
    assert "| HILBERT | – | – |" in rows
    assert "| Z-ORDER | **0.750** | **0.750** |" in rows, "reads are relative to rows merged in arrival order"
    assert "| hot seconds of queries | d | geometric mean |" in rows
    for shown in (tables.short(result), tables.quick(result)):
        assert "2026-01-01" in shown


def tiny(quick_rows: int = 600) -> SimpleNamespace:
    """A data set of three columns of which one repeats in runs once it is sorted."""
    draw = np.random.default_rng(5)
    rows = pa.table(
        {
            "at": np.arange(quick_rows),
            "kind": pa.array([f"kind-{number:02d}" for number in draw.integers(0, 40, quick_rows)]),
            "value": draw.integers(0, 1000, quick_rows),
        }
    )
    queries = "-- name: one\n-- weight: 2\nSELECT sum(value) FROM t WHERE kind = 'kind-03';"
    about = {
        "TITLE": "tiny",
        "SOURCE": "made here",
        "LICENCE": "none",
        "COLUMNS": ("kind", "value", "at"),
        "QUERIES": queries,
    }
    return SimpleNamespace(**about, rows=lambda folder, quick: rows)


@pytest.mark.slow
def test_the_cells_of_a_small_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By real commands: every strategy begins from the landed table, and what it wrote answers as before."""
    monkeypatch.chdir(tmp_path)
    for name in ("TYPE", "URI", "WAREHOUSE"):
        monkeypatch.setenv(f"PYICEBERG_CATALOG__BENCH__{name}", "")
    (tmp_path / "lake").mkdir()
    strategies: dict[str, ModuleType | SimpleNamespace] = {
        name: registry.load(STRATEGIES, name) for name in ("arrival", "main-column", "closed-formula")
    }
    broken = {"PLACE": 9, "TITLE": "broken", "CODECS": ("zstd-3",), "QUICK_CODECS": ("zstd-3",)}
    strategies["broken"] = SimpleNamespace(**broken, options=lambda subject: ["--strategy", "no-such"])
    about, found = cells("tiny", tiny(), strategies, Conditions(True, tmp_path, tmp_path / "lake"))
    by_name = {cell["strategy"]: cell for cell in found if cell["codec"] == "zstd-3"}
    assert about["rows"] == 600
    assert about["landed_files"] == by_name["arrival"]["files"] == 24
    assert by_name["arrival"]["bytes"] == about["arrival_bytes"]["zstd-3"] < about["landed_bytes"]
    assert by_name["main-column"]["order"] == "sort: kind"
    assert by_name["main-column"]["files"] == by_name["closed-formula"]["files"] == 1
    assert by_name["closed-formula"]["search_seconds"] > 0
    assert by_name["broken"]["bytes"] is None
    assert "lakeopt rewrite" in by_name["broken"]["error"]
    assert "/" not in by_name["broken"]["error"], "paths are of this machine alone"
    for name in ("main-column", "closed-formula"):
        assert by_name[name]["proved"]
        assert by_name[name]["queries"]["one"]["same_answer"]
        assert 0 < by_name[name]["queries"]["one"]["bytes"] < by_name["arrival"]["queries"]["one"]["bytes"]
    left = list((tmp_path / "lake").rglob("*.parquet"))
    assert len(left) == 24, "what a strategy wrote is removed, what landed stays"
    result = made({"arrival": 1})
    titles = {name: strategy.TITLE for name, strategy in strategies.items()}
    result_files.require_valid(result | {"datasets": {"tiny": about}, "cells": found, "strategies": titles})


def test_without_npm_the_cells_of_its_data_set_are_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    strategies = {name: registry.load(STRATEGIES, name) for name in registry.names(STRATEGIES)}
    about, found = cells("vega", vega, strategies, Conditions(True, tmp_path, tmp_path))
    assert about["unavailable"] == "npm is not on this machine"
    assert len(found) >= len(strategies)
    assert all(cell["bytes"] is None and cell["error"] == about["unavailable"] for cell in found)
    result = made({"arrival": 1})
    titles = {name: strategy.TITLE for name, strategy in strategies.items()}
    result_files.require_valid(result | {"datasets": {"vega": about}, "cells": found, "strategies": titles})
