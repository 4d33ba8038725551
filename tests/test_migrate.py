"""A folder of Hive partitions becomes an Iceberg table: in place and rewritten, proved, whole or not at all."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from lake import Lake

import lakeopt
from lakeopt.cli.app import main
from lakeopt.errors import CommitConflict, ProofFailed, Refused, StalePlan, UnknownName
from lakeopt.model.migration import MigrationPlan, MigrationResult
from lakeopt.model.plan import SortField
from lakeopt.model.serde import from_json, to_json
from lakeopt.workflows.event_log import event_log
from lakeopt.workflows.migrate import migrate, plan_migration
from lakeopt.workflows.migration_run import apply_migration
from lakeopt.workflows.retention import retention

DAYS = ("2026-01-01", "2026-01-02", "a/b=c%20 ü", None)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def rows(day: int, count: int = 300) -> pa.Table:
    places = range(count)
    return pa.table(
        {
            "Id": pa.array([1000 * day + 7 * place % count for place in places], pa.int64()),
            "agent": [None if place % 11 == 0 else f"device {place % 5} \U0001f600" for place in places],
            "cost": pa.array([place / 4 if place % 7 else float("nan") for place in places]),
            "at": pa.array([1_700_000_000_000_000 + place for place in places], pa.timestamp("us", "UTC")),
            "tags": [[place % 3, None] if place % 2 else None for place in places],
            "inner": [{"a": place % 4, "b": {"c": str(place % 9)}} for place in places],
        }
    )


def folder(day: str | None) -> str:
    text = HIVE_NULL if day is None else "".join(c if c.isalnum() or c in "-_.ü" else f"%{ord(c):02X}" for c in day)
    return f"day={text}"


@pytest.fixture
def hive(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    root = tmp_path / "hive" / "events"
    for number, day in enumerate(DAYS):
        place = root / folder(day)
        place.mkdir(parents=True)
        pq.write_table(rows(number), place / "part-0.parquet")
        pq.write_table(rows(number + 10), place / "part-1.parquet")
    return root


def contents(root: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def expected() -> list[tuple[Any, ...]]:
    made = []
    for number, day in enumerate(DAYS):
        for data in (rows(number), rows(number + 10)):
            made += [(*map(repr, row.values()), repr(day)) for row in data.to_pylist()]
    return sorted(made)


def read(lake: Lake, name: str) -> list[tuple[Any, ...]]:
    """The rows by pyiceberg's own reader."""
    held = lake.catalog.load_table(name).scan().to_arrow()
    return sorted(tuple(map(repr, row.values())) for row in held.to_pylist())


@pytest.mark.parametrize("choices", [{}, {"rewrite": True}, {"rewrite": True, "strategy": "sort", "sort_by": "agent"}])
def test_rows_are_those_of_the_folder(lake: Lake, hive: Path, choices: dict[str, Any]) -> None:
    before = contents(hive)
    if "sort_by" in choices:
        choices = {**choices, "sort_by": (lakeopt.model.plan.SortField("agent"),)}
    result = migrate(str(hive), "db.events", **choices)
    assert contents(hive) == before
    assert read(lake, "db.events") == expected()
    assert result.verification is not None
    assert (result.verification.method, result.verification.matched) == ("rows", True)
    assert (result.record_count, len(result.snapshot_ids)) == (2400, 1)
    table = lake.catalog.load_table("db.events")
    assert table.spec().fields[0].name == "day"
    where = table.scan(row_filter="day == 'a/b=c%20 ü'")
    assert {task.file.partition[0] for task in where.plan_files()} == {"a/b=c%20 ü"}
    assert table.properties["lakeopt.migrated-from"] == str(hive)
    assert [entry.status for entry in lakeopt.history(str(hive)).entries] == ["committed"]


def test_in_place_names_the_same_files_and_lets_nothing_delete_them(lake: Lake, hive: Path) -> None:
    migrate(str(hive), "db.events")
    table = lake.catalog.load_table("db.events")
    named = {entry["file_path"].removeprefix("file://") for entry in table.inspect.files().to_pylist()}
    assert named == {str(path) for path in hive.rglob("*.parquet")}
    assert table.properties["gc.enabled"] == "false"
    with pytest.raises(Refused, match="gc"):
        lakeopt.expire_snapshots("lake.db.events")


