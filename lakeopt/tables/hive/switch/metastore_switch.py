"""Switch a partition in a metastore: one ``alter_partition`` that moves its location, under a lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, LakeoptError, StalePlan, Unreachable, first_line
from lakeopt.tables.hive.connection import is_answer
from lakeopt.tables.hive.listing import description_digest
from lakeopt.tables.hive.switch.locks import is_held, locked
from lakeopt.tables.hive.switch.statistics import apply_parameters
from lakeopt.tables.iceberg.deletion.location_keys import same_place
from lakeopt.tables.shield import Shield, shielded

if TYPE_CHECKING:
    from lakeopt.tables.hive.metastore import MetastoreSource
    from lakeopt.tables.hive.source import Partition

#: Waits between looks for our switch after an answer was lost (seconds).
LOOKS = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
#: How often a switch is sent whose answer is lost while a look says that it was not made.
_SENDS = 3
#: The metastore is to take our statistics, and not to make its own from a listing.
_AS_TOLD = {"DO_NOT_UPDATE_STATS": "true"}


@dataclass(frozen=True)
class Change:
    """What an alteration sets: where the partition lies, and parameters (None: gone).

    ``description`` is the digest of what is altered, as of :func:`lakeopt.tables.hive.listing.description_digest`.
    """

    values: tuple[str | None, ...]
    location: str
    parameters: Mapping[str, str | None]
    description: str


class MetastoreSwitch:
    """Switches of one table's partitions, or of the whole table where it has none."""

    def __init__(self, source: MetastoreSource, *, partitioned: bool) -> None:
        self.source, self.partitioned = source, partitioned

    def why_not(self) -> str | None:
        """Why nothing can be switched here; a metastore can always."""
        return None

    def left(self, was: str, folder: str) -> str:
        """Where the old files lie after a switch from ``was`` to ``folder``: where they were."""
        return was

    def move(self, change: Change, was: str, verify: Callable[[], None]) -> None:
        """Let the partition lie elsewhere. ``verify`` is called under the lock, directly before.

        :raises CommitConflict: it, or its files, are not as planned any more; definite.
        :raises CommitOutcomeUnknown: the answer was lost, and it is not known whether it was done.
        """
        with shielded() as shield, locked(self.source, change.values, shield) as number:
            self._send(change, verify, number, shield)

    def _send(self, change: Change, verify: Callable[[], None], number: int, shield: Shield) -> None:
        lost: BaseException | None = None
        for _ in range(_SENDS):
            try:
                verify()
                if not is_held(self.source, number):
                    raise CommitConflict(f"lock {number} was dropped before the switch", hint="run it again")
                shield.later = True
                self._alter(change)
                return
            except LakeoptError as error:
                if lost is not None:
                    raise _unknown(change, lost) from error
                raise
            except Exception as error:
                if self._is_made(change, error):
                    return
                if is_answer(error):
                    raise (_unknown(change, lost) if lost is not None else _refusal(error)) from error
                lost = error
        assert lost is not None
        raise _unknown(change, lost) from lost

    def _alter(self, change: Change) -> None:
        """Send it. Errors of the client come as they are: they tell whether there was an answer.

        An alteration replaces all that the metastore says, so that what is replaced is looked at once more: who takes
        no locks may have altered it since.

        :raises CommitConflict: it is not what was planned on.
        """
        from hive_metastore.ttypes import EnvironmentContext

        source, told = self.source, EnvironmentContext(properties=dict(_AS_TOLD))
        with source.connected(raw=True) as client:
            held = client.get_table(source.database, source.table)
            if self.partitioned:
                table, held = held, client.get_partition(*source.name, source.stored_values(change.values))
                found = source.partition_of(table, held)
            else:
                found = source.whole(held)
            if description_digest(found) != change.description:
                raise CommitConflict(f"{found.storage.location} was altered by someone else", hint="make a new plan")
            _set(held, change, found)
            if self.partitioned:
                client.alter_partition_with_environment_context(*source.name, held, told)
            else:
                client.alter_table_with_environment_context(*source.name, held, told)

    def _is_made(self, change: Change, error: BaseException) -> bool:
        """Whether the metastore has our switch, after an answer that was lost or says no.

        :raises CommitOutcomeUnknown: it does not say.
        """
        for wait in LOOKS:
            time.sleep(wait)
            try:
                found = next((one for page in self.source.partitions([change.values]) for one in page), None)
            except Unreachable:
                continue
            held = found is not None and same_place(found.storage.location, change.location)
            if held or is_answer(error):
                return held
            # The request may be worked on still: look again before it is sent a second time.
            if wait >= 1.0:
                return False
        raise _unknown(change, error) from error


def _set(described: Any, change: Change, found: Partition) -> None:
    serde = described.sd.serdeInfo.parameters if described.sd.serdeInfo is not None else None
    # Where Spark's own tables lie; their storage descriptor may name another folder.
    if serde and any(same_place(serde.get("path", ""), one) for one in (described.sd.location, found.storage.location)):
        serde["path"] = change.location
    described.sd.location = change.location
    described.parameters = dict(described.parameters or {})
    apply_parameters(described.parameters, change.parameters)


def _refusal(error: BaseException) -> LakeoptError:
    if type(error).__name__ == "NoSuchObjectException":
        return StalePlan("the partition was dropped since the plan", hint="make a new plan")
    message = getattr(error, "message", None) or first_line(error)
    return CommitConflict(f"the metastore refuses the switch: {message}", hint="see the metastore's log")


def _unknown(change: Change, error: BaseException) -> CommitOutcomeUnknown:
    return CommitOutcomeUnknown(
        f"the answer to the switch to {change.location} was lost: {first_line(error)}",
        hint="the written files are kept; the next lakeopt run on the table tells whether it was made",
    )
