"""How fast rewrites of a table are, by what the journal holds of the last ones."""

from __future__ import annotations

from lakeopt.config import Settings
from lakeopt.errors import LakeoptError
from lakeopt.layout.worth import REWRITE_RATE
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import folder
from lakeopt.workflows.state import object_names, read_object

#: Runs that are looked at, the newest first; with fewer bytes in all they tell how long a start takes.
RUNS, ENOUGH_BYTES = 10, 100_000_000


def rewrite_rate(table: Table, settings: Settings) -> float:
    """Bytes on disk a second, from plan to commit; the documented default where the journal does not tell."""
    try:
        base = folder(table, settings)
        ended = [name for name in object_names(table, base) if name.endswith("-committed.json")]
        events = [read_object(table, f"{base}/{name}") for name in sorted(ended)[-RUNS:]]
    except LakeoptError:  # no journal to be found: the rate is not known, the plan is none the worse
        return REWRITE_RATE
    found = [event.get("result") or {} for event in events if event is not None]
    results = [result for result in found if result.get("groups_done")]  # other commands have none
    read, seconds = (sum(result[name] for result in results) for name in ("bytes_before", "elapsed_seconds"))
    return read / seconds if read >= ENOUGH_BYTES and seconds > 0 else REWRITE_RATE
