"""Compare what two tables of the same rows take on disk, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeopt.config import Settings, load_settings
from lakeopt.model.comparison import ColumnForm, ComparedTable, StorageComparison
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa


def compare(table: str | Table, against: str | Table, *, settings: Settings | None = None) -> StorageComparison:
    """What ``against`` takes beside ``table``, by column, codec and encoding, and why it takes more or less for each.

    At most 200 footers of each are read; they stand for all files. Rows are not compared.

    :raises UnknownName: no such table.
    :raises DataFileError: a data file is missing or damaged.
    """
    from lakeopt.analysis.comparison import compared
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    opened = [open_table(one, settings) if isinstance(one, str) else one for one in (table, against)]
    (before, old), (after, new) = (_side(one) for one in opened)
    rows = bool(before.record_count and after.record_count and before.bytes)
    return StorageComparison(
        table=before.table,
        against=after.table,
        before=before,
        after=after,
        ratio=after.bytes / after.record_count / (before.bytes / before.record_count) if rows else None,
        columns=compared(old, new, (before, after)),
    )


def _side(table: Table) -> tuple[ComparedTable, dict[str, ColumnForm]]:
    from lakeopt.analysis.comparison import codec_bytes, column_forms

    files, snapshot_id = _files(table), table.snapshot_id()
    mapping = table.scan(files.slice(0, 0)).name_mapping
    forms, read = column_forms(files, table.schema, mapping, table.resolve)
    side = ComparedTable(
        table=table.identifier,
        format=table.format,
        snapshot_id=None if snapshot_id is None else str(snapshot_id),
        data_file_count=files.num_rows,
        record_count=sum(files["record_count"].to_pylist()),
        bytes=sum(files["file_size_in_bytes"].to_pylist()),
        footers_read=read,
        codecs=codec_bytes(forms),
    )
    return side, forms


def _files(table: Table) -> pa.Table:
    import pyarrow as pa

    from lakeopt.model.scan import files_schema

    parts = list(table.files())
    return pa.concat_tables(parts) if parts else files_schema().empty_table()
