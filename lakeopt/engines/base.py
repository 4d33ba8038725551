"""The byte side: what an engine does to the rows of a file group. Three separate steps; it never commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lakeopt.model.result import Fingerprint
from lakeopt.model.scan import Scan, StageRequest, WriterOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs


class Engine(Protocol):
    """An engine module ends with ``ENGINE: Engine = …``; the registry finds it by its file."""

    name: str

    @property
    def names_files(self) -> bool:
        """Whether it names its files itself, below the folder that the request's ``source`` tells it."""

    def stage(self, request: StageRequest) -> pa.Table:
        """Read the group, order it, write new files; the list of them (``staged_schema``), in key order.

        On any error (or interrupt) its own files are removed before it is raised.

        :raises DataFileError: an input file is missing or cannot be read.
        :raises NoSpace: no space for spill or output.
        :raises Refused: a type or a storage that this engine cannot serve without loss.
        """

    def fingerprint(self, scan: Scan, *, threads: int, memory_bytes: int, by_column: bool = False) -> Fingerprint:
        """Fingerprint of the multiset of rows of a scan, deletes applied.

        It shares neither decoder nor projection code with :meth:`stage`, else a reader's fault would prove
        itself equal. ``by_column`` adds one fingerprint a column, to name the column that differs.
        """

    def discard(self, staged: pa.Table, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
        """Delete staged files that were not committed; the number deleted. A missing file is no error."""

    def not_applied(self, writer: WriterOptions) -> tuple[str, ...]:
        """Choices of a writer that this engine cannot express, each in words; files are written without them."""
