"""The rows of a table by a reader of the tests' own, straight from the words of the Iceberg spec, slow and plain.

pyiceberg cannot apply equality deletes, and lakeopt's reader must not prove itself right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry
from pyiceberg.table import Table


def entries_of(table: Table, ref: str | int = "main") -> list[ManifestEntry]:
    """Live entries, of data and delete files, at the head of a branch, at a tag or of a snapshot."""
    snapshot = table.snapshot_by_id(ref) if isinstance(ref, int) else table.snapshot_by_name(ref)
    manifests = snapshot.manifests(table.io) if snapshot else ()
    return [entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)]


def specs_without_parts(table: Table) -> set[int]:
    """Specs that divide nothing: equality deletes of them reach the whole table."""
    return {n for n, spec in table.specs().items() if all(str(part.transform) == "void" for part in spec.fields)}


class LiveRow(NamedTuple):
    """A row that no delete takes away, with its values by field id."""

    file: DataFile
    position: int
    values: dict[int, Any]


def live_rows(table: Table, ref: str | int = "main") -> list[LiveRow]:
    """All rows at the head of a branch, at a tag or of a snapshot, and where they lie."""
    everywhere = specs_without_parts(table)
    entries = entries_of(table, ref)
    deletes = [_Delete(table, entry) for entry in entries if entry.data_file.content != DataFileContent.DATA]
    rows = []
    for entry in entries:
        if entry.data_file.content == DataFileContent.DATA:
            applied = [delete for delete in deletes if delete.may_apply(entry, everywhere)]
            for position, row in enumerate(_by_id(_read(table, entry.data_file))):
                if not any(delete.deletes(entry.data_file.file_path, position, row) for delete in applied):
                    rows.append(LiveRow(entry.data_file, position, row))
    return rows


def read_rows(table: Table, ref: str = "main") -> list[dict[str, Any]]:
    """All rows, by the names of the current schema."""
    names = {field.field_id: field.name for field in table.schema().fields}
    return [{name: row.values.get(number) for number, name in names.items()} for row in live_rows(table, ref)]


def read_ids(table: Table, ref: str = "main") -> list[int]:
    """The column ``id``, sorted."""
    return sorted(row["id"] for row in read_rows(table, ref))


class _Delete:
    """One delete file, read whole."""

    def __init__(self, table: Table, entry: ManifestEntry) -> None:
        self._sequence, self._file = entry.sequence_number, entry.data_file
        self._at_positions = self._file.content == DataFileContent.POSITION_DELETES
        rows = _read(table, self._file)
        if self._at_positions:
            pairs = zip(rows["file_path"].to_pylist(), rows["pos"].to_pylist(), strict=True)
            self._keys: set[tuple[Any, ...]] = set(pairs)
        else:
            self._keys = {self._key(row) for row in _by_id(rows)}

    def may_apply(self, data: ManifestEntry, everywhere: Iterable[int]) -> bool:
        if self._at_positions:
            return bool(data.sequence_number <= self._sequence)  # the paths in it say the rest
        mine, theirs = ((f.spec_id, repr(f.partition)) for f in (self._file, data.data_file))
        return bool(data.sequence_number < self._sequence) and (self._file.spec_id in everywhere or mine == theirs)

    def deletes(self, path: str, position: int, row: Mapping[int, Any]) -> bool:
        return ((path, position) if self._at_positions else self._key(row)) in self._keys

    def _key(self, row: Mapping[int, Any]) -> tuple[Any, ...]:
        return tuple(row.get(number) for number in self._file.equality_ids or ())


def _by_id(rows: pa.Table) -> Iterable[dict[int, Any]]:
    ids = [int(field.metadata[b"PARQUET:field_id"]) for field in rows.schema]
    return [dict(zip(ids, row.values(), strict=True)) for row in rows.to_pylist()]


def _read(table: Table, file: DataFile) -> pa.Table:
    with table.io.new_input(file.file_path).open() as source:
        return pq.read_table(source)
