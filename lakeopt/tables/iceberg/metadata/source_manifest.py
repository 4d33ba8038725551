"""A data manifest that is about to be rewritten: its live entries, and the very bytes of each data file's record.

A rewritten manifest differs from its source in the head of each entry only (status, snapshot, sequence numbers).
Copying the rest keeps what this version of pyiceberg does not know, and partition values of columns that were
dropped; and it is quick. The file is read strictly: a truncated manifest, rewritten, would lose files for good.
"""

from __future__ import annotations

import io as streams
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import META_SCHEMA, SYNC_SIZE, AvroFileHeader
from pyiceberg.avro.reader import Reader, StructReader
from pyiceberg.avro.resolver import construct_writer, resolve_reader
from pyiceberg.io import FileIO, OutputFile
from pyiceberg.manifest import (
    MANIFEST_ENTRY_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    _inherit_from_manifest,
)
from pyiceberg.schema import Schema
from pyiceberg.typedef import TableVersion

from lakeopt.errors import DataFileError
from lakeopt.tables.iceberg.metadata.avro import (
    MAGIC,
    codec_of,
    metadata_error,
    read_blocks,
    read_header,
    record_reader,
    require_end,
)
from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder

#: Field ids of a manifest entry: its head, and the data file.
STATUS, SNAPSHOT_ID, SEQUENCE_NUMBER, FILE_SEQUENCE_NUMBER, DATA_FILE = 0, 1, 3, 4, 2
_HEAD = {1: {STATUS, SNAPSHOT_ID}, 2: {STATUS, SNAPSHOT_ID, SEQUENCE_NUMBER, FILE_SEQUENCE_NUMBER}}
_ENTRY_POSITION = {STATUS: 0, SNAPSHOT_ID: 1, SEQUENCE_NUMBER: 2, FILE_SEQUENCE_NUMBER: 3, DATA_FILE: 4}
_BLOCK = 1000
_HEAD_BYTES = 4  # of an entry, where it is compressed: its numbers are mostly those of the entry before it


@dataclass
class SourceManifest:
    """Live entries of one manifest, with sequence numbers inherited; ``records`` runs beside ``entries``."""

    manifest: ManifestFile
    header: AvroFileHeader
    schema: Schema
    entries: list[ManifestEntry] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    def copies_to(self, version: TableVersion) -> bool:
        """Whether its records may be copied into a manifest of that format version."""
        ids = [part.field_id for part in self.schema.fields]
        written = int(self.header.meta.get("format-version", "1"))
        return written == version and ids[-1] == DATA_FILE and set(ids[:-1]) == _HEAD.get(version)

    @property
    def form(self) -> str:
        """The Avro schema as text: manifests of one form may be joined."""
        return str(self.header.meta["avro.schema"])

    def packed_bytes(self) -> int:
        """About how many bytes its live entries take as :func:`write_copy` writes them, without the header."""
        codec = codec_of(self.header)
        sizes = 0
        for start in range(0, len(self.records), _BLOCK):
            block = b"".join(self.records[start : start + _BLOCK])
            sizes += len(codec.compress(block)[0]) if codec else len(block)
        return sizes + _HEAD_BYTES * len(self.records)


def read_source(io: FileIO, manifest: ManifestFile, *, heads: bool = False) -> SourceManifest:
    """Read a manifest whole; with ``heads``, of data files only content, path, format, partition and record count.

    :raises DataFileError: it is missing, damaged, or shorter than the manifest list says.
    :raises Unreachable: the storage does not answer.
    """
    location = manifest.manifest_path
    try:
        with io.new_input(location).open() as stream:
            source = _decode(stream.read(), manifest, heads=heads)
    except Exception as error:  # damaged bytes make the decoder raise almost anything
        raise metadata_error("manifest", location, error) from error
    added, existing = manifest.added_files_count, manifest.existing_files_count
    if added is not None and existing is not None and len(source.entries) != added + existing:
        raise DataFileError(
            f"manifest is damaged: {location}: {len(source.entries)} live files where {added + existing} are stated",
            hint="restore the file, or roll the table back",
        )
    return source


def _decode(content: bytes, manifest: ManifestFile, *, heads: bool) -> SourceManifest:
    decoder = StrictDecoder(content)
    header = read_header(decoder)
    source = SourceManifest(manifest, header, header.get_schema())
    reader = record_reader(source.form, "heads") if heads else _whole_reader(source.schema)
    assert isinstance(reader, StructReader)
    for count, block in read_blocks(decoder, header, len(content)):
        _decode_block(source, reader, block, count)
    return source


def _whole_reader(schema: Schema) -> Reader:
    return resolve_reader(
        schema,
        MANIFEST_ENTRY_SCHEMAS[2],
        {-1: ManifestEntry, DATA_FILE: DataFile},
        {STATUS: ManifestEntryStatus, 101: FileFormat, 134: DataFileContent},
    )


def _decode_block(source: SourceManifest, reader: StructReader, block: bytes, count: int) -> None:
    fields = reader.field_readers  # in the order of the file; those that the file lacks come last and read nothing
    data_file_position = _ENTRY_POSITION[DATA_FILE]
    decoder: Any = StrictDecoder(block)
    for _ in range(count):
        entry, begin, end = ManifestEntry(*[None] * len(_ENTRY_POSITION)), 0, 0
        for position, part in fields:
            if position is None:
                part.skip(decoder)
                continue
            if position == data_file_position:
                begin = decoder.tell()
            entry[position] = part.read(decoder)
            if position == data_file_position:
                end = decoder.tell()
        if entry.status != ManifestEntryStatus.DELETED:
            source.entries.append(_inherit_from_manifest(entry, source.manifest))
            source.records.append(block[begin:end])
    require_end(decoder, block)


def write_copy(output: OutputFile, like: SourceManifest, entries: Iterable[tuple[ManifestEntry, bytes]]) -> int:
    """Write entries and their records as ``like`` was written: same schema, codec and header; bytes written."""
    sync = os.urandom(SYNC_SIZE)
    with output.create(overwrite=True) as stream:
        encoder = BinaryEncoder(stream)
        construct_writer(META_SCHEMA).write(encoder, AvroFileHeader(MAGIC, like.header.meta, sync))
        codec = codec_of(like.header)
        for count, block in _blocks(like.schema, entries):
            content = codec.compress(block)[0] if codec else block
            encoder.write_int(count)
            encoder.write_bytes(content)
            encoder.write(sync)
    return len(output)


def _blocks(schema: Schema, entries: Iterable[tuple[ManifestEntry, bytes]]) -> Iterator[tuple[int, bytes]]:
    head = [(_ENTRY_POSITION[part.field_id], part.required) for part in schema.fields[:-1]]
    buffer, count = streams.BytesIO(), 0
    encoder = BinaryEncoder(buffer)
    for entry, record in entries:
        for position, required in head:
            value = entry[position]
            if not required:
                encoder.write_int(0 if value is None else 1)
            if value is not None:
                encoder.write_int(int(value))
        buffer.write(record)
        count += 1
        if count == _BLOCK:
            yield count, buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
            count = 0
    if count:
        yield count, buffer.getvalue()
