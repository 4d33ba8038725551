"""``report``: everything that lakeopt can say about one table, for one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lakeopt.config import Settings, load_settings
from lakeopt.errors import LakeoptError, UsageError
from lakeopt.layout import readers
from lakeopt.model.plan import Goal
from lakeopt.model.report import MissingPart, Part, StoredBytes, TableReport
from lakeopt.model.result import BenchReport
from lakeopt.model.serde import from_json
from lakeopt.model.table import TableProfile
from lakeopt.tables.base import Table
from lakeopt.workflows import conditions

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_NO_BENCH = "no bench was handed in (lakeopt bench --queries FILE -o bench.json, then --bench bench.json)"


class _Parts:
    """Takes one part after the other; what fails is missing, with the reason and the way out."""

    def __init__(self) -> None:
        self.missing: list[MissingPart] = []

    def take(self, part: Part, make: Callable[[], T]) -> T | None:
        """The part, or None and the reason."""
        try:
            return make()
        except LakeoptError as error:
            self.lack(part, f"{error} ({error.hint})" if error.hint else str(error))
            return None

    def measure(self, part: Part, health: TableProfile, make: Callable[[], T]) -> T | None:
        """As :meth:`take`, for a part that is measured on rows."""
        if health.record_count:
            return self.take(part, make)
        self.lack(part, "the table has no rows")
        return None

    def lack(self, part: Part, reason: str) -> None:
        """Do without a part."""
        self.missing.append(MissingPart(part, reason))


def report(
    table: str | Table,
    *,
    goal: Goal = "storage",
    queries: str | Path | None = None,
    compatible_with: Sequence[str] = readers.DEFAULT,
    bench: str | Path | None = None,
    time_budget: float | None = None,
    memory: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> TableReport:
    """Health, stored bytes, column profiles, recommendation, last rewrite, bench and history of one table.

    ``goal``, ``queries``, ``compatible_with``, ``time_budget`` (seconds), ``memory`` (bytes) and ``seed`` are those of
    :func:`recommend`; ``bench`` is a file with the JSON of a :class:`~lakeopt.model.result.BenchReport` of this table.
    A part that cannot be had does not keep the others: ``missing`` says why. :func:`lakeopt.report.page.page` makes it
    HTML.

    :raises UnknownName: no such table or reader.
    :raises UsageError: a goal without the queries it needs, a file that cannot be read, or no query that can be used.
    :raises DataFileError: a manifest is missing or damaged.
    """
    from lakeopt.tables.open import open_table
    from lakeopt.workflows.history import history
    from lakeopt.workflows.inspect import inspect
    from lakeopt.workflows.profile import profile
    from lakeopt.workflows.queries import usable_queries
    from lakeopt.workflows.recommend import recommend

    _check(goal, queries, compatible_with)
    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    if queries is not None:
        usable_queries(queries, opened.schema.names)
    measured = None if bench is None else _read_bench(Path(bench), opened)
    parts, head = _Parts(), opened.snapshot_id()
    health = inspect(opened, settings=settings)
    assert isinstance(health, TableProfile)
    if measured is None:
        parts.lack("bench", _NO_BENCH)
    limits: dict[str, Any] = {"memory": memory, "threads": threads, "settings": settings, "seed": seed}
    wishes: dict[str, Any] = {"goal": goal, "queries": queries, "compatible_with": compatible_with}
    search = {**limits, **wishes, "time_budget": time_budget}
    return TableReport(
        table=opened.identifier,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=conditions.machine(),
        versions=conditions.versions(("pyiceberg", "pyarrow", "duckdb")),
        health=health,
        stored=_stored(parts, opened, head),
        profile=parts.measure("profile", health, lambda: profile(opened, **limits)),
        recommendation=parts.measure("recommendation", health, lambda: recommend(opened, **search)),
        before_rewrite=parts.take("last_rewrite", lambda: _before(opened, head, settings)),
        bench=measured,
        history=parts.take("history", lambda: history(opened, settings=settings)),
        missing=tuple(parts.missing),
    )


def _check(goal: Goal, queries: str | Path | None, compatible_with: Sequence[str]) -> None:
    """Refuse what was asked wrongly before anything is measured."""
    readers.allowed(compatible_with)
    if goal != "storage" and queries is None:
        raise UsageError(f"the goal {goal!r} needs queries", hint="give a file of named queries with --queries")


def _read_bench(file: Path, table: Table) -> BenchReport:
    """A bench report of this table.

    :raises UsageError: the file cannot be read, is another value, or is about another table.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {error}", hint="write it with lakeopt bench -o FILE.json") from error
    found = from_json(BenchReport, text)
    if found.table != table.identifier:
        raise UsageError(
            f"{file} is a bench of {found.table}, not of {table.identifier}", hint="give one of this table to --bench"
        )
    return found


def _stored(parts: _Parts, table: Table, head: int | None) -> StoredBytes:
    """Where the bytes lie; where no file tells of columns, by partition alone."""
    from lakeopt.analysis.health import live_files
    from lakeopt.analysis.stored_bytes import by_partition, stored_bytes

    files = live_files(table, head, "data")
    found = parts.take("column_bytes", lambda: stored_bytes(files, table.schema, table.field_types, table.resolve))
    if found is None:
        return StoredBytes((), by_partition(files), 0)
    if not found.columns:
        parts.lack("column_bytes", _silent(files))
    return found


def _silent(files: pa.Table) -> str:
    return "no manifest and no footer tells the bytes of columns" if files.num_rows else "the table has no data files"


def _before(table: Table, head: int | None, settings: Settings) -> TableProfile:
    """Health of the snapshot before the last rewrite.

    :raises UsageError: lakeopt has not rewritten the table, or that snapshot has expired.
    """
    from lakeopt.workflows.inspect import inspect
    from lakeopt.workflows.last_rewrite import last_rewrite

    if head is None:
        raise UsageError("the table has no snapshot")
    try:
        before = last_rewrite(table, head, settings).before
    except UsageError as error:  # its hint is about an option of bench
        raise UsageError(str(error)) from error
    profile = inspect(table, ref=str(before), settings=settings)
    assert isinstance(profile, TableProfile)
    return profile
