"""The tail of an ORC file: postscript, footer and stripe statistics, decompressed; and its stripe footers.

Numbers of fields are those of ``orc_proto.proto`` (ORC specification v1, "File Tail").
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import pyarrow as pa

from lakeopt.errors import DataFileError
from lakeopt.orc.form import KIND, TIMESTAMP
from lakeopt.orc.lz4 import decompress_block
from lakeopt.orc.protobuf import Message, varint

MAGIC = b"ORC"
# PostScript
FOOTER_LENGTH, COMPRESSION, BLOCK_SIZE, METADATA_LENGTH, STRIPE_STATISTICS_LENGTH = 1, 2, 3, 5, 7
# Footer
CONTENT_LENGTH, STRIPES, TYPES, USER_METADATA, ROWS, STATISTICS, STRIDE = 2, 3, 4, 5, 6, 7, 8
ENCRYPTION, CALENDAR = 10, 11
# StripeInformation, StripeFooter
OFFSET, INDEX_LENGTH, DATA_LENGTH, STRIPE_FOOTER_LENGTH, STRIPE_ROWS = 1, 2, 3, 4, 5
WRITER_ZONE = 3
#: ``CompressionKind`` by number, in pyarrow's words.
CODECS = ("uncompressed", "zlib", "snappy", "lzo", "lz4", "zstd", "brotli")
_FIRST_READ = 16 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """What an ORC file says of itself. ``stripe_statistics`` is the section of that name (``Metadata``)."""

    postscript: Message
    footer: Message
    stripe_statistics: Message
    file_bytes: int

    @classmethod
    def read(cls, source: pa.NativeFile) -> Tail:
        """The tail of an open file.

        :raises DataFileError: it is not an ORC file, or damaged, or its codec cannot be read here.
        """
        try:
            return cls._read(source)
        except (ValueError, IndexError, zlib.error, pa.ArrowException) as error:
            raise DataFileError(f"the end of the file cannot be read: {error}", hint="the file is damaged") from error

    @classmethod
    def _read(cls, source: pa.NativeFile) -> Tail:
        size = source.size()
        end = source.read_at(min(size, _FIRST_READ), max(0, size - _FIRST_READ))
        if len(end) < len(MAGIC) + 2 or MAGIC not in end[-1 - end[-1] :]:
            raise DataFileError("it does not end as an ORC file does", hint="the file is damaged")
        postscript = Message.decode(end[-1 - end[-1] : -1])
        lengths = [postscript.whole(number) for number in (METADATA_LENGTH, STRIPE_STATISTICS_LENGTH, FOOTER_LENGTH)]
        behind = 1 + end[-1]
        wanted = behind + sum(lengths)
        if wanted > size:
            raise DataFileError("its footer is longer than the file", hint="the file is damaged")
        if wanted > len(end):
            end = source.read_at(wanted, size - wanted)
        start = len(end) - wanted
        codec = codec_of(postscript)
        statistics = decompress(end[start : start + lengths[0]], codec)
        footer = decompress(end[len(end) - behind - lengths[2] : len(end) - behind], codec)
        return cls(postscript, Message.decode(footer), Message.decode(statistics), size)

    @property
    def codec(self) -> str:
        """One of :data:`CODECS`."""
        return codec_of(self.postscript)

    def stripe_footer(self, source: pa.NativeFile, stripe: Message) -> Message:
        """The footer of one of its stripes.

        :raises DataFileError: the stripe cannot be read.
        """
        at = stripe.whole(OFFSET) + stripe.whole(INDEX_LENGTH) + stripe.whole(DATA_LENGTH)
        try:
            return Message.decode(decompress(source.read_at(stripe.whole(STRIPE_FOOTER_LENGTH), at), self.codec))
        except (ValueError, IndexError, zlib.error, pa.ArrowException) as error:
            raise DataFileError(f"a stripe cannot be read: {error}", hint="the file is damaged") from error

    def zones(self, source: pa.NativeFile) -> frozenset[str | None]:
        """Time zones of the writers of all stripes (tools put stripes of several files together), None where one says
        none; empty where no column is of a type that depends on them.

        :raises DataFileError: a stripe cannot be read.
        """
        if not any(one.whole(KIND) == TIMESTAMP for one in self.footer.messages(TYPES)):
            return frozenset()
        stripes = self.footer.messages(STRIPES)
        return frozenset(self.stripe_footer(source, stripe).text(WRITER_ZONE) for stripe in stripes)


def codec_of(postscript: Message) -> str:
    """Name of a file's codec, one of :data:`CODECS`.

    :raises DataFileError: it is not known.
    """
    number = postscript.whole(COMPRESSION)
    if number >= len(CODECS):
        raise DataFileError(f"its compression {number} is not known", hint="rewrite it with the tool that wrote it")
    return CODECS[number]


def decompress(data: bytes, codec: str) -> bytes:
    """A section of the tail: chunks with headers of three bytes, each compressed by itself, or not."""
    if codec == "uncompressed":
        return data
    out, offset = bytearray(), 0
    while offset < len(data):
        header = int.from_bytes(data[offset : offset + 3], "little")
        chunk = data[offset + 3 : offset + 3 + (header >> 1)]
        offset += 3 + (header >> 1)
        out += chunk if header & 1 else _chunk(chunk, codec)
    return bytes(out)


def _chunk(chunk: bytes, codec: str) -> bytes:
    if codec == "zlib":
        return zlib.decompress(chunk, wbits=-15)
    if codec == "snappy":
        size, _ = varint(chunk, 0)
        return bytes(pa.decompress(chunk, decompressed_size=size, codec="snappy", asbytes=True))
    if codec == "zstd":
        with pa.CompressedInputStream(pa.BufferReader(chunk), "zstd") as stream:
            return bytes(stream.read())
    if codec == "lz4":
        return decompress_block(chunk)
    raise DataFileError(f"its codec {codec} cannot be read", hint="rewrite it with the tool that wrote it")


def compress_none(data: bytes, codec: str, block_bytes: int) -> bytes:
    """A section for a file of this codec, its chunks left as they are."""
    if codec == "uncompressed":
        return data
    most = min(block_bytes, (1 << 23) - 1)
    cut = [data[start : start + most] for start in range(0, len(data), most)]
    return b"".join((len(part) << 1 | 1).to_bytes(3, "little") + part for part in cut)