def test_a_rewritten_table_lies_in_its_layout(lake: Lake, hive: Path) -> None:
    key = (lakeopt.model.plan.SortField("agent"),)
    result = migrate(str(hive), "db.events", rewrite=True, strategy="sort", sort_by=key)
    assert result.data_file_count_after == len(DAYS)
    for entry in lake.catalog.load_table("db.events").inspect.files().to_pylist():
        agents = pq.read_table(entry["file_path"].removeprefix("file://"))["agent"].to_pylist()
        assert agents == sorted(agents, key=lambda value: (value is not None, value or ""))
        assert entry["sort_order_id"] == 1
    assert result.comparison is not None
    assert {one.name for one in result.comparison.columns} == {*rows(0).schema.names, "day"}
    again = lakeopt.plan("lake.db.events", strategy="sort", sort_by=key)
    assert not again.groups


def test_duckdb_reads_a_rewritten_table_by_its_metadata(lake: Lake, hive: Path) -> None:
    migrate(str(hive), "db.events", rewrite=True, strategy="bin-pack")
    files = [
        row["file_path"].removeprefix("file://")
        for row in lake.catalog.load_table("db.events").inspect.files().to_pylist()
    ]
    with duckdb.connect() as connection:
        count, days = connection.execute(
            "SELECT count(*), count(DISTINCT day) FROM read_parquet(?, hive_partitioning=false)", [files]
        ).fetchone()  # type: ignore[misc]
    assert (count, days) == (2400, 3)


def test_orc_is_not_named(lake: Lake, hive: Path) -> None:
    for path in list(hive.rglob("*.parquet")):
        pa.orc.write_table(pq.read_table(path, partitioning=None).drop_columns(["at"]), str(path.with_suffix(".orc")))
        path.unlink()
    with pytest.raises(Refused, match="is orc"):
        plan_migration(str(hive), "db.events")


def test_orc_is_rewritten_with_the_same_rows(lake: Lake, hive: Path) -> None:
    """Structs whose fields are not in alphabetical order among them; pyarrow's times are in a zone that it names."""
    root = hive.parent / "orc"
    held = rows(0).append_column("pair", pa.array([{"z": place, "a": str(place)} for place in range(300)]))
    held = held.set_column(3, "at", pa.array([dt.datetime(2024, 1, 1, 12, place % 60) for place in range(300)]))
    for day in ("2026-01-01", None):
        (root / folder(day)).mkdir(parents=True)
        pa.orc.write_table(held, str(root / folder(day) / "part-0.orc"), compression="zlib")
    result = migrate(str(root), "db.events", rewrite=True, strategy="sort", sort_by=(SortField("agent"),))
    assert (result.mode, result.record_count, result.verification.matched) == ("rewrite", 600, True)
    assert result.notes == ("at: ORC keeps them without a zone, so timestamp in the new table",)
    days: list[dt.date | None] = [dt.date(2026, 1, 1), None]
    wanted = [(*map(repr, row.values()), repr(day)) for day in days for row in held.to_pylist()]
    assert read(lake, "db.events") == sorted(wanted)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([dt.date(1500, 2, 28), dt.date(2024, 1, 1)]), "Julian calendar"),
        (pa.array([[dt.date(1500, 2, 28)], []], pa.list_(pa.date32())), "Julian calendar"),
        (pa.array([dt.datetime(1890, 1, 1), None], pa.timestamp("us")), "before 1900"),
    ],
)
def test_orc_of_other_calendars_and_zones_is_refused(lake: Lake, tmp_path: Path, column: pa.Array, reason: str) -> None:
    """Days before 1582 are of the Julian calendar, unless a file says otherwise: 1500-02-28 is not ours."""
    (tmp_path / "t" / "k=1").mkdir(parents=True)
    pa.orc.write_table(pa.table({"a": column}), str(tmp_path / "t" / "k=1" / "a.orc"))
    with pytest.raises(Refused, match=reason):
        plan_migration(str(tmp_path / "t"), "db.events", rewrite=True)


