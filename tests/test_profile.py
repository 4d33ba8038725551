"""``profile`` on real tables against figures computed by hand."""

from __future__ import annotations

import datetime
import itertools
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake

from lakeopt.errors import Refused, UnknownName
from lakeopt.model.profile import ColumnProfile, ColumnProfiles
from lakeopt.model.serde import from_json, to_json
from lakeopt.workflows import profile as module
from lakeopt.workflows.profile import profile


def landed(lake: Lake, rows: pa.Table, *, commits: int = 4, **options: object) -> str:
    table = lake.create("demo.t", rows.schema, **options)  # type: ignore[arg-type]
    edges = np.linspace(0, rows.num_rows, commits + 1).astype(int)
    for start, end in itertools.pairwise(edges):
        table = lake.append(table, rows.slice(start, end - start))
    return "lake.demo.t"


def by_name(found: ColumnProfiles) -> dict[str, ColumnProfile]:
    return {column.name: column for column in found.columns}


def trips(count: int = 8_000) -> pa.Table:
    draw = np.random.default_rng(3)
    city = (draw.zipf(1.5, count) % 40).astype(np.int32)
    return pa.table(
        {
            "city": city,
            "country": pa.array([None if c % 8 == 7 else f"land {c % 8}" for c in city], pa.string()),
            "price": draw.random(count),
            "stops": pa.array([[int(n)] * int(n % 4) for n in city], pa.list_(pa.int64())),
            "nothing": pa.nulls(count, pa.string()),
            "always": pa.array(["yes"] * count, pa.string()),
        }
    )


def test_figures_are_those_of_the_rows(lake: Lake) -> None:
    rows = trips()
    found = profile(landed(lake, rows))
    columns = by_name(found)
    assert (found.record_count, found.sampled_rows, found.exact) == (8_000, 8_000, True)
    assert [column.name for column in found.columns] == rows.column_names
    city = rows["city"].to_numpy()
    counts = np.unique(city, return_counts=True)[1]
    assert columns["city"].distinct_count == len(counts)
    assert columns["city"].skew == pytest.approx(counts.max() / 8_000)
    shares = counts / 8_000
    assert columns["city"].effective_values == pytest.approx(2 ** -(shares * np.log2(shares)).sum())
    assert columns["country"].null_fraction == pytest.approx(np.mean(city % 8 == 7))
    assert columns["nothing"].null_fraction == 1.0
    assert (columns["nothing"].distinct_count, columns["nothing"].redundancy) == (0, None)
    assert columns["always"].redundancy == pytest.approx(1 - 1 / 8_000)
    assert (columns["stops"].distinct_count, columns["stops"].correlation) == (None, None)
    assert columns["city"].type == "int"


def test_a_column_that_determines_others_correlates_and_an_independent_one_does_not(lake: Lake) -> None:
    found = profile(landed(lake, trips()))
    matrix = found.correlation_matrix
    saved = matrix.values[matrix.columns.index("city")][matrix.columns.index("country")]
    assert saved is not None
    assert saved > 0.8
    independent = matrix.values[matrix.columns.index("price")][matrix.columns.index("city")]
    assert independent is not None
    assert abs(independent) < 0.1
    assert matrix.values[matrix.columns.index("stops")] == (None,) * len(matrix.columns)


def test_bytes_shares_are_those_of_the_files(lake: Lake) -> None:
    name = landed(lake, trips())
    sizes: dict[str, int] = dict.fromkeys(trips(1).column_names, 0)
    for path in (lake.warehouse).rglob("*.parquet"):
        footer = pq.read_metadata(path)
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                sizes[chunk.path_in_schema.split(".")[0]] += chunk.total_compressed_size
    columns = by_name(profile(name))
    for column, size in sizes.items():
        assert columns[column].bytes_share == pytest.approx(size / sum(sizes.values()))
    assert sum(column.bytes_share for column in columns.values()) == pytest.approx(1)


def test_without_recorded_sizes_shares_come_from_the_sample(lake: Lake) -> None:
    name = landed(lake, trips(), properties={"write.metadata.metrics.default": "none"})
    columns = by_name(profile(name))
    assert sum(column.bytes_share for column in columns.values()) == pytest.approx(1)
    assert columns["price"].bytes_share > 0.5 > columns["always"].bytes_share


def test_a_sample_says_its_size_and_exact_counts_every_row(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"id": np.arange(9_000), "half": pa.array([None, 1.0] * 4_500)})
    name = landed(lake, rows, commits=10)
    sampled = profile(name, sample_rows=1_000)
    assert (sampled.sampled_rows, sampled.record_count, sampled.exact) == (1_000, 9_000, False)
    assert by_name(sampled)["id"].distinct_count == 1_000
    exact = profile(name, sample_rows=1_000, exact=True)
    assert (exact.sampled_rows, exact.exact) == (1_000, True)
    assert by_name(exact)["id"].distinct_count == 9_000
    assert by_name(exact)["half"].null_fraction == 0.5
    whole = by_name(profile(name))
    for column in ("id", "half"):
        for figure in ("null_fraction", "distinct_count", "redundancy", "group_size", "skew", "effective_values"):
            assert getattr(by_name(exact)[column], figure) == pytest.approx(getattr(whole[column], figure))
    monkeypatch.setattr("lakeopt.analysis.value_counts._SLACK", 10)
    with pytest.raises(Refused, match="'id'"):
        profile(name, sample_rows=1_000, exact=True, memory=100_000)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_tiny_tables(lake: Lake, count: int) -> None:
    found = profile(landed(lake, trips(count), commits=1 if count else 0))
    assert found.sampled_rows == count
    assert found.snapshot_id is None if not count else found.snapshot_id is not None
    assert from_json(ColumnProfiles, to_json(found)) == found


def test_every_type_and_names_that_hurt(lake: Lake) -> None:
    moment = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    rows = pa.table(
        {
            "a.b": pa.array([1, None, 3], pa.int32()),
            'quo"te': pa.array([math.nan, -0.0, 0.0]),
            "select": pa.array([b"\x00", None, b""]),
            "naïve 🙂": pa.array([moment, None, moment], pa.timestamp("us", "UTC")),
            "place": pa.array([{"x": 1}, None, {"x": None}]),
            "labels": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        }
    )
    columns = by_name(profile(landed(lake, rows, commits=1)))
    assert list(columns) == rows.column_names
    assert columns['quo"te'].distinct_count == 3
    assert columns["place"].null_fraction == pytest.approx(1 / 3)


def test_a_wide_table_correlates_its_heaviest_columns(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MATRIX_COLUMNS", 3)
    draw = np.random.default_rng(1)
    rows = pa.table({f"c{n}": draw.integers(0, 2 ** (n + 1), 3_000) for n in range(12)})
    found = profile(landed(lake, rows, commits=1))
    assert found.correlation_matrix.columns == ("c9", "c10", "c11")
    assert by_name(found)["c0"].correlation is None
    assert by_name(found)["c11"].correlation is not None


def test_the_same_seed_gives_the_same_profile(lake: Lake) -> None:
    name = landed(lake, trips(3_000))
    assert profile(name, seed=5) == profile(name, seed=5)


def test_unknown_table(lake: Lake) -> None:
    landed(lake, trips(10), commits=1)
    with pytest.raises(UnknownName):
        profile("lake.demo.trips")
