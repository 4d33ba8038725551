"""Spark writes to a Hive table before, while and after lakeopt switches its partitions: no row is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lakeopt
from lakeopt.errors import Stale
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.tables.hive.switch.metastore_switch import MetastoreSwitch
from lakeopt.workflows.restore import restore
from lakeopt.workflows.sweep import sweep

pytestmark = [pytest.mark.service("Spark"), pytest.mark.service("Hive metastore"), pytest.mark.slow]


def planned(spark_hive: Any, **more: Any) -> RewritePlan:
    return lakeopt.plan(spark_hive.name("t"), strategy="sort", sort_by=(SortField("word"),), **more)


def insert(spark_hive: Any, day: str, first: int, *, overwrite: bool = False) -> None:
    how = "OVERWRITE TABLE" if overwrite else "INTO"
    rows = f"SELECT id, concat('w', id * 7 % 10) FROM range({first}, {first + 10}, 1, 1)"
    spark_hive.sql(f"INSERT {how} {{db}}.t PARTITION (day = '{day}') {rows}")


def counts(spark_hive: Any) -> dict[str, int]:
    spark_hive.session.catalog.refreshTable(f"{spark_hive.database}.t")
    found = spark_hive.sql("SELECT day, count(*), count(DISTINCT id) FROM {db}.t GROUP BY day").collect()
    assert all(row[1] == row[2] for row in found), "a row is read twice"
    return {row[0]: row[1] for row in found}


def swept(spark_hive: Any) -> Any:
    return sweep(spark_hive.name("t"), grace=0, no_concurrent_writers=True)


@pytest.fixture
def table(spark_hive: Any) -> Any:
    """Days ``a`` and ``b``, each of two inserts of ten rows."""
    spark_hive.sql("CREATE TABLE {db}.t (id BIGINT, word STRING) PARTITIONED BY (day STRING) STORED AS PARQUET")
    for number, day in enumerate(("a", "b")):
        insert(spark_hive, day, 100 * number)
        insert(spark_hive, day, 100 * number + 10)
    return spark_hive


def test_an_insert_between_plan_and_switch_is_kept_and_ends_the_rewrite_with_4(table: Any) -> None:
    plan = planned(table, where="day = 'a'")
    insert(table, "a", 50)
    with pytest.raises(Stale) as caught:
        lakeopt.apply(plan)
    assert caught.value.exit_code == 4
    assert counts(table) == {"a": 30, "b": 20}
    assert not list((table.folder / "t" / ".lakeopt").rglob("*.parquet"))


def test_what_spark_does_after_a_switch_does_no_harm(table: Any) -> None:
    plan = planned(table)
    assert lakeopt.apply(plan).groups_done == 2
    table.sql("MSCK REPAIR TABLE {db}.t")
    assert counts(table) == {"a": 20, "b": 20}
    insert(table, "a", 50)
    assert counts(table) == {"a": 30, "b": 20}
    insert(table, "b", 500, overwrite=True)
    assert counts(table) == {"a": 30, "b": 10}
    with pytest.raises(Stale):
        restore(table.name("t"), plan.plan_id)  # both were written since
    table.sql("ALTER TABLE {db}.t DROP PARTITION (day = 'a')")
    assert counts(table) == {"b": 10}
    done = swept(table)
    assert done.missing_files_count >= 2  # Spark's overwrite cleared the folder that b had by its name, and its own
    assert counts(table) == {"b": 10}
    assert {one.reason for one in done.kept} == {"its partition was dropped, made anew or moved by someone else since"}
    insert(table, "b", 520)
    assert lakeopt.apply(planned(table)).groups_failed == 0
    swept(table)
    assert counts(table) == {"b": 20}


def test_an_insert_that_is_held_open_across_the_switch_is_reported_and_adopted(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    table.session.udf.register("held", _held(str(started), str(go)), "bigint")
    errors: list[Exception] = []

    def run() -> None:
        try:
            table.sql("INSERT INTO {db}.t PARTITION (day = 'a') SELECT held(id), 'late' FROM range(900, 905, 1, 1)")
        except Exception as error:
            errors.append(error)

    writer = threading.Thread(target=run)
    alter = MetastoreSwitch._alter

    def during(self: MetastoreSwitch, change: Any) -> None:
        if not writer.is_alive():
            writer.start()
            _wait(started.exists)
        alter(self, change)

    plan = planned(table, where="day = 'a'")
    with monkeypatch.context() as patch:
        patch.setattr(MetastoreSwitch, "_alter", during)
        result = lakeopt.apply(plan)
    go.touch()
    writer.join()
    assert errors == []
    assert (result.groups_done, result.groups_failed) == (1, 1)
    assert "another writer" in result.failed[0].error
    assert counts(table) == {"a": 20, "b": 20}
    done = swept(table)
    assert done.deleted_files_count == 0
    assert "came late" in done.failed[0].error
    assert lakeopt.apply(plan).groups_failed == 0
    assert counts(table) == {"a": 25, "b": 20}
    assert swept(table).failed == ()
    assert counts(table) == {"a": 25, "b": 20}


def _held(started: str, go: str) -> Callable[[int], int]:
    """A function that Spark's worker calls: it says that it began, and waits."""

    def held(number: int) -> int:
        import os
        import time

        open(started, "w").close()
        for _ in range(1200):
            if os.path.exists(go):
                break
            time.sleep(0.1)
        return number

    return held


def _wait(there: Callable[[], bool]) -> None:
    for _ in range(600):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError("the insert did not begin")
