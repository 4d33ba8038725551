"""What a table's manifests say, as pyiceberg reads them: for tests that must find every word again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Table


def manifests(table: Table, branch: str = "main") -> list[ManifestFile]:
    """Those of a branch's head."""
    return table.snapshot_by_name(branch).manifests(table.io)


def says(table: Table, branch: str = "main") -> Counter[str]:
    """Every live entry with all that is read of it, its content, partition spec and inherited age."""
    return Counter(
        repr((int(m.content), m.partition_spec_id, e.snapshot_id, e.sequence_number, e.file_sequence_number, *_all(e)))
        for m in manifests(table, branch)
        for e in m.fetch_manifest_entry(table.io)
    )


def _all(entry: ManifestEntry) -> Iterator[object]:
    for position in range(len(entry.data_file)):
        value = entry.data_file[position]
        yield dict(value) if isinstance(value, Mapping) else value


def summaries(table: Table, branch: str = "main") -> dict[object, tuple[bool, bytes | None, bytes | None]]:
    """What the manifest list says of partitions, over all manifests of one spec and content: nulls, least, greatest."""
    found: dict[object, list[tuple[bool, bytes | None, bytes | None]]] = defaultdict(list)
    for manifest in manifests(table, branch):
        live = (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
        for place, part in enumerate(manifest.partitions or () if live else ()):
            key = (int(manifest.content), manifest.partition_spec_id, place)
            found[key].append((part.contains_null, part.lower_bound, part.upper_bound))
    return {
        key: (
            any(null for null, _, _ in some),
            min((low for _, low, _ in some if low is not None), default=None),
            max((high for _, _, high in some if high is not None), default=None),
        )
        for key, some in found.items()
    }
