"""What a table's manifests say, as pyiceberg reads them: for tests that must find every word again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Table


def manifests(table: Table) -> list[ManifestFile]:
    """Those of the current snapshot."""
    return table.current_snapshot().manifests(table.io)


def says(table: Table) -> Counter[str]:
    """Every live entry with all that is read of it, its content, partition spec and inherited age."""
    return Counter(
        repr((int(m.content), m.partition_spec_id, e.snapshot_id, e.sequence_number, e.file_sequence_number, *_all(e)))
        for m in manifests(table)
        for e in m.fetch_manifest_entry(table.io)
    )


def _all(entry: ManifestEntry) -> Iterator[object]:
    for position in range(len(entry.data_file)):
        value = entry.data_file[position]
        yield dict(value) if isinstance(value, Mapping) else value
