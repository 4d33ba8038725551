"""What a check looks at and what it says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

import lakeopt
from lakeopt.analysis.bounds import FileMetrics
from lakeopt.analysis.footer_facts import FooterFacts
from lakeopt.model.plan import MAX_DEPTH, SortField
from lakeopt.model.scan import WriterOptions
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.model.table import ColumnOverlap, Finding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableState:
    """One table at one moment, from its metadata and a sample of its footers.

    ``files`` and ``deletes`` are file lists; ``partition`` numbers the partition (and spec) of each data file.
    ``footers`` and ``unreadable`` are keyed by path. ``snapshots`` and ``manifests`` are rows of the views of those
    names. ``sort_key`` is the order that the files are meant to be in, ``sort_order_id`` the table's id of it, and
    ``key_depth`` the most files that meet at one key (0 without one).
    """

    identifier: str
    format_version: int
    read_only: str | None
    properties: Mapping[str, str]
    schema: pa.Schema
    field_types: Mapping[str, str]
    target_file_bytes: int
    writer: WriterOptions
    sort_key: tuple[SortField, ...]
    sort_order_id: int | None
    files: pa.Table
    deletes: pa.Table
    partition: npt.NDArray[np.int64]
    metrics: FileMetrics
    key_overlap: ColumnOverlap | None
    key_depth: int
    footers: Mapping[str, FooterFacts]
    unreadable: Mapping[str, str]
    snapshots: pa.Table
    manifests: pa.Table
    now: datetime

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each data file."""
        return np.asarray(self.files["file_size_in_bytes"], dtype=np.int64)

    @property
    def in_order(self) -> npt.NDArray[np.bool_]:
        """Which data files the table records as written in its sort key."""
        if self.sort_order_id is None:
            return np.zeros(self.files.num_rows, np.bool_)
        written: npt.NDArray[np.bool_] = np.asarray(self.files["sort_order_id"].fill_null(-1)) == self.sort_order_id
        return written

    def command(self, verb: str, *options: str) -> str | None:
        """A command line of this version of lakeopt for this table, or None where there is no such command.

        A table that cannot be written has no command that changes it.
        """
        reads = verb in ("inspect", "profile", "recommend")
        if verb.replace("-", "_") not in lakeopt.__all__ or (self.read_only and not reads):
            return None
        return shlex.join(["lakeopt", verb, self.identifier, *options])

    def rewrite(self) -> str | None:
        """The command that writes all data files anew in the table's sort key; without one, that which finds a key.

        None where the files already lie in the table's sort key, since a rewrite would then find nothing to do.
        """
        if not self.sort_key:
            return self.command("recommend")
        overlap = self.key_overlap
        if self.in_order.all() and overlap is not None and self.key_depth <= MAX_DEPTH and not overlap.unknown_files:
            return None
        return self.sort()

    def sort(self) -> str | None:
        """The command that brings the data files into the table's sort key."""
        return self.command("rewrite", "--strategy", "sort", "--sort-by", format_sort_fields(self.sort_key))


class Check(Protocol):
    """A check module ends with ``CHECK: Check = …``; the registry finds it by its file."""

    def __call__(self, table: TableState) -> Iterator[Finding]:
        """What is wrong, if anything: at most one finding a code."""
