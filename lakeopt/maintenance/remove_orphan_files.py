"""Which listed files are orphans: old enough, reached by nothing, and kept for no other reason.

Arrow in, Arrow out; paths are those below the listed folder. What is taken away here is only ever taken from the
orphans: a rule that is in doubt keeps a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.errors import Refused
from lakeopt.units import format_duration

#: Least age of what may be moved while others may write, and the age that is asked for where none is said.
FLOOR_SECONDS, DEFAULT_SECONDS = 86_400.0, 3 * 86_400.0
#: Examples of kept files that a result names for each reason.
EXAMPLES = 20
#: Paths that are looked up at once: the table of what is looked for is built once for them.
_BLOCK = 500_000

REACHABLE = "the table reaches it"
RUNNING = "written by a run of lakeopt that may still be on"
MARKED = "marked for a sweep, which looks at it by itself"
STATE = "lies in a state directory of lakeopt"
HINT = "a version hint"
CHANGED = "changed since it was listed"
_FORMS = {
    "link": "a symbolic link",
    "marker": "stands for a folder",
    "special": "neither file nor folder",
    "undated": "the store does not say when it was written",
    "unnamable": "its name is not UTF-8",
    "unaddressable": "a key with //, . or .. in it can be listed and not moved",
}
_PLAN_OF_FILE = r"(?:^|/)(?P<plan>\d{8}T\d{6}-[0-9a-f]{8})-[^/]*$"
_COMPANION = r"(?s)^(?P<folder>(?:.*/)?)\.(?P<name>[^/]+)\.crc$"


@dataclass
class Kept:
    """What stays, counted by reason, with a few examples of each; no examples of what the table reaches."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)

    def add(self, paths: pa.ChunkedArray, reason: str) -> None:
        """Count paths, and remember the first few."""
        shown = max(0, EXAMPLES - self.counts[reason]) if reason != REACHABLE else 0
        if len(paths):
            self.counts[reason] += len(paths)
            self.examples += [(path, reason) for path in paths.slice(0, shown).to_pylist()]


class Candidates:
    """Listed files of which those that must stay are taken away, step by step; what is left are the orphans.

    ``young_after`` is a time by the store's own clock: what changed since then stays.
    """

    def __init__(self, young_after: datetime, older_than_seconds: float) -> None:
        self.kept = Kept()
        self.listed_count, self.listed_bytes = 0, 0
        self._cutoff = pa.scalar(young_after, pa.timestamp("us", "UTC"))
        self._young = f"younger than {format_duration(older_than_seconds)}"
        self._parts: list[pa.Table] = []
        self._reached: list[pa.ChunkedArray] = []
        self._reached_count = 0

    def add(self, listed: pa.Table) -> None:
        """Take in a part of the listing (``path, bytes, modified, form``); what is young or no file goes no further."""
        self.listed_count += listed.num_rows
        self.listed_bytes += pc.sum(listed["bytes"]).as_py() or 0
        for form in pc.unique(listed["form"]).to_pylist():
            if form != "file":
                reason = _FORMS[form]
                self.kept.add(listed.filter(pc.equal(listed["form"], form))["path"], reason)
        files = listed.filter(pc.equal(listed["form"], "file")).drop(["form"])
        old = pc.fill_null(pc.less(files["modified"], self._cutoff), False)
        self.kept.add(files.filter(pc.invert(old))["path"], self._young)
        self._parts.append(files.filter(old))

    def keep(self, paths: pa.Array | pa.ChunkedArray, reason: str) -> None:
        """Take away files that are kept for a reason."""
        files = self._files()
        self._take_away(_among(files["path"], paths), reason)

    def keep_where(self, pattern: str, reason: str) -> None:
        """Take away files whose path below the folder matches a regular expression (RE2)."""
        self._take_away(pc.match_substring_regex(self._files()["path"], pattern), reason)

    def keep_of_plans(self, plan_ids: Collection[str]) -> None:
        """Take away what runs of these plans wrote: a plan's id begins the name of its files."""
        plan = pc.struct_field(pc.extract_regex(self._files()["path"], _PLAN_OF_FILE), "plan")
        self._take_away(pc.fill_null(pc.is_in(plan, pa.array(plan_ids, pa.string())), False), RUNNING)

    def reach(self, paths: pa.Array | pa.ChunkedArray) -> None:
        """Take away files that the table reaches; paths are gathered, so that many small calls cost little."""
        self._reached.append(paths if isinstance(paths, pa.ChunkedArray) else pa.chunked_array([paths], pa.string()))
        self._reached_count += len(paths)
        if self._reached_count >= _BLOCK:
            self._files()

    def refuse(self, locations: pa.Table) -> None:
        """Refuse where a candidate has the path of a file that metadata spells with another scheme or authority.

        ``locations`` has the columns ``path`` (below the folder) and ``location`` (as the metadata spells it).

        :raises Refused: one has; neither side can be believed.
        """
        found = locations.filter(_among(locations["path"], self._files()["path"]))
        if found.num_rows:
            raise Refused(
                f"metadata names {found['location'][0].as_py()}, and a file of that path was listed elsewhere",
                hint="one of them is misspelt, or the table was copied; until that is mended no orphan can be told",
            )

    def orphans(self) -> pa.Table:
        """What is left: ``path, bytes, modified``, sorted by path."""
        return self._files().sort_by("path")

    def _files(self) -> pa.Table:
        """The candidates as one table, without what was reached."""
        if len(self._parts) != 1:
            schema = pa.schema([("path", pa.string()), ("bytes", pa.int64()), ("modified", pa.timestamp("us", "UTC"))])
            self._parts = [pa.concat_tables([schema.empty_table(), *self._parts])]
        if self._reached:
            paths = pa.chunked_array([chunk for part in self._reached for chunk in part.chunks], pa.string())
            self._reached, self._reached_count = [], 0
            self._take_away(_among(self._parts[0]["path"], paths), REACHABLE)
        return self._parts[0]

    def _take_away(self, mask: Any, reason: str) -> None:
        files = self._parts[0]
        if pc.any(mask).as_py():
            self.kept.add(files.filter(mask)["path"], reason)
            self._parts = [files.filter(pc.invert(mask)).combine_chunks()]


