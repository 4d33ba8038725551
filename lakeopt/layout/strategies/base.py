"""What a strategy decides: which files of a partition are rewritten together, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lakeopt.model.plan import MAX_DEPTH, Layout, SortField

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What a strategy may look at: the live data files of one partition in one spec.

    ``ranges`` has the ends of each file on the layout's whole key as numbers: two files overlap by more than a
    shared end point iff each begins before the other ends; None where that is unknown. ``in_order`` says per file
    whether the table records that it was written in exactly this layout.
    """

    spec_id: int
    partition: str
    files: pa.Table
    ranges: Sequence[tuple[int, int] | None]
    in_order: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """Row numbers of ``files`` per group to rewrite; the reason why the rest is left alone."""

    groups: tuple[tuple[int, ...], ...]
    reason: str


class Strategy(Protocol):
    """A strategy module ends with ``STRATEGY: Strategy = …``; the registry finds it by its file."""

    name: str
    summary: str

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout for these columns.

        :raises UsageError: the strategy needs columns and got none, or takes none and got some.
        """

    def choose(
        self,
        partition: PartitionState,
        *,
        target_file_bytes: int,
        max_group_bytes: int,
        max_depth: int = MAX_DEPTH,
    ) -> Choice:
        """Which files to rewrite together so that a second run would find nothing to do.

        ``max_depth`` is the number of sorted files that may meet at one key before they are merged.
        """

    def companions(self, partition: PartitionState, *, target_file_bytes: int) -> tuple[int, ...]:
        """Row numbers of the files to rewrite together with rows that come into the partition from elsewhere."""
