"""What a check looks at and what it says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

import lakeopt
from lakeopt.analysis.bounds import FileMetrics
from lakeopt.analysis.footer_facts import FooterFacts
from lakeopt.model.layout_record import cutless, digest, digest_in, is_in_names, recorded, remembered
from lakeopt.model.plan import MAX_DEPTH, PV_BUCKETS, Layout, SortField
from lakeopt.model.scan import WriterOptions
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.model.table import ColumnOverlap, Finding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableState:
    """One table at one moment, from its metadata and a sample of its footers.

    ``files`` and ``deletes`` are file lists; ``partition`` numbers the partition (and spec) of each data file.
    ``footers`` and ``unreadable`` are keyed by path, ``oddities`` are those of the table's folders. ``snapshots`` and
    ``manifests`` are rows of the views of those names. ``sort_key`` is the order that the files are meant to be in,
    ``sort_order_id`` the table's id of it, and ``key_depth`` the most files that meet at one key (0 without one).
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
    oddities: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    keeps_snapshots: bool = True

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each data file."""
        return np.asarray(self.files["file_size_in_bytes"], dtype=np.int64)

    @property
    def in_order(self) -> npt.NDArray[np.bool_]:
        """Which data files the table records as written in its sort key."""
        if self.sort_key and not self.keeps_snapshots:
            wanted = digest(Layout("sort", self.sort_key))
            return np.array([digest_in(path) == wanted for path in self.files["file_path"].to_pylist()], np.bool_)
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

    @property
    def named_layout(self) -> tuple[Layout, npt.NDArray[np.bool_]] | None:
        """The layout that names of files say and no sort order can, and which files lie in it; None where none does."""
        held = remembered(self.properties)
        for layout in (recorded(self.properties), None if held is None else held.layout):
            if layout is not None and is_in_names(layout):
                wanted = digest(layout)
                within = np.array([digest_in(path) == wanted for path in self.files["file_path"].to_pylist()], np.bool_)
                if within.any():
                    return layout, within
        return None

    def rewrite(self) -> str | None:
        """The command that writes all data files anew in the table's sort key; without one, that which finds a key.

        None where the files already lie in the table's layout, since a rewrite would then find nothing to do.
        """
        named = self.named_layout
        if named is not None:
            return None if named[1].all() else self.arrange()
        if not self.sort_key:
            return self.command("recommend")
        overlap = self.key_overlap
        if self.in_order.all() and overlap is not None and self.key_depth <= MAX_DEPTH and not overlap.unknown_files:
            return None
        return self.arrange()

    def arrange(self) -> str | None:
        """The command that brings the data files into the layout they are meant to lie in; without one, merges them.

        A layout that the table remembers is taken from there, with the encodings that were measured.
        """
        named, held = self.named_layout, remembered(self.properties)
        if named is None and not self.sort_key:
            return self.command("rewrite", "--strategy", "bin-pack")
        layout = Layout("sort", self.sort_key) if named is None else cutless(named[0])
        if held is not None and held.layout == layout:
            return self.command("rewrite", *(() if held.goal == "storage" else ("--goal", held.goal)))
        more: tuple[str, ...] = ()
        if named is not None and layout.strategy == PV_BUCKETS:  # their number is of the command, not of the layout
            more = ("--buckets", str(1 + max(map(len, named[0].cuts.values()), default=0)))
        key = format_sort_fields(layout.columns)
        return self.command("rewrite", "--strategy", layout.strategy, "--sort-by", key, *more)


class Check(Protocol):
    """A check module ends with ``CHECK: Check = …``; the registry finds it by its file."""

    def __call__(self, table: TableState) -> Iterator[Finding]:
        """What is wrong, if anything: at most one finding a code."""
