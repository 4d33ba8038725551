"""Avro files of the metadata tree, read strictly: what ends too early is an error, never a shorter list.

The decoder and the schema resolution are pyiceberg's. Its own file reader takes an early end of the file for
the end of the list, so that a truncated manifest would lose files without a word.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal

from pyiceberg.avro.codecs import AVRO_CODEC_KEY
from pyiceberg.avro.codecs.codec import Codec
from pyiceberg.avro.decoder import BinaryDecoder
from pyiceberg.avro.file import META_SCHEMA, SYNC_SIZE, AvroFileHeader
from pyiceberg.avro.reader import BinaryReader, IntegerReader, MapReader, Reader
from pyiceberg.avro.resolver import ReadSchemaResolver, SchemaPartnerAccessor, construct_reader
from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    MANIFEST_ENTRY_SCHEMAS,
    MANIFEST_LIST_FILE_SCHEMAS,
    DataFile,
    ManifestEntry,
    ManifestFile,
    PartitionFieldSummary,
)
from pyiceberg.schema import Schema, visit_with_partner
from pyiceberg.types import IcebergType, MapType, NestedField, StructType
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

from lakeopt.errors import DataFileError, LakeoptError, Unreachable, first_line
from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder

#: First bytes of every Avro file.
MAGIC = b"Obj\x01"


def _path_fields() -> Schema:
    """The fields of a manifest entry that say which file it is: status, content, path and size."""
    whole = MANIFEST_ENTRY_SCHEMAS[3]
    parts = (whole.find_field(field_id) for field_id in (134, 100, 104))
    return Schema(whole.find_field(0), NestedField(2, "data_file", StructType(*parts), required=True))


def _head_fields() -> Schema:
    """A manifest entry with the first fields of its data file: content, path, format, partition and record count."""
    whole = MANIFEST_ENTRY_SCHEMAS[2]
    file = whole.find_field(2)
    assert isinstance(file.field_type, StructType)
    first = NestedField(2, file.name, StructType(*file.field_type.fields[:5]), required=True)
    return Schema(*(first if part.field_id == 2 else part for part in whole.fields))


#: What each kind of file is read as: the newest schema (older files lack its last fields) and its record types.
_READ_AS: dict[str, tuple[Schema, dict[int, Callable[..., Any]]]] = {
    "manifest list": (MANIFEST_LIST_FILE_SCHEMAS[3], {-1: ManifestFile, 508: PartitionFieldSummary}),
    "manifest": (MANIFEST_ENTRY_SCHEMAS[3], {}),
    "paths": (_path_fields(), {}),
    "heads": (_head_fields(), {-1: ManifestEntry, 2: DataFile}),
}


def read_records(io: FileIO, location: str, what: Literal["manifest list", "manifest"]) -> Iterator[Any]:
    """Records of a manifest list or a manifest; maps of whole numbers come as flat arrays ``key, value, …``.

    :raises DataFileError: the file is missing, truncated or damaged.
    :raises Unreachable: the storage does not answer, or does not let us read.
    """
    try:
        with io.new_input(location).open() as source:
            content = source.read()
        yield from _records(content, what)
    except (LakeoptError, GeneratorExit):
        raise
    except Exception as error:  # damaged bytes make the decoder raise almost anything
        raise metadata_error(what, location, error) from error


def read_paths(content: bytes, location: str) -> Iterator[tuple[int, int, str, int]]:
    """Status, content, path and size (bytes) of every entry of a manifest, deleted ones too; the rest is passed over.

    ``content`` are the bytes of the manifest at ``location``.

    :raises DataFileError: the manifest is truncated or damaged.
    """
    try:
        for status, file in _records(content, "paths"):
            yield status, *file
    except GeneratorExit:
        raise
    except Exception as error:  # damaged bytes make the decoder raise almost anything
        raise metadata_error("manifest", location, error) from error


def metadata_error(what: str, location: str, error: Exception) -> LakeoptError:
    """The error that names a file of the metadata tree for what storage or decoder said about it."""
    if isinstance(error, FileNotFoundError):
        return DataFileError(f"{what} is missing: {location}", hint="restore the file, or roll the table back")
    if isinstance(error, PermissionError):
        return Unreachable(f"{what} may not be read: {location}", hint="check the permissions of this user")
    reason = first_line(error)
    if isinstance(error, OSError):
        return Unreachable(f"{what} cannot be read: {location}: {reason}", hint="does the storage answer?")
    return DataFileError(f"{what} is damaged: {location}: {reason}", hint="restore the file, or roll the table back")


def read_header(decoder: StrictDecoder) -> AvroFileHeader:
    """The header of an Avro file, at its beginning.

    :raises ValueError: it is no Avro file.
    """
    header = construct_reader(META_SCHEMA, {-1: AvroFileHeader}).read(decoder)  # type: ignore[arg-type]
    if header.magic != MAGIC:
        raise ValueError("not an Avro file")
    return header  # type: ignore[no-any-return]


def codec_of(header: AvroFileHeader) -> type[Codec] | None:
    """Compression of a file's blocks. No codec in the header means none to Avro; pyiceberg would take its default."""
    return header.compression_codec() if AVRO_CODEC_KEY in header.meta else None


