"""A table opened for measuring: its files, and a sample of its rows that fits the memory allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeopt.config import Settings, load_settings
from lakeopt.tables.base import Table
from lakeopt.workflows import resources

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.analysis.sampling import Sample

#: A sample takes at most this, and this share of the memory allowed: trials hold copies of it.
SAMPLE_BYTES = 256_000_000
#: A search looks at windows of the sample alone, and foretells best of whole tables.
SEARCHED_BYTES, SEARCHED_ROWS = 1_200_000_000, 8_388_608
#: Values a second that a search in short time looks at, since it ranks all of them first, and the fewest rows.
_VALUES_A_SECOND, _FEWEST_SEARCHED = 4_000_000, 1_048_576
_MEMORY_SHARE = 8


def searched_rows(time_budget: float | None, columns: int) -> int:
    """Rows of so many columns that a search of so many seconds looks at, at most.

    >>> searched_rows(None, 5), searched_rows(5, 5), searched_rows(5, 50)
    (8388608, 4000000, 1048576)
    """
    if time_budget is None:
        return SEARCHED_ROWS
    return min(SEARCHED_ROWS, max(_FEWEST_SEARCHED, int(time_budget * _VALUES_A_SECOND / max(1, columns))))


@dataclass(frozen=True, slots=True)
class SampledTable:
    """A table, the file list of one snapshot (``files_schema``) and rows drawn from it."""

    table: Table
    snapshot_id: int | None
    files: pa.Table
    sample: Sample
    memory_bytes: int
    threads: int


def sampled_table(
    table: str | Table,
    *,
    sample_rows: int | None = None,
    sample_bytes: int = SAMPLE_BYTES,
    whole: bool = False,
    time_budget: float | None = None,
    memory: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
) -> SampledTable:
    """Open a table and draw a sample of its current rows.

    ``sample_bytes`` (in memory) and ``sample_rows`` bound it, and so does a search's short ``time_budget`` (seconds);
    ``whole`` lets it take all that memory allows. ``memory`` (bytes) is that of the whole process, by default what the
    settings say, else half of the machine's.

    :raises UnknownName: no such table.
    :raises DataFileError: a data file is missing or damaged.
    """
    import pyarrow as pa

    from lakeopt.analysis.sampling import MAX_ROWS, draw_sample
    from lakeopt.model.scan import files_schema
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    memory_bytes = resources.memory(memory, settings)
    threads = resources.threads(threads, settings)
    snapshot_id = opened.snapshot_id()
    lists = [] if snapshot_id is None else list(opened.files(snapshot_id))
    files = pa.concat_tables([files_schema().empty_table(), *lists])
    allowed = memory_bytes // _MEMORY_SHARE
    sample = draw_sample(
        opened.scan(files, stored_only=True),
        budget_bytes=allowed if whole else min(sample_bytes, allowed),
        max_rows=min(sample_rows or MAX_ROWS, searched_rows(time_budget, len(opened.schema.names))),
        threads=threads,
    )
    return SampledTable(opened, snapshot_id, files, sample, memory_bytes, threads)
