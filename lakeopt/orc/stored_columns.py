"""How the columns of an ORC file are stored: bytes, codec and encoding of each column, as its stripes' footers say.

pyarrow shows none of it. Field numbers are those of ORC's ``orc_proto.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from lakeopt.model.stored import ChunkForm
from lakeopt.orc.footers import Resolve, open_orc
from lakeopt.orc.protobuf import Message
from lakeopt.orc.tail import STRIPES, TYPES, Tail

# Type, StripeFooter, Stream, ColumnEncoding
_SUBTYPES, _FIELD_NAMES = 2, 3
_STREAMS, _ENCODINGS = 1, 2
_STREAM_COLUMN, _STREAM_SIZE = 2, 3
_ENCODING_KIND = 1
#: ``ColumnEncoding.Kind``: the second version of each has other run lengths.
_WORDS = ("direct", "dictionary", "direct", "dictionary")


def stored_columns(location: str, resolve: Resolve) -> Iterator[tuple[str, ChunkForm]]:
    """Each column of each stripe of a file with its top-level column's name, indexes and bloom filters included.

    ORC does not say what a column takes before compression.

    :raises DataFileError: the file is missing, is no ORC, or its compression is not known here.
    :raises OSError: the storage does not answer.
    """
    with open_orc(location, resolve) as source:
        yield from _columns(source)


def _columns(source: pa.NativeFile) -> Iterator[tuple[str, ChunkForm]]:
    tail = Tail.read(source)
    codec = "none" if tail.codec == "uncompressed" else tail.codec
    tops = _tops(tail.footer.messages(TYPES))
    for stripe in tail.footer.messages(STRIPES):
        yield from _of_stripe(tail.stripe_footer(source, stripe), tops, codec)


def _of_stripe(footer: Message, tops: Sequence[str | None], codec: str) -> Iterator[tuple[str, ChunkForm]]:
    sizes = [0] * len(tops)
    for stream in footer.messages(_STREAMS):
        sizes[stream.whole(_STREAM_COLUMN)] += stream.whole(_STREAM_SIZE)
    kinds = [one.whole(_ENCODING_KIND) for one in footer.messages(_ENCODINGS)]
    for name, size, kind in zip(tops, sizes, kinds, strict=False):
        if name is not None:
            coded = _WORDS[kind] == "dictionary"
            yield name, ChunkForm(size, None, codec, (_WORDS[kind],), float(coded), overflowed=False)


def _tops(types: Sequence[Message]) -> list[str | None]:
    """Name of the top-level column that each column of the file lies in; None for the row itself."""
    names: list[str | None] = [None] * len(types)

    def spread(column: int, name: str) -> None:
        names[column] = name
        for part in types[column].wholes(_SUBTYPES):
            spread(part, name)

    root = types[0]
    for column, name in zip(root.wholes(_SUBTYPES), root.texts(_FIELD_NAMES), strict=True):
        spread(column, name)
    return names
