"""``recommend`` on real tables: planted orders, what is better left alone, and predictions against written files."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake

from lakeopt.cli.app import main
from lakeopt.errors import UnknownName, UsageError
from lakeopt.figures import rewrite_command
from lakeopt.model.layout_record import MEASURED_PROPERTY
from lakeopt.model.plan import Candidate, Layout, LayoutRecommendation, MeasuredLayout, RewritePlan
from lakeopt.model.scan import WriterOptions
from lakeopt.model.serde import from_json, to_json
from lakeopt.parquet.encode import encode
from lakeopt.workflows.apply import apply
from lakeopt.workflows.plan import plan
from lakeopt.workflows.recommend import recommend


def landed(lake: Lake, rows: pa.Table, *, commits: int = 6, **options: object) -> str:
    table = lake.create("demo.t", rows.schema, **options)  # type: ignore[arg-type]
    for start, end in pairwise(np.linspace(0, rows.num_rows, commits + 1).astype(int)):
        if end > start:
            table = lake.append(table, rows.slice(start, end - start))
    return "lake.demo.t"


def events(count: int = 20_000) -> pa.Table:
    """Devices report in turn; a device fixes its model, owner and place, and nearly its reading."""
    draw = np.random.default_rng(8)
    device = draw.integers(0, 400, count)
    owner = pa.array([bytes(draw.integers(97, 123, 16, dtype=np.uint8)).decode() for _ in range(400)])
    return pa.table(
        {
            "at": np.arange(count) * 1_000,
            "device": device,
            "owner": owner.take(pa.array(device)),
            "lat": device * 37 % 181,
            "lon": device * 91 % 361,
            "reading": device * 7 + draw.integers(0, 2, count),
        }
    )


def noise(count: int = 20_000) -> pa.Table:
    draw = np.random.default_rng(4)
    return pa.table({f"c{number}": draw.random(count) for number in range(4)})


def chosen(found: LayoutRecommendation) -> Candidate:
    assert found.chosen is not None
    return found.candidates[found.chosen]


def test_a_key_that_determines_the_rest_is_found_and_the_prediction_holds(lake: Lake) -> None:
    rows = events()
    found = recommend(landed(lake, rows, commits=1))
    best = chosen(found)
    names = [field.name for field in best.columns]
    assert best.strategy == "sort"
    assert names[0] in {"device", "owner", "lat", "lon", "reading"}
    assert best.bytes_ratio < 0.7
    keys = [(name, "ascending") for name in names]
    ordered = rows.sort_by([*keys, ("at", "ascending")])
    after = encode(ordered, WriterOptions.from_mapping(best.writer)).data.size
    before = encode(rows, WriterOptions(level=3)).data.size
    assert best.bytes_ratio == pytest.approx(after / before, rel=0.02)
    assert found.baseline.bin_packed_bytes == pytest.approx(before, rel=0.02)
    assert found.baseline.tuned_bytes < before
    assert found.baseline.sampled_rows == rows.num_rows
    assert f"{best.bytes_ratio:.1%}" in found.reason
    assert "all 20,000 rows" in found.reason


def test_candidates_are_ranked_and_hold_both_layouts_that_keep_arrival_order(lake: Lake) -> None:
    found = recommend(landed(lake, events()))
    ratios = [candidate.bytes_ratio for candidate in found.candidates]
    assert ratios == sorted(ratios)
    unsorted = {candidate.strategy: candidate for candidate in found.candidates if not candidate.columns}
    tuned = found.baseline.tuned_bytes / found.baseline.bin_packed_bytes
    assert unsorted["none"].bytes_ratio == 1.0
    assert unsorted["bin-pack"].bytes_ratio == pytest.approx(tuned, rel=1e-3)
    assert all(candidate.scanned_ratio is None for candidate in found.candidates)
    assert all(candidate.writer["codec"] == "zstd" for candidate in found.candidates)
    assert from_json(LayoutRecommendation, to_json(found)) == found


def test_noise_is_left_alone(lake: Lake) -> None:
    found = recommend(landed(lake, noise(), commits=1))
    assert found.chosen is None
    (merged,) = [candidate for candidate in found.candidates if candidate.strategy == "bin-pack"]
    assert all(c.bytes_ratio > 0.98 * merged.bytes_ratio for c in found.candidates if c.columns)
    assert "No order pays" in found.reason
    assert "Encoded anew in the same order its columns would take" in found.reason
    assert merged.writer["encoding.c0"] == "plain"


def test_a_table_that_is_already_sorted_is_left_alone(lake: Lake) -> None:
    first = recommend(landed(lake, events(), commits=1))
    keys = [(field.name, "ascending") for field in chosen(first).columns]
    table = lake.create("demo.again", events(0).schema)
    lake.append(table, events().sort_by([*keys, ("at", "ascending")]))
    again = recommend("lake.demo.again")
    assert again.chosen is None or chosen(again).bytes_ratio > 0.95


def test_small_files_of_noise_are_merged(lake: Lake) -> None:
    found = recommend(landed(lake, noise(300), commits=12))
    assert chosen(found).strategy == "bin-pack"
    assert found.baseline.bin_packed_bytes < 0.9 * found.baseline.current_bytes
    assert "merged and encoded anew" in found.reason
    groups = plan("lake.demo.t").groups
    assert {group.method for group in groups} == {"decode"}, "what was foretold of encoding is not made by a copy"


def test_inside_partitions_the_partition_column_is_no_key(lake: Lake) -> None:
    rows = events()
    rows = rows.append_column("model", pa.array(rows["device"].to_numpy() % 3))
    found = recommend(landed(lake, rows, commits=2, partition=[("model", "identity")]))
    assert chosen(found).columns[0].name != "model"
    with_model = [c for c in found.candidates if [f.name for f in c.columns] == ["model"]]
    assert all(candidate.bytes_ratio == 1.0 for candidate in with_model)


QUERIES = """
-- name: one device
SELECT avg(reading) FROM t WHERE device = 17
-- name: one hour
SELECT count(*) FROM t WHERE at BETWEEN 1000000 AND 4600000
"""


def test_queries_say_what_would_be_scanned(lake: Lake, tmp_path: Path) -> None:
    queries = tmp_path / "q.sql"
    queries.write_text(QUERIES.split("-- name: one hour")[0])
    properties = {"write.parquet.page-row-limit": "500"}
    name = landed(lake, events(), properties=properties)
    found = recommend(name, goal="balanced", queries=queries)
    best = chosen(found)
    smallest = min(candidate.bytes_ratio for candidate in found.candidates)
    assert best.bytes_ratio <= 1.03 * smallest
    assert best.scanned_ratio is not None
    assert best.scanned_ratio <= 0.1
    by_device = next(c for c in found.candidates if [f.name for f in c.columns] == ["device"])
    assert by_device.scanned_ratio is not None
    assert by_device.scanned_ratio <= 0.05
    none = next(c for c in found.candidates if c.strategy == "none")
    assert none.scanned_ratio is not None
    assert none.scanned_ratio > 0.9
    reads = recommend(name, goal="reads", queries=queries)
    read = [candidate.bytes_ratio * (candidate.scanned_ratio or 0) for candidate in reads.candidates]
    assert read == sorted(read)
    assert reads.chosen == 0
    assert "of the pages instead of" in reads.reason


def test_a_goal_about_reading_needs_queries(lake: Lake) -> None:
    for goal in ("reads", "balanced"):
        with pytest.raises(UsageError, match="needs queries"):
            recommend("lake.demo.t", goal=goal)  # type: ignore[arg-type]


def test_queries_of_another_table_are_refused(lake: Lake, tmp_path: Path) -> None:
    queries = tmp_path / "q.sql"
    queries.write_text("SELECT 1 FROM elsewhere WHERE device = 1")
    with pytest.raises(UnknownName, match="elsewhere"):
        recommend(landed(lake, events(100), commits=1), queries=queries)


def test_queries_that_cannot_be_used_are_left_out_counted_and_listed(lake: Lake, tmp_path: Path) -> None:
    queries = tmp_path / "q.sql"
    bad = "-- name: broken\nSELECT FROM WHERE\n"
    bad += "-- name: elsewhere\nSELECT colour FROM t WHERE shade = 'x' AND device = 3\n"
    queries.write_text(QUERIES + bad)
    name = landed(lake, events(), properties={"write.parquet.page-row-limit": "500"})
    found = recommend(name, goal="reads", queries=queries)
    assert "2 of its queries are left out: broken (" in found.reason
    assert "elsewhere (no column 'colour', 'shade')" in found.reason
    queries.write_text(QUERIES)
    assert recommend(name, goal="reads", queries=queries).candidates == found.candidates
    queries.write_text(bad)
    with pytest.raises(UsageError, match=r"no query can be used: broken: .*elsewhere: no column"):
        recommend(name, goal="reads", queries=queries)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_tiny_tables(lake: Lake, count: int) -> None:
    found = recommend(landed(lake, events(count), commits=1))
    assert found.baseline.sampled_rows == count
    assert found.chosen is None or count == 10
    assert {candidate.strategy for candidate in found.candidates} >= {"none", "bin-pack"}


def test_columns_that_say_nothing(lake: Lake) -> None:
    rows = pa.table({"nothing": pa.nulls(500, pa.string()), "always": ["yes"] * 500, "list": [[1]] * 500})
    found = recommend(landed(lake, rows, commits=1))
    assert found.chosen is None
    assert "No column tells rows apart" in found.reason


def test_time_runs_out_and_it_says_so(lake: Lake) -> None:
    found = recommend(landed(lake, noise(2_000), commits=1), time_budget=0.0)
    assert found.trials == 1
    assert found.chosen is None
    assert "time ran out" in found.reason


def test_a_sample_says_so(lake: Lake) -> None:
    found = recommend(landed(lake, events(), commits=10), sample_rows=4_000)
    assert found.baseline.sampled_rows == 4_000
    assert "4,000 of 20,000 rows" in found.reason
    whole = recommend("lake.demo.t")
    assert found.baseline.bin_packed_bytes == pytest.approx(whole.baseline.bin_packed_bytes, rel=0.25)


def test_the_same_seed_gives_the_same_recommendation(lake: Lake) -> None:
    name = landed(lake, events(5_000))
    first, second = (recommend(name, seed=2, threads=threads) for threads in (1, 2))
    assert (first.candidates, first.chosen, first.reason) == (second.candidates, second.chosen, second.reason)


@pytest.mark.slow
def test_many_columns(lake: Lake) -> None:
    """Only some columns of a very wide table are tried, all of them are counted."""
    draw = np.random.default_rng(3)
    group = draw.integers(0, 50, 400)
    rows = pa.table({f"c{number}": group * (number + 3) % 50 for number in range(200)} | {"noise": draw.random(400)})
    found = recommend(landed(lake, rows, commits=1))
    assert chosen(found).bytes_ratio < 0.9
    assert found.trials < 600


def test_more_encodings_make_it_smaller_and_only_allowed_ones_are_written(lake: Lake) -> None:
    name = landed(lake, events(), commits=1)
    few, all_ = recommend(name), recommend(name, compatible_with=["duckdb", "spark"])
    assert chosen(all_).bytes_ratio < chosen(few).bytes_ratio
    written = {value for key, value in chosen(few).writer.items() if key.startswith("encoding.")}
    assert written <= {"dictionary", "plain"}
    assert any(value.startswith("delta") for value in chosen(all_).writer.values())


def test_the_goal_sets_what_neither_the_table_nor_the_caller_does(lake: Lake, tmp_path: Path) -> None:
    queries = tmp_path / "q.sql"
    queries.write_text(QUERIES)
    name = landed(lake, events(2_000))
    assert chosen(recommend(name)).writer["level"] == "9"
    assert chosen(recommend(name, compression_level=5)).writer["level"] == "5"
    reads = recommend(name, goal="reads", queries=queries)
    assert (chosen(reads).writer["level"], chosen(reads).writer["page_rows"]) == ("3", "20000")


def test_a_rewrite_writes_what_was_measured_in_encodings_that_its_readers_read(lake: Lake) -> None:
    name = landed(lake, events(4_000))
    planned = plan(name, compatible_with=["duckdb", "spark-iceberg=1.10"])
    best = chosen(recommend(name, compatible_with=["duckdb", "spark-iceberg=1.10"]))
    assert (planned.writer, planned.writer["level"]) == (best.writer, "9")
    delta = {name.removeprefix("encoding.") for name, held in planned.writer.items() if held == "delta-binary-packed"}
    assert delta
    assert apply(planned).verification.matched
    for file in lake.files(lake.load("demo.t")):
        group = pq.read_metadata(file.file_path.removeprefix("file://")).row_group(0)
        chunks = [group.column(number) for number in range(group.num_columns)]
        held = {chunk.path_in_schema for chunk in chunks if "DELTA_BINARY_PACKED" in chunk.encodings}
        assert held == delta


@pytest.mark.parametrize("more", [{}, {"strategy": "bin-pack"}])
def test_an_unknown_reader_is_refused_before_anything_is_measured(lake: Lake, more: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match="no reader named 'spark-icebreg'"):
        plan(landed(lake, noise(50)), compatible_with=["spark-icebreg"], **more)  # type: ignore[arg-type]


def test_the_command_that_is_shown_takes_what_was_recommended(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Order and encodings: an order alone would take more bytes than were promised."""
    name = landed(lake, events(5_000))
    advice = recommend(name, compatible_with=("duckdb", "pyarrow"), compression_level=5)
    words = shlex.split(rewrite_command(advice))[1:]
    assert main([*words, "--dry-run", "--json"]) == 0
    made = from_json(RewritePlan, capsys.readouterr().out)
    best = chosen(advice)
    assert (made.layout.columns, made.layout.block_rows) == (best.columns, best.block_rows)
    assert made.writer == best.writer
    assert any(word.startswith("encoding.") for word in made.writer)


def test_the_command_that_is_shown_does_not_take_what_the_table_remembers(lake: Lake) -> None:
    name = landed(lake, events(2_000))
    held = MeasuredLayout("p", "2026-11-01T00:00:00+00:00", "storage", Layout("bin-pack"), {}, 0.5, 0.5, 9)
    with lake.load("demo.t").transaction() as change:
        change.set_properties({MEASURED_PROPERTY: to_json(held)})
    words = shlex.split(rewrite_command(recommend(name)))
    assert words == ["lakeopt", "rewrite", name, "--search-again"]
