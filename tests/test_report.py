"""The report: what it collects and why something is missing, and the page that is made of it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake import Lake
from typer.testing import CliRunner

import lakeopt
from lakeopt.analysis.health import live_files
from lakeopt.analysis.stored_bytes import stored_bytes
from lakeopt.cli.app import app
from lakeopt.config import Settings
from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.plan import Candidate, SortField
from lakeopt.model.profile import CorrelationMatrix
from lakeopt.model.report import StoredBytes, StoredColumn, TableReport
from lakeopt.model.result import BenchReport
from lakeopt.model.serde import from_json, to_json
from lakeopt.report.frontier import Point, frontier, on_frontier
from lakeopt.report.grid import ROWS, Column, grid
from lakeopt.report.page import page
from lakeopt.report.treemap import BOXES, Tile, grouped, squarified
from lakeopt.tables.open import open_table

GOLDEN = Path(__file__).parent / "golden"
SECTIONS = ["bytes", "findings", "columns", "layouts", "overlap", "queries", "history"]


def fixed(**changes: Any) -> TableReport:
    value = from_json(TableReport, (GOLDEN / "table_report.json").read_text(encoding="utf-8"))
    return dataclasses.replace(value, **changes)


def bench() -> BenchReport:
    return from_json(BenchReport, (GOLDEN / "bench_report.json").read_text(encoding="utf-8"))


def parsed(html: str) -> ET.Element:
    """The page as XML: every element closed, every attribute quoted, every text escaped."""
    head, _, body = html.partition("\n")
    assert head == "<!DOCTYPE html>"
    return ET.fromstring(body)


def assert_sound(html: str) -> ET.Element:
    """Ids are unique, links and labels lead somewhere, headings skip no level, nothing is fetched and nothing runs."""
    root = parsed(html)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        for name in (element.get("aria-labelledby") or "").split():
            assert name in ids
        assert not any(name.startswith("on") or name in ("src", "srcset", "action") for name in element.attrib)
        assert element.tag not in ("script", "iframe", "object", "embed", "img", "form", "base")
        if "href" in element.attrib:
            assert element.attrib["href"] in ["data:,", *(f"#{name}" for name in ids)]
        if element.tag == "style":
            assert "url(" not in (element.text or "")
            assert "@import" not in (element.text or "")
        assert "url(" not in element.get("style", "")
    levels = [int(element.tag[1]) for element in root.iter() if element.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert [element.get("id") for element in root.iter("section")] == SECTIONS
    return root


def said(root: ET.Element) -> str:
    return " ".join("".join(root.itertext()).split())


def rows_of(root: ET.Element, caption: str) -> list[list[str]]:
    for table in root.iter("table"):
        if caption in "".join(table.find("caption").itertext()):  # type: ignore[union-attr]
            body = table.find("tbody")
            assert body is not None
            return [["".join(cell.itertext()) for cell in row] for row in body]
    raise AssertionError(caption)


@pytest.mark.parametrize("measured", [False, True])
def test_the_page_is_sound_and_has_every_figure_as_text(measured: bool) -> None:
    value = fixed(bench=bench(), missing=()) if measured else fixed()
    root = assert_sound(page(value))
    assert [row[0] for row in rows_of(root, "Bytes by column")] == [column.name for column in value.stored.columns]
    assert rows_of(root, "Bytes by partition")[1][0] == "origin=null"
    assert rows_of(root, "that sorting by another one saves")[0][0] == "tailnum"
    assert len(rows_of(root, "Candidates")) == len(value.recommendation.candidates)  # type: ignore[union-attr]
    assert rows_of(root, "Excess depth")[0][1:3] != ["", ""]
    assert len(rows_of(root, "Plans")) == len(value.history.entries)  # type: ignore[union-attr]
    for finding in value.health.findings:
        assert finding.message in said(root)
        assert finding.fix is None or finding.fix in said(root)
    if measured:
        assert len(rows_of(root, "Queries")) == len(value.bench.queries)  # type: ignore[union-attr]
    else:
        assert "no bench was handed in" in said(root)


def test_every_plot_is_named_and_the_page_says_nothing_twice_the_same_way() -> None:
    root = parsed(page(fixed()))
    plots = [element for element in root.iter() if element.get("role") == "img"]
    assert len(plots) == 3  # two treemaps and the frontier
    assert all(plot.get("aria-label") or plot.get("aria-labelledby") for plot in plots)
    regions = [element.get("aria-label") for element in root.iter() if element.get("role") == "region"]
    assert all(regions)
    assert len(regions) == len(set(regions))


def test_the_same_value_makes_the_same_page() -> None:
    assert page(fixed()) == page(fixed())


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1, max_size=30))
def test_a_name_stays_text(name: str) -> None:
    columns = (StoredColumn(name, name, 5), StoredColumn("other", "int", 1))
    value = fixed(table=name, stored=StoredBytes(columns, (), 0))
    advice = value.recommendation
    assert advice is not None
    candidate = Candidate("sort", (SortField(name),), {}, 0.5, 0.5, name)
    value = dataclasses.replace(value, recommendation=dataclasses.replace(advice, candidates=(candidate,), chosen=0))
    root = assert_sound(page(value))
    assert len(list(root.iter())) == len(list(assert_sound(page(_renamed(value, "plain"))).iter()))


def _renamed(value: TableReport, name: str) -> TableReport:
    columns = (StoredColumn(name, name, 5), StoredColumn("other", "int", 1))
    advice = value.recommendation
    assert advice is not None
    candidate = Candidate("sort", (SortField(name),), {}, 0.5, 0.5, name)
    changed = dataclasses.replace(advice, candidates=(candidate,), chosen=0)
    return dataclasses.replace(value, table=name, stored=StoredBytes(columns, (), 0), recommendation=changed)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60))
def test_boxes_have_their_areas_and_fill_the_whole(sizes: list[float]) -> None:
    sizes.sort(reverse=True)
    boxes = squarified(sizes, 2.0)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(size / sum(sizes), rel=1e-6, abs=1e-12)
        assert min(box.left, box.top) >= -1e-9
        assert max(box.left + box.width, box.top + box.height) <= 1 + 1e-6
    for first, box in enumerate(boxes):
        for other in boxes[first + 1 :]:
            across = min(box.left + box.width, other.left + other.width) - max(box.left, other.left)
            down = min(box.top + box.height, other.top + other.height) - max(box.top, other.top)
            assert min(across, down) <= 1e-6


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 10**15), max_size=3000))
def test_the_tail_of_many_tiles_is_one_and_no_byte_is_lost(sizes: list[int]) -> None:
    shown = grouped([Tile(str(place), size, "number") for place, size in enumerate(sizes)], "column")
    assert len(shown) <= BOXES
    assert sum(tile.bytes for tile in shown) == sum(sizes)


ratios = st.floats(0, 20).map(lambda ratio: round(ratio, 3))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(ratios, ratios), min_size=1, max_size=30))
def test_nothing_beats_the_frontier(pairs: list[tuple[float, float]]) -> None:
    points = [Point(number, "sort", *pair) for number, pair in enumerate(pairs, start=1)]
    best = on_frontier(points)
    for point in points:
        beaten = any(
            p.bytes_ratio <= point.bytes_ratio
            and p.scanned_ratio <= point.scanned_ratio
            and (p.bytes_ratio, p.scanned_ratio) != (point.bytes_ratio, point.scanned_ratio)
            for p in points
        )
        assert beaten or any((p.bytes_ratio, p.scanned_ratio) == (point.bytes_ratio, point.scanned_ratio) for p in best)
        assert not (beaten and point in best)
    drawn = ET.fromstring(frontier(points, chosen=1))
    places = [float(circle.get(axis, "nan")) for circle in drawn.iter("circle") for axis in ("cx", "cy")]
    assert all(math.isfinite(place) and 0 <= place <= 360 for place in places)


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = [[str(number), "1"] for number in range(2000)]
    root = ET.fromstring(f"<div>{grid('wide', [Column('column'), Column('bytes', True)], rows)}</div>")
    assert len(rows_of(root, "wide")) == ROWS
    assert "1,800 more rows" in said(root)


def test_two_thousand_columns_make_a_page_that_opens() -> None:
    value = fixed()
    names = [f"a_column_with_a_long_name_{number}" for number in range(2000)]
    profile, overlap = value.profile, value.health.overlap[0]
    assert profile is not None
    rows = tuple(tuple(0.5 for _ in range(64)) for _ in range(64))
    columns = tuple(dataclasses.replace(profile.columns[0], name=name) for name in names)
    wide = dataclasses.replace(profile, columns=columns, correlation_matrix=CorrelationMatrix(tuple(names[:64]), rows))
    overlaps = tuple(dataclasses.replace(overlap, column=name) for name in names)
    stored = StoredBytes(tuple(StoredColumn(name, "long", 10) for name in names), (), 0)
    html = page(fixed(stored=stored, profile=wide, health=dataclasses.replace(value.health, overlap=overlaps)))
    root = assert_sound(html)
    assert len(html) < 300_000
    assert "1,961 more columns" in html
    assert "1,800 more rows" in said(root)


@pytest.mark.slow
def test_a_table_before_and_after_its_rewrite(lake: Lake, tmp_path: Path) -> None:
    lake.flights(days=4, rows_per_day=300)
    lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=(SortField("carrier"), SortField("dest")))
    queries, measured = tmp_path / "q.sql", tmp_path / "bench.json"
    queries.write_text("SELECT count(*) FROM flights WHERE carrier = 'UA'")
    measured.write_text(to_json(lakeopt.bench("lake.db.flights", queries=queries, runs=1)))
    value = lakeopt.report("lake.db.flights", queries=queries, bench=measured, time_budget=1)
    assert value.missing == ()
    assert value.stored.footers_read == 0
    assert sum(column.bytes for column in value.stored.columns) == pytest.approx(value.health.total_bytes, rel=0.01)
    assert value.before_rewrite is not None
    assert (value.before_rewrite.data_file_count, value.health.data_file_count) == (4, 1)
    carrier = next(row for row in rows_of(assert_sound(page(value)), "Excess depth") if row[0] == "carrier")
    assert carrier[1:3] == ["3.0", "0.0"]
    assert from_json(TableReport, to_json(value)) == value
    lake.create("db.other", pa.schema([("a", pa.int64())]))
    with pytest.raises(UsageError, match=r"not of lake\.db\.other"):
        lakeopt.report("lake.db.other", bench=measured)


TABLES: dict[str, pa.Table] = {
    "empty": pa.table({"a": pa.array([], pa.int64())}),
    "one": pa.table({"a": [1]}),
    "words": pa.table({"w": ["x", "y", "z"] * 50, "v": ["p", "q"] * 75}),
    "nested": pa.table({"s": [{"a": 1, "b": [1, 2]}] * 50}),
    "nulls": pa.table({"n": pa.nulls(50, pa.int64()), "k": [7] * 50}),
    "hostile": pa.table(
        {'"><script>alert(1)</script>': list(range(60)), "a\x1b[31m\u202e&amp;\n": ["<img src=x>"] * 60}
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_hard_tables_have_a_page_that_says_what_is_missing(lake: Lake, name: str) -> None:
    rows = TABLES[name]
    table = lake.create(f"db.{name}", rows.schema)
    if rows.num_rows:
        lake.append(table, rows)
    value = lakeopt.report(f"lake.db.{name}", time_budget=1)
    root = assert_sound(page(value))
    absent = {part.part for part in value.missing}
    assert absent == {"bench", "last_rewrite"} | (
        {"column_bytes", "profile", "recommendation"} if name == "empty" else set()
    )
    for part in value.missing:
        assert part.reason in said(root)


def test_bytes_come_from_footers_where_manifests_are_silent(lake: Lake) -> None:
    lake.flights(days=2, rows_per_day=2000)
    table = open_table("lake.db.flights", Settings())
    files = live_files(table, table.snapshot_id(), "data")
    place = files.schema.get_field_index("column_sizes")
    silent = files.set_column(place, "column_sizes", pa.nulls(files.num_rows, files.schema.field(place).type))
    told, read = (stored_bytes(each, table.schema, table.field_types, table.resolve) for each in (files, silent))
    assert (told.footers_read, read.footers_read) == (0, 2)
    assert {column.name: column.bytes for column in read.columns} == pytest.approx(
        {column.name: column.bytes for column in told.columns}, rel=0.02, abs=50
    )


def test_a_missing_data_file_leaves_the_parts_that_need_none(lake: Lake) -> None:
    table = lake.flights(days=2)
    Path(next(iter(lake.files(table))).file_path.removeprefix("file://")).unlink()
    value = lakeopt.report("lake.db.flights", time_budget=1)
    assert value.profile is None
    assert value.recommendation is None
    assert "data file is missing" in (value.reason("profile") or "")
    assert "unreadable-files" in said(assert_sound(page(value)))


def test_a_metadata_file_of_format_v3_has_no_history_and_says_so(lake: Lake) -> None:
    file = Path(lake.flights(days=2).metadata_location.removeprefix("file://"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format-version": 3, "next-row-id": 0}))
    value = lakeopt.report(str(file), time_budget=1)
    assert value.health.format_version == 3
    assert value.history is None
    assert "names no warehouse" in (value.reason("history") or "")
    assert value.profile is not None
    text = said(assert_sound(page(value)))
    assert "iceberg v3" in text
    assert "names no warehouse" in text


def test_what_is_asked_wrongly_is_refused_first(lake: Lake, tmp_path: Path) -> None:
    lake.flights(days=1)
    with pytest.raises(UnknownName):
        lakeopt.report("lake.db.none")
    with pytest.raises(UsageError, match="needs queries"):
        lakeopt.report("lake.db.flights", goal="reads")
    with pytest.raises(UnknownName, match="no reader named 'sprak'"):
        lakeopt.report("lake.db.flights", compatible_with=["sprak"])
    with pytest.raises(UsageError, match="cannot read"):
        lakeopt.report("lake.db.flights", bench=tmp_path / "none.json")
    queries = tmp_path / "q.sql"
    queries.write_text("SELECT no_column FROM t", encoding="utf-8")
    with pytest.raises(UsageError, match="no query can be used"):
        lakeopt.report("lake.db.flights", queries=queries)


def test_the_command_writes_a_page_or_any_other_form(lake: Lake, tmp_path: Path) -> None:
    lake.flights(days=1)
    for ending, start in (("html", "<!DOCTYPE html>"), ("json", "{"), ("md", "#")):
        file = tmp_path / f"report.{ending}"
        done = CliRunner().invoke(app, ["report", "lake.db.flights", "--time-budget", "1s", "-o", str(file)])
        assert done.exit_code == 0, done.output
        assert file.read_text(encoding="utf-8").startswith(start)


def test_encodings_of_the_recommendation_are_those_of_the_readers_named(lake: Lake, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    rows = pa.table({"day": draw.integers(0, 40, 3_000), "id": draw.permutation(3_000) * 977, "name": ["x"] * 3_000})
    lake.append(lake.create("db.numbers", rows.schema), rows)
    written = {}
    for readers in ("spark-iceberg", "duckdb,spark"):
        file = tmp_path / f"{readers}.json"
        asked = ["report", "lake.db.numbers", "--compatible-with", readers, "-o", str(file)]
        assert CliRunner().invoke(app, asked).exit_code == 0
        found = from_json(TableReport, file.read_text(encoding="utf-8")).recommendation
        assert found is not None
        assert found.candidates == lakeopt.recommend("lake.db.numbers", compatible_with=readers.split(",")).candidates
        best = found.candidates[found.chosen or 0]
        written[readers] = {value for key, value in best.writer.items() if key.startswith("encoding.")}
    assert not any(value.startswith("delta") for value in written["spark-iceberg"])
    assert "delta-binary-packed" in written["duckdb,spark"]