def read_blocks(decoder: StrictDecoder, header: AvroFileHeader, size: int) -> Iterator[tuple[int, bytes]]:
    """Behind the header of a file of ``size`` bytes: each block's number of records, and its bytes uncompressed.

    :raises ValueError: a block does not end where it should.
    """
    codec = codec_of(header)
    while decoder.tell() < size:
        count, block = decoder.read_int(), decoder.read_bytes()
        if decoder.read(SYNC_SIZE) != header.sync:
            raise ValueError("a block does not end with the file's sync marker")
        yield count, codec.decompress(block) if codec else block


def require_end(values: StrictDecoder, block: bytes) -> None:
    """Check that all records of a block are read, and nothing behind it.

    :raises ValueError: they end elsewhere.
    """
    if values.tell() != len(block):
        raise ValueError(f"a block of {len(block)} bytes ends at {values.tell()}")


def _records(content: bytes, what: str) -> Iterator[Any]:
    decoder = StrictDecoder(content)
    header = read_header(decoder)
    reader = record_reader(header.meta["avro.schema"], what)
    for count, block in read_blocks(decoder, header, len(content)):
        values = StrictDecoder(block)
        for _ in range(count):
            yield reader.read(values)  # type: ignore[arg-type]
        require_end(values, block)


@lru_cache(maxsize=64)
def record_reader(file_schema: str, what: str) -> Reader:
    """Reader of one schema as files write it; the manifests of a spec share theirs.

    ``what`` is ``manifest list``, ``manifest`` or ``paths`` (of a manifest).
    """
    read_schema, read_types = _READ_AS[what]
    written = AvroSchemaConversion().avro_to_iceberg(json.loads(file_schema))
    return visit_with_partner(written, read_schema, _Resolver(read_types), _Accessor())  # type: ignore[misc,no-any-return]


class _Accessor(SchemaPartnerAccessor):
    """Lets structs, maps and lists be passed over that the schema to read leaves out; pyiceberg's own raises."""

    def field_partner(self, partner: IcebergType | None, field_id: int, field_name: str) -> IcebergType | None:
        return None if partner is None else super().field_partner(partner, field_id, field_name)

    def list_element_partner(self, partner_list: IcebergType | None) -> IcebergType | None:
        return None if partner_list is None else super().list_element_partner(partner_list)

    def map_key_partner(self, partner_map: IcebergType | None) -> IcebergType | None:
        return None if partner_map is None else super().map_key_partner(partner_map)

    def map_value_partner(self, partner_map: IcebergType | None) -> IcebergType | None:
        return None if partner_map is None else super().map_value_partner(partner_map)


class _Resolver(ReadSchemaResolver):
    def map(
        self, map_type: MapType, expected_map: IcebergType | None, key_reader: Reader, value_reader: Reader
    ) -> Reader:
        if isinstance(key_reader, IntegerReader) and isinstance(value_reader, IntegerReader):
            return _PairsReader()  # type: ignore[no-untyped-call]
        if isinstance(key_reader, IntegerReader) and isinstance(value_reader, BinaryReader):
            return _BoundsReader(key_reader, value_reader)
        return super().map(map_type, expected_map, key_reader, value_reader)


class _PairsReader(Reader):
    """A map of whole numbers as one flat array: it goes into an Arrow column, where a dict would be taken apart."""

    def read(self, decoder: BinaryDecoder) -> array[int]:
        pairs: array[int] | None = None
        while count := decoder.read_int():
            if count < 0:  # a block that states its length in bytes, for readers that skip it
                count = -count
                decoder.skip_int()
            block: array[int] = decoder.read_ints(2 * count)  # type: ignore[assignment]
            pairs = block if pairs is None else pairs + block
        return array("q") if pairs is None else pairs

    def skip(self, decoder: BinaryDecoder) -> None:
        self.read(decoder)


class _BoundsReader(MapReader):
    """A map of numbers and bytes that is passed over in one go: pyiceberg's own calls a function for each of them."""

    def skip(self, decoder: BinaryDecoder) -> None:
        strict: Any = decoder
        while count := strict.read_int():
            if count < 0:  # a block that states its length in bytes
                count = -count
                strict.skip_int()
            strict.skip_int_bytes(count)