def _among(paths: pa.ChunkedArray, wanted: pa.Array | pa.ChunkedArray) -> Any:
    """Which paths are wanted, or are Hadoop's checksum file (``.name.crc``) of a wanted one."""
    mask = pc.is_in(paths, wanted)
    sums = pc.ends_with(paths, ".crc")
    if not pc.any(sums).as_py():
        return mask
    parts = pc.extract_regex(paths, _COMPANION)
    of = pc.binary_join_element_wise(pc.struct_field(parts, "folder"), pc.struct_field(parts, "name"), "")
    return pc.or_(mask, pc.fill_null(pc.is_in(of, wanted), False))


def decide(
    listed: Iterable[pa.Table],
    reached: Iterable[pa.Array],
    young_after: datetime,
    older_than_seconds: float = DEFAULT_SECONDS,
) -> Candidates:
    """The candidates of a listing without what the table reaches.

    >>> from datetime import UTC
    >>> old, new = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC)
    >>> columns = {"path": ["a", "b", "c"], "bytes": [1, 2, 3], "modified": [old, old, new], "form": ["file"] * 3}
    >>> found = decide([pa.table(columns)], [pa.array(["a"])], datetime(2026, 1, 5, tzinfo=UTC))
    >>> found.orphans()["path"].to_pylist(), dict(found.kept.counts)
    (['b'], {'younger than 3 d': 1, 'the table reaches it': 1})
    """
    candidates = Candidates(young_after, older_than_seconds)
    for batch in listed:
        candidates.add(batch)
    for paths in reached:
        candidates.reach(paths)
    return candidates


def check_age(older_than_seconds: float, *, no_concurrent_writers: bool) -> None:
    """Refuse an age under the floor while others may write: their files are there before their commit is.

    :raises Refused: it is under 24 h and nobody promised that there are no other writers.
    """
    if older_than_seconds < FLOOR_SECONDS and not no_concurrent_writers:
        raise Refused(
            f"files younger than {format_duration(FLOOR_SECONDS)} may belong to a commit that is on its way",
            hint="take --older-than 24h or more; --no-concurrent-writers promises that nothing else writes the table",
        )
