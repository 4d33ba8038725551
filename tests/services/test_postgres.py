"""A SQL catalog on PostgreSQL: what users of it see when it is there, and when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lake import Lake

import lakeopt
from lakeopt.errors import Unreachable
from lakeopt.model.plan import SortField

pytestmark = pytest.mark.service("PostgreSQL")


@pytest.fixture
def sql_lake(postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    lake = Lake(tmp_path / "lake", properties={"uri": postgres.database()})
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    return lake


def test_a_rewrite_is_one_replace_snapshot(sql_lake: Lake) -> None:
    table = sql_lake.flights(days=4)
    before = table.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])
    result = lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=(SortField("dest"),))
    after = sql_lake.load("db.flights")
    assert result.snapshot_ids == (str(after.current_snapshot().snapshot_id),)  # type: ignore[union-attr]
    rows = after.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])
    assert rows.equals(before)


def test_a_wrong_database_user_or_port_is_said_plainly(
    sql_lake: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql_lake.flights(days=1)
    wrong = [
        sql_lake.uri.rsplit("/", 1)[0] + "/nothing",
        sql_lake.uri.replace("postgres@", "nobody@"),
        sql_lake.uri.replace(f":{postgres.server.port}/", ":1/"),
    ]
    for uri, word in zip(wrong, ["nothing", "nobody", "refused"], strict=True):
        monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", uri)
        with pytest.raises(Unreachable, match=word) as caught:
            lakeopt.inspect("lake.db.flights")
        assert caught.value.exit_code == 3
        assert caught.value.hint
        assert "\n" not in str(caught.value)
