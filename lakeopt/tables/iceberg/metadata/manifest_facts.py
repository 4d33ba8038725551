"""What regrouping must know of manifests: their sizes, and where the partitions of their files stand in order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from lakeopt.errors import Refused
from lakeopt.model.manifests import ManifestFacts
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest, read_source

OLD_FORMAT = "its records are of an older format version: the next rewrite of its files brings them forward"
NO_LIVE_FILES = "without live files: dropped by the next commit"


@dataclass(frozen=True, slots=True)
class ManifestTree:
    """The manifests of one snapshot: those that can be regrouped, how many cannot for which reason, and the totals."""

    snapshot_id: int
    manifests: tuple[ManifestFacts, ...]
    left_alone: Mapping[str, int]
    count: int
    bytes: int


def read_tree(table: Iceberg, snapshot: Snapshot) -> ManifestTree:
    """Read every manifest of a snapshot, one at a time.

    :raises DataFileError: the manifest list or a manifest is missing or damaged.
    :raises Refused: a manifest is encrypted.
    """
    manifests = read_manifest_list(table.io, snapshot)
    left: Counter[str] = Counter()
    facts = _Facts()
    for manifest in manifests:
        source = read_entries(table, manifest)
        if not source.entries:
            left[NO_LIVE_FILES] += 1
        elif not source.copies_to(table.metadata.format_version):
            left[OLD_FORMAT] += 1
        else:
            facts.add(source)
    size = sum(manifest.manifest_length for manifest in manifests)
    return ManifestTree(snapshot.snapshot_id, tuple(facts.all()), left, len(manifests), size)


def facts_of(sources: Iterable[SourceManifest]) -> list[ManifestFacts]:
    """What regrouping must know of these manifests."""
    facts = _Facts()
    for source in sources:
        facts.add(source)
    return facts.all()


def read_entries(table: Iceberg, manifest: ManifestFile) -> SourceManifest:
    """Live entries of a manifest with their records, and of the data file what a manifest list sums up.

    :raises DataFileError: the manifest is missing or damaged.
    :raises Refused: it is encrypted.
    """
    if manifest.key_metadata is not None:
        raise Refused(
            f"manifest is encrypted: {manifest.manifest_path}", hint="encrypted tables are neither read nor written"
        )
    return read_source(table.io, manifest, heads=True)


@dataclass
class _Facts:
    """Gathers what is known of manifests; partitions get their ranks when all have been met."""

    _met: dict[tuple[int, tuple[Any, ...]], int] = field(default_factory=dict)
    _found: list[tuple[ManifestFile, str, int, np.ndarray]] = field(default_factory=list)

    def add(self, source: SourceManifest) -> None:
        """One more manifest; of its entries only a number is kept that stands for the partition."""
        manifest, live = source.manifest, len(source.entries)
        keys = ((manifest.partition_spec_id, _key(entry.data_file.partition)) for entry in source.entries)
        numbers = np.fromiter((self._met.setdefault(key, len(self._met)) for key in keys), np.int64, live)
        self._found.append((manifest, source.form, source.packed_bytes(), numbers))

    def all(self) -> list[ManifestFacts]:
        """The manifests, in the order in which they were added."""
        rank = np.empty(len(self._met), np.int64)
        rank[[number for _, number in sorted(self._met.items())]] = np.arange(len(self._met))
        return [
            ManifestFacts(
                path=manifest.manifest_path,
                content="deletes" if manifest.content == ManifestContent.DELETES else "data",
                spec_id=manifest.partition_spec_id,
                form=form,
                bytes=size,
                ranks=rank[numbers],
            )
            for manifest, form, size, numbers in self._found
        ]


def _key(partition: Record) -> tuple[Any, ...]:
    """Partition values as a key that sorts nulls first and NaN last."""
    values = (partition[position] for position in range(len(partition)))
    return tuple((0, 0) if v is None else (2, 0) if isinstance(v, float) and math.isnan(v) else (1, v) for v in values)
