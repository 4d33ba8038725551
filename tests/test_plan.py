"""What a plan is asked for is checked before anything is measured, also where nothing would be rewritten."""

from __future__ import annotations

import pytest
from lake import Lake

from lakeopt.errors import UnknownName, UsageError
from lakeopt.workflows.plan import plan


@pytest.mark.parametrize("strategy", ["auto", "bin-pack"])
def test_a_wrong_filter_is_refused_even_where_nothing_is_to_be_done(lake: Lake, strategy: str) -> None:
    lake.create("db.empty", lake.flights(days=1).schema())
    for name in ("db.flights", "db.empty"):
        with pytest.raises(UsageError, match="not a filter"):
            plan(f"lake.{name}", strategy=strategy, where="origin =")
        with pytest.raises(UnknownName, match="no column named 'orign'"):
            plan(f"lake.{name}", strategy=strategy, where="orign = 'JFK'")


def test_only_a_branch_can_be_rewritten(lake: Lake) -> None:
    table = lake.flights(days=2)
    head = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(head, "v1").create_branch(head, "dev").commit()
    for other in ("v1", str(head), "dve"):
        with pytest.raises(UnknownName, match=f"no branch of lake.db.flights named '{other}'") as error:
            plan("lake.db.flights", strategy="bin-pack", branch=other)
        assert "dev" in (error.value.hint or "")
    assert plan("lake.db.flights", strategy="bin-pack", branch="dev").base_snapshot_id == str(head)


def test_an_empty_table_has_its_main_branch(lake: Lake) -> None:
    lake.create("db.empty", lake.flights(days=1).schema())
    assert plan("lake.db.empty", strategy="bin-pack", branch="main").groups == ()
