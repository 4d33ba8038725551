"""The state directory: never in the table, whatever it is called, and nothing half written in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lake import Lake

from lakeopt.config import load_settings
from lakeopt.errors import ConfigurationError, NoSpace, Unreachable
from lakeopt.tables.open import open_table
from lakeopt.workflows.state import read_objects, state_location, write_object


@pytest.mark.parametrize("way", ["{warehouse}/db/other/../flights/state", "{warehouse}/link/state"])
def test_no_other_name_leads_into_the_table(lake: Lake, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    table = lake.flights(days=1)
    (lake.warehouse / "link").symlink_to(table.location().removeprefix("file://"))
    monkeypatch.setenv("LAKEOPT_STATE_DIR", way.format(warehouse=lake.warehouse))
    with pytest.raises(ConfigurationError, match="inside the table"):
        state_location(open_table("lake.db.flights"), load_settings())


def test_what_cannot_be_written_leaves_nothing(lake: Lake) -> None:
    lake.flights(days=1)
    table = open_table("lake.db.flights")
    state = lake.root / "state"
    (state / "0001.json" / "in the way").mkdir(parents=True)
    with pytest.raises(Unreachable, match="cannot be written"):
        write_object(table, str(state / "0001.json"), {"event": "started"})
    assert [found.name for found in state.iterdir()] == ["0001.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_to_be_full(lake: Lake) -> None:
    lake.flights(days=1)
    table = open_table("lake.db.flights")
    state = lake.root / "state"
    state.mkdir()
    (state / "0001.json.part").symlink_to("/dev/full")
    with pytest.raises(NoSpace, match="no space left for the state directory"):
        write_object(table, str(state / "0001.json"), {"event": "started"})
    assert list(state.iterdir()) == []
    write_object(table, str(state / "0001.json"), {"event": "started"})
    assert read_objects(table, str(state)) == [("0001.json", {"event": "started"})]