def test_local_times_and_instants_become_different_types(lake: Lake, hive: Path) -> None:
    assert {one.name: one.type for one in plan_migration(str(hive), "db.events").columns}["at"] == "timestamptz"
    local = rows(0).set_column(3, "at", pa.array([dt.datetime(2026, 1, 1)] * 300, pa.timestamp("us")))
    pq.write_table(local, hive / folder(DAYS[0]) / "part-0.parquet")
    with pytest.raises(Refused, match="local times"):
        plan_migration(str(hive), "db.events", rewrite=True)


def test_int96_is_rewritten_and_not_named(lake: Lake, hive: Path) -> None:
    for path in hive.rglob("*.parquet"):
        pq.write_table(pq.read_table(path, partitioning=None), path, use_deprecated_int96_timestamps=True)
    with pytest.raises(Refused, match="int96"):
        plan_migration(str(hive), "db.events")
    migrate(str(hive), "db.events", rewrite=True, strategy="bin-pack")
    assert read(lake, "db.events") == expected()


def test_a_source_that_changed_makes_a_plan_stale(lake: Lake, hive: Path) -> None:
    plan = plan_migration(str(hive), "db.events")
    pq.write_table(rows(3), hive / folder(DAYS[0]) / "part-2.parquet")
    with pytest.raises(StalePlan):
        apply_migration(plan)
    assert not lake.catalog.table_exists("db.events")


def test_a_table_that_is_there_is_left_alone(lake: Lake, hive: Path) -> None:
    plan = plan_migration(str(hive), "db.events")
    lake.catalog.create_namespace("db")
    lake.catalog.create_table("db.events", pa.schema([("x", pa.int64())]))
    for act in (lambda: plan_migration(str(hive), "db.events"), lambda: apply_migration(plan)):
        with pytest.raises(Refused, match="already"):
            act()
    assert lake.catalog.load_table("db.events").schema().column_names == ["x"]


