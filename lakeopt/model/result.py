"""What was done: results of rewrites, benches and the history of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lakeopt.model.plan import Layout, Worth
from lakeopt.model.serde import Document


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Order-independent fingerprint of a multiset of rows (docs/design/proof.md).

    ``low`` and ``high`` are two independent 64-bit row hashes, each summed modulo 2^64, as 16 hex digits.
    ``columns`` names per-column fingerprints where they were asked for. Only equal ``version``s compare.
    """

    version: str
    record_count: int
    low: str
    high: str
    columns: Mapping[str, str] | None = None

    @property
    def digest(self) -> str:
        """The 128 bits as one word, 32 hex digits."""
        return self.high + self.low


def added(digests: Iterable[str]) -> str:
    """Digest of all the rows of which some have each of these digests: lanes add up, each modulo 2^64.

    >>> added(["0000000000000001ffffffffffffffff", "00000000000000020000000000000001"])
    '00000000000000030000000000000000'
    """
    lanes = [(int(digest[:16], 16), int(digest[16:], 16)) for digest in digests]
    return "".join(f"{sum(lane) % 2**64:016x}" for lane in zip(*lanes, strict=True))


@dataclass(frozen=True, slots=True)
class Verification:
    """How a rewrite was proved. ``method`` is ``bytes`` (ranges that were copied), ``rows``, ``bytes and rows`` (some
    groups each) or ``counts``; ``fingerprint`` is null where not all groups were proved by rows.
    """

    method: str
    matched: bool
    fingerprint: str | None
    version: str | None
    record_count: int


@dataclass(frozen=True, slots=True)
class Shuffle:
    """What an engine of many tasks moved between them, by its own counts: bytes of all groups together.

    A ``skew`` is the largest to the median over the tasks that sort and write, of the group where it is worst; 1 is
    even, null is not known. ``spilled_bytes`` went to disk for want of memory.
    """

    tasks: int
    read_bytes: int
    written_bytes: int
    spilled_bytes: int
    rows_skew: float | None = None
    bytes_skew: float | None = None
    seconds_skew: float | None = None

    @classmethod
    def together(cls, groups: Sequence[Shuffle]) -> Shuffle | None:
        """Of all groups; None where nothing was moved."""
        if not groups:
            return None
        sums = (sum(getattr(group, name) for group in groups) for name in cls.__slots__[:4])
        skews = ([getattr(group, name) or 0.0 for group in groups] for name in cls.__slots__[4:])
        return cls(*sums, *(max(some) or None for some in skews))


@dataclass(frozen=True, slots=True)
class FailedGroup:
    """A group that was tried and did not succeed; its files are as they were."""

    group_id: int
    partition: str
    error: str


@dataclass(frozen=True)
class RewriteResult(Document):
    """What a rewrite did. ``seconds`` names where the time went: plan, stage, prove, commit.

    ``not_worth_it`` has the figures of all groups that were left alone since they would cost more than they gain,
    ``shuffle`` what an engine of many tasks moved between them.
    """

    kind: ClassVar[str] = "rewrite_result"
    plan_id: str
    table: str
    layout: Layout
    snapshot_ids: tuple[str, ...]
    rewritten_data_files_count: int
    added_data_files_count: int
    removed_delete_files_count: int
    bytes_before: int
    bytes_after: int
    record_count: int
    verification: Verification | None
    groups_done: int
    groups_skipped: int
    groups_failed: int
    skipped: Mapping[str, int]
    failed: tuple[FailedGroup, ...]
    elapsed_seconds: float
    seconds: Mapping[str, float]
    peak_rss_bytes: int
    not_worth_it: Worth | None = None
    shuffle: Shuffle | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that lakeopt did, or tried, to a table."""

    plan_id: str
    command: str
    status: str  # planned · running · committed · failed · interrupted · unknown · nothing-to-do
    started_at: str
    ended_at: str | None
    layout: Layout | None
    snapshot_ids: tuple[str, ...]
    bytes_before: int | None
    bytes_after: int | None
    error: str | None
    plan: Mapping[str, Any] | None
    result: Mapping[str, Any] | None


@dataclass(frozen=True)
class History(Document):
    """Everything that the journal holds about a table, oldest first."""

    kind: ClassVar[str] = "history"
    table: str
    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One query on one side. ``cold`` and ``hot`` are median seconds, null when the query failed.

    Bytes, files and row groups are those that the reader really asked storage for.
    """

    cold: float | None
    hot: float | None
    bytes_scanned: int | None
    files_read: int | None
    row_groups_read: int | None
    rows: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """One named query before and after."""

    name: str
    engine: str
    sql: str
    before: Measurement
    after: Measurement
    answers_match: bool | None


@dataclass(frozen=True, slots=True)
class SideStorage:
    """What one side takes on disk: bytes of data files and delete files; ``record_count`` counts deleted rows too."""

    label: str
    bytes: int
    files: int
    record_count: int
    delete_files: int = 0


@dataclass(frozen=True, slots=True)
class StorageComparison:
    """Storage of both sides."""

    before: SideStorage
    after: SideStorage


@dataclass(frozen=True)
class BenchReport(Document):
    """The same queries on two snapshots (or two tables)."""

    kind: ClassVar[str] = "bench_report"
    table: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    queries: tuple[QueryComparison, ...]
    storage: StorageComparison
    hot_speedup: float | None  # geometric mean over queries that ran on both sides with equal answers
    rewrite_seconds: float | None


@dataclass(frozen=True)
class DemoReport(Document):
    """What the demo showed: one table as it landed, with its small files merged, and rewritten into a layout.

    ``ratio`` is to the merged files, the same rows in arrival order with the same codec; ``ratio_to_landed`` to
    the small files. ``directory`` is null where the warehouse was removed.
    """

    kind: ClassVar[str] = "demo_report"
    table: str
    directory: str | None
    layout: Layout
    landed: SideStorage
    merged: SideStorage
    rewritten: SideStorage
    ratio: float
    ratio_to_landed: float
    verification: Verification
    queries: tuple[QueryComparison, ...]
    hot_speedup: float | None
    elapsed_seconds: float
