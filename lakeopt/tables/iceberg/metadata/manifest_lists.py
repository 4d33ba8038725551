"""The manifests of many snapshots, each once: what a table's history is made of.

A manifest list repeats that of the snapshot before it, save for its first few records. Over thousands of snapshots
that is millions of records, of which a few thousand differ. So a list is decoded only as far as it differs: where
its rest is, byte for byte, the rest of the list before it, the rest is known. Nothing is taken on trust: each record
is either decoded or equal to one that was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table.snapshots import Snapshot

from lakeopt.errors import DataFileError
from lakeopt.tables.iceberg.metadata.avro import metadata_error, read_blocks, read_header, record_reader
from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder

#: Files that are fetched ahead of the one that is decoded.
_AHEAD = 16


@dataclass
class History:
    """Manifests by path in the order in which they are first met, and the size (bytes) of each manifest list."""

    manifests: dict[str, ManifestFile] = field(default_factory=dict)
    list_bytes: dict[str, int] = field(default_factory=dict)


def read_history(io: FileIO, snapshots: Iterable[Snapshot]) -> History:
    """Every manifest that one of these snapshots lists.

    :raises DataFileError: a manifest list is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    ordered = sorted(snapshots, key=lambda one: (one.sequence_number or 0, one.timestamp_ms))
    history, decoder = History(), _ListDecoder()
    filled = {_location(snapshot) for snapshot in ordered if _holds_files(snapshot)}
    for location, content in contents(io, map(_location, ordered), "manifest list"):
        try:
            found = decoder.new_records(content)
            if location in filled and decoder.is_empty:
                raise ValueError("it is empty, though its snapshot has files")
        except Exception as error:  # damaged bytes make the decoder raise almost anything
            raise metadata_error("manifest list", location, error) from error
        history.list_bytes[location] = len(content)
        for manifest in found:
            history.manifests.setdefault(manifest.manifest_path, manifest)
    return history


def _holds_files(snapshot: Snapshot) -> bool:
    """Whether its summary says that it has files: a list that is cut behind its header looks like an empty one."""
    total = snapshot.summary.additional_properties.get("total-data-files", "0") if snapshot.summary else "0"
    return total not in ("", "0")


def _location(snapshot: Snapshot) -> str:
    if not snapshot.manifest_list:
        raise DataFileError(
            f"snapshot {snapshot.snapshot_id} has no manifest list: its manifests stand in the table's metadata itself",
            hint="rewrite the table with an engine that writes manifest lists",
        )
    return snapshot.manifest_list


def contents(io: FileIO, locations: Iterable[str], what: str) -> Iterator[tuple[str, bytes]]:
    """Bytes of each file in this order, fetched a few ahead by threads: stores answer late rather than slowly.

    :raises DataFileError: one is missing; ``what`` says in the message what it is.
    :raises Unreachable: the storage does not answer.
    """
    rest = iter(dict.fromkeys(locations))
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[tuple[str, Future[bytes]]] = deque()
        for location in rest:
            waiting.append((location, pool.submit(_read, io, location, what)))
            if len(waiting) > _AHEAD:
                first, content = waiting.popleft()
                yield first, content.result()
        while waiting:
            first, content = waiting.popleft()
            yield first, content.result()


def _read(io: FileIO, location: str, what: str) -> bytes:
    try:
        with io.new_input(location).open() as source:
            return bytes(source.read())
    except Exception as error:  # storage libraries raise types of their own
        raise metadata_error(what, location, error) from error


class _ListDecoder:
    """Decodes lists one after the other, each as far as it differs from the one before.

    ``_lengths[n]`` is the length of the last ``n + 1`` records of the list before, in bytes.
    """

    def __init__(self) -> None:
        self._schema = ""
        self._body = b""
        self._lengths: list[int] = []

    @property
    def is_empty(self) -> bool:
        """Whether the last list had no records."""
        return not self._lengths

    def new_records(self, content: bytes) -> list[ManifestFile]:
        """Records before the part that the list shares with the one before.

        :raises ValueError: the list is damaged.
        """
        head = StrictDecoder(content)
        header = read_header(head)
        total, parts = 0, []
        for count, block in read_blocks(head, header, len(content)):
            total += count
            parts.append(block)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        schema = header.meta["avro.schema"]
        if schema != self._schema:
            self._schema, self._body, self._lengths = schema, b"", []
        reader: Any = record_reader(schema, "manifest list")
        values = StrictDecoder(body)
        records: list[ManifestFile] = []
        starts: list[int] = []
        known = 0
        while values.tell() < len(body) and not (known := self._known(body, values.tell())):
            if len(records) == total:
                raise ValueError(f"it holds more than the {total} records that it states")
            starts.append(values.tell())
            records.append(reader.read(values))
        if len(records) + known != total or values.tell() > len(body):
            raise ValueError(f"it holds {len(records) + known} records where it states {total}")
        self._body = body
        del self._lengths[known:]
        self._lengths += [len(body) - start for start in reversed(starts)]
        return records

    def _known(self, body: bytes, at: int) -> int:
        """Number of the records from this place on, if they are the last ones of the list before; else 0."""
        left = len(body) - at
        index = bisect_left(self._lengths, left)
        if index == len(self._lengths) or self._lengths[index] != left:
            return 0
        begin = len(self._body) - left
        same_start = body[at : at + 64] == self._body[begin : begin + 64]
        return index + 1 if same_start and body[at:] == self._body[begin:] else 0
