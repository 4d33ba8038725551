"""The metadata side of a table, whatever its format: the protocols that ``tables/iceberg`` and ``tables/hive`` fill."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lakeopt.model.plan import FileGroup, Goal, RewritePlan, SkippedGroup, SortField
from lakeopt.model.scan import FileForm, Repartition, Scan, WriterOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

#: Name of the committer that puts nothing in place: the copy of a partition lies where it was made.
COPYING = "hive-copy"


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
    def moves_replaced_files(self) -> bool:
        """Whether files that are replaced do not stay where they are: folders without a metastore are exchanged."""

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
    def oddities(self) -> Mapping[str, tuple[int, tuple[str, ...]]]:
        """What lies in the table's folders that it does not say, or the other way: by code how many, and a few of them.

        Empty for Iceberg, whose metadata names every file.
        """

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

    def file_form(self, files: pa.Table) -> FileForm | None:
        """How new files in the place of these are to be spelt; None where field ids and properties say all.

        :raises Refused: they cannot be written so that they are read as these are.
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
    """A commit that is done: its snapshot, and how many delete files it took out of the table with the data files.

    ``late`` says what came to the old place of the files while they were replaced; it is kept, and read by nobody yet.
    """

    snapshot_id: int
    removed_delete_files_count: int = 0
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that nobody needs once a commit is done, or was not done; ``kind`` and ``bytes`` as of a mark list."""

    location: str
    kind: str
    bytes: int | None


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

    def find(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup] = ()) -> bool:
        """Whether the table has that snapshot now; ``groups`` are those that were committed with it."""

    def may_land_later(self, table: Table) -> bool:
        """Whether a commit may still appear once the process that asked for it has ended: a catalog may be at work."""

    def replaced(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup]) -> list[Leaving]:
        """Files that a commit of these groups has put out of use, where no metadata remembers them."""

    def leavings(self, table: Table, snapshot_id: int, folders: Collection[str] = ()) -> list[Leaving]:
        """What a commit that was not done has written beside the data files, which it had in these folders."""

    def unreached(self, table: Table, locations: Collection[str]) -> set[str]:
        """Those of a run's own files that nothing in the table as it is now reaches. Their names are given once.

        :raises DataFileError: metadata is missing or damaged, so that nothing can be said.
        """


@dataclass(frozen=True, slots=True)
class Undone:
    """What undoing a plan comes to: the snapshot that a branch goes back to, or files that are read again.

    ``kept`` says what is left as it is, and why.
    """

    snapshot_id: int | None = None
    files_count: int = 0
    bytes: int = 0
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """Marked files that must stay: those that the table reaches, and others with the reason.

    ``late`` are files of other writers that nobody reads, and what is to be done.
    """

    reached: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, str] = field(default_factory=dict)


class Upkeep(Protocol):
    """What the clean-up and the undoing of rewrites ask of a format."""

    def require_collectable(self, table: Table) -> None:
        """Refuse a table whose files are not ours to remove.

        :raises Refused: it is one.
        """

    def refuse_twin(self, table: Table) -> None:
        """Refuse where the catalog has the table under a second name, which may need what this one does not reach.

        :raises Refused: it has.
        """

    def holding(self, table: Table, marks: Mapping[str, str]) -> Holding:
        """Which of these files must stay, each given with the kind that it was marked as.

        :raises DataFileError: metadata is missing or damaged, so that nothing can be said.
        """

    def is_unchanged(self, before: Table, after: Table) -> bool:
        """Whether what was reached before is surely what is reached now."""

    def tidy(self, table: Table, folders: Collection[str]) -> None:
        """Remove those of these folders that are empty, where the format has folders of its own for new files."""

    def late(self, table: Table, folders: Collection[str]) -> dict[str, str]:
        """Files of other writers that came to folders that were left, and where each would be read."""

    def undo(
        self,
        table: Table,
        plan: Mapping[str, Any],
        commits: Sequence[tuple[int, Sequence[int]]],
        *,
        act: bool,
        before: Callable[[Sequence[Leaving]], None] = lambda leavings: None,
    ) -> Undone:
        """Undo a plan's commits (each a snapshot id and its groups), or only say what that would come to.

        ``before`` is told what goes out of use by it, before it does.

        :raises Refused: it cannot be undone.
        :raises StalePlan: later commits depend on it.
        """