def test_a_table_that_appears_meanwhile_wins(lake: Lake, hive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeopt.workflows import migration_run

    proved = migration_run._Run._prove

    def prove_and_be_overtaken(self: Any, *more: Any) -> Any:
        lake.catalog.create_table("db.events", pa.schema([("x", pa.int64())]))
        return proved(self, *more)

    monkeypatch.setattr(migration_run._Run, "_prove", prove_and_be_overtaken)
    with pytest.raises(CommitConflict):
        migrate(str(hive), "db.events", rewrite=True, strategy="bin-pack")
    assert lake.catalog.load_table("db.events").schema().column_names == ["x"]
    left = list((lake.warehouse / "db").rglob("*.parquet"))
    assert left == []


def test_rows_that_would_differ_make_no_table(lake: Lake, hive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeopt.tables.iceberg.new_table import NewTable

    right = NewTable.encode

    def wrong(self: NewTable, values: dict[int, Any]) -> Any:
        return right(self, {key: value and "2026-01-01" for key, value in values.items()})

    monkeypatch.setattr(NewTable, "encode", wrong)
    with pytest.raises(ProofFailed, match="differ in 'day'"):
        migrate(str(hive), "db.events")
    assert not lake.catalog.table_exists("db.events")
    assert not any(path.is_file() for path in lake.warehouse.rglob("*"))


def test_what_is_no_source_is_refused(lake: Lake, hive: Path) -> None:
    migrate(str(hive), "db.events")
    with pytest.raises(Refused, match="is an Iceberg table already"):
        plan_migration("lake.db.events", "db.more")
    with pytest.raises(UnknownName):
        plan_migration(str(hive), "db.more", engine="sqlite")


def test_rows_that_not_every_reader_sees_are_not_migrated(lake: Lake, hive: Path) -> None:
    """Spark reads files of folders below a partition, Hive as it is configured; a view and ACID have none of theirs."""
    (hive / "_delta_log").mkdir()
    with pytest.raises(Refused, match="it lies in the folder of a Delta table"):
        plan_migration(str(hive), "db.events")
    (hive / "_delta_log").rmdir()
    nested = next(hive.glob("day=*")) / "more"
    nested.mkdir()
    pq.write_table(rows(50), nested / "a.parquet")
    with pytest.raises(Refused, match="lies in a folder below its partition"):
        plan_migration(str(hive), "db.events", rewrite=True)


def test_a_saved_plan_is_applied(lake: Lake, hive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "plan.json"
    assert main(["migrate", str(hive), "--to", "db.events", "--dry-run", "-o", str(saved)]) == 0
    assert "in place: no row is written" in capsys.readouterr().out
    assert not lake.catalog.table_exists("db.events")
    plan = from_json(MigrationPlan, saved.read_text())
    assert to_json(plan) + "\n" == saved.read_text()
    assert main(["apply", str(saved), "--yes", "--json"]) == 0
    result = from_json(MigrationResult, capsys.readouterr().out)
    assert (result.plan_id, result.record_count) == (plan.plan_id, 2400)


def test_an_empty_folder_becomes_an_empty_table(lake: Lake, hive: Path) -> None:
    for path in hive.rglob("*.parquet"):
        data = pq.read_table(path, partitioning=None)
        pq.write_table(data.slice(0, 0), path)
    result = migrate(str(hive), "db.events", rewrite=True, strategy="bin-pack")
    assert result.record_count == 0
    assert lake.catalog.load_table("db.events").schema().column_names[-1] == "day"


def test_a_folder_whose_files_another_table_reads_is_left_as_it_is(lake: Lake, hive: Path) -> None:
    key = {"strategy": "sort", "sort_by": (lakeopt.model.plan.SortField("agent"),)}
    migrate(str(hive), "db.events")
    before = contents(hive)
    lake.catalog.rename_table("db.events", "db.renamed")
    with pytest.raises(Refused, match=r"lake\.db\.renamed was made of this table in place and reads it"):
        lakeopt.rewrite(str(hive), **key)
    with pytest.raises(Refused, match=r"lake\.db\.renamed"):
        retention(str(hive), where="day == '2026-01-01'")
    assert contents(hive) == before
    assert read(lake, "db.renamed") == expected()
    lake.catalog.drop_table("db.renamed")
    assert lakeopt.rewrite(str(hive), **key).groups_done == len(DAYS)


@pytest.mark.slow
def test_the_three_shapes_of_queries_have_equal_answers_on_both_tables(lake: Lake, tmp_path: Path) -> None:
    """The file that the README names, on the table of Hive and on the Iceberg table made of it."""
    root = tmp_path / "hive" / "log"
    for number, day in enumerate(event_log(4_000, days=2)):
        place = root / f"day={number}"
        place.mkdir(parents=True)
        for hour in range(3):
            pq.write_table(day.slice(hour * 700, 700), place / f"{hour}.parquet")
    shapes = Path(__file__).parents[1] / "benchmarks" / "three_shapes.sql"
    key = [SortField(name) for name in ("event_name", "device_id", "event_time")]
    migrate(str(root), "db.log", rewrite=True, strategy="sort", sort_by=key)
    report = lakeopt.bench(str(root), queries=shapes, against="db.log", runs=1, threads=1)
    assert [query.answers_match for query in report.queries] == [True, True, True]
    assert [query.before.rows for query in report.queries] == [12, 1, 1]
    assert [(query.before.files_read, query.after.files_read) for query in report.queries] == [(6, 2)] * 3


def test_new_files_are_in_the_codec_that_is_asked_for(lake: Lake, hive: Path) -> None:
    """In Iceberg's own default where none is: what the source has is rarely what one wants for good."""
    for number, (choice, wanted) in enumerate(((None, "zstd"), ("gzip", "gzip"), ("keep", "snappy"))):
        more = {} if choice is None else {"codec": choice}
        made = migrate(str(hive), f"db.t{number}", rewrite=True, strategy="bin-pack", **more)
        assert made.verification.matched
        table = lake.catalog.load_table(f"db.t{number}")
        (path, *_) = table.inspect.files()["file_path"].to_pylist()
        footer = pq.read_metadata(path.removeprefix("file://"))
        assert footer.row_group(0).column(0).compression.lower() == wanted
        assert table.properties["write.parquet.compression-codec"] == wanted
    with pytest.raises(Refused, match="codec 'lzo9'"):
        migrate(str(hive), "db.other", rewrite=True, codec="lzo9")
