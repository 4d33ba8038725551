"""The metadata side of a table, whatever its format: the protocols that ``tables/iceberg`` and ``tables/hive`` fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lakeopt.model.plan import FileGroup, Goal, RewritePlan, SkippedGroup, SortField
from lakeopt.model.scan import Repartition, Scan, WriterOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs


class Table(Protocol):
    """One table, read at one moment: every method answers from the same metadata until :meth:`refresh`."""

    @property
    def identifier(self) -> str:
        """``catalog.namespace.table`` as the user would type it, or the location of a metadata file."""

    @property
    def format(self) -> str:
        """``iceberg`` or ``hive``."""

    @property
    def format_version(self) -> int:
        """1, 2 or 3; of a Hive table always 1."""

    @property
    def keeps_snapshots(self) -> bool:
        """Whether files that were replaced can still be read by a snapshot id; else only those of this moment are."""

    @property
    def committer(self) -> str:
        """Name of the committer that replaces its files."""

    @property
    def uuid(self) -> str:
        """The table UUID of the metadata."""

    @property
    def location(self) -> str:
        """Base location, spelt as in the metadata."""

    @property
    def warehouse(self) -> str | None:
        """The catalog's warehouse location, if it names one."""

    @property
    def schema(self) -> pa.Schema:
        """Current schema in Arrow types; every field at every depth carries its field id."""

    @property
    def schema_id(self) -> int:
        """Id of the current schema."""

    @property
    def field_types(self) -> Mapping[str, str]:
        """Iceberg type of each top-level column, e.g. ``decimal(9, 2)``."""

    @property
    def properties(self) -> Mapping[str, str]:
        """Table properties."""

    @property
    def read_only(self) -> str | None:
        """Why this table cannot be written (v3, encrypted, a bare metadata file …), or None."""

    def snapshot_id(self, ref: str = "main") -> int | None:
        """Id of a ref's head, or of a snapshot named by its id or by a tag; None for an empty table.

        :raises UnknownName: no such ref or snapshot.
        """

    def sort_key(self) -> tuple[SortField, ...]:
        """The key the files are meant to be in: the last lakeopt layout, else the default sort order."""

    def sort_order_id(self, key: tuple[SortField, ...]) -> int | None:
        """Id of the table's sort order that says exactly this key, if it has one."""

    def files(
        self, snapshot_id: int | None = None, *, where: str | None = None, content: str = "data"
    ) -> Iterator[pa.Table]:
        """File lists (:func:`lakeopt.model.scan.files_schema`), manifest by manifest, bounded.

        ``where`` is a filter in pyiceberg's expression syntax: files that cannot hold a matching row are
        left out. ``content`` is ``data``, ``deletes`` or ``all``.
        """

    def scan(self, files: pa.Table, *, stored_only: bool = False) -> Scan:
        """How to read the rows of these data files (with the delete files that apply).

        With ``stored_only`` without columns whose values files do not hold: what a rewrite reads and writes.
        """

    def admit(
        self, groups: tuple[FileGroup, ...], skipped: tuple[SkippedGroup, ...]
    ) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
        """The groups as this format can replace them: Hive takes the files of whole partitions, or leaves them."""

    def view(self, name: str, snapshot_id: int | None = None) -> pa.Table:
        """Metadata as rows: ``snapshots``, ``refs`` or ``manifests``."""

    def writer_options(self, *, level: int | None = None, goal: Goal | None = None) -> WriterOptions:
        """Encoding that the table's own properties ask for; a goal says what they leave open."""

    def target_file_bytes(self) -> int:
        """``write.target-file-size-bytes``, as bytes on disk."""

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location, with the catalog's credentials."""

    def new_data_location(self, group: FileGroup, name: str) -> str:
        """Where a new data file of this group goes, by the table's location provider."""

    @property
    def default_spec_id(self) -> int:
        """Id of the current partition spec, which new rows are written in."""

    def repartition(self, spec_id: int, name: Callable[[int], str]) -> Repartition:
        """How rows are divided by a partition spec; ``name(n)`` is the name of the n-th file.

        :raises Refused: a transform of the spec is not known.
        """

    def create_exclusively(self, location: str, body: bytes) -> bool:
        """Write an object if its name is free; False where it is taken.

        :raises Refused: the storage offers no such thing.
        :raises MissingExtra: it does, but through a package that is not installed.
        :raises OSError: the storage cannot be written.
        """

    def refresh(self) -> Table:
        """The same table as the catalog has it now."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that is done: its snapshot, and how many delete files it took out of the table with the data files."""

    snapshot_id: int
    removed_delete_files_count: int = 0


class Committer(Protocol):
    """Puts staged and proved files in the place of those they replace, in one snapshot."""

    name: str

    def check(self, table: Table, plan: RewritePlan) -> None:
        """Raise :class:`lakeopt.errors.StalePlan` if the plan no longer holds; appends never make it stale."""

    def commit(
        self,
        table: Table,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        *,
        on_snapshot_id: Callable[[int], None],
        before_attempt: Callable[[], None] = lambda: None,
    ) -> Committed:
        """Commit the staged files of the plan's groups (by ``group_id``) as one ``replace`` snapshot.

        ``on_snapshot_id`` is told the id before the first attempt, so that it can be journalled;
        ``before_attempt`` is called directly before each attempt, and what it raises ends the commit.

        :raises CommitConflict: definite failure: nothing was committed, the staged files may be discarded.
        :raises CommitOutcomeUnknown: it may still be committed: keep the staged files.
        """

    def find(self, table: Table, snapshot_id: int) -> bool:
        """Whether the table has that snapshot now."""
