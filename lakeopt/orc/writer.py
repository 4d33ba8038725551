"""Write rows as ORC: stripes are encoded apart, by pyarrow into memory, and put into one file byte for byte.

pyarrow encodes a file on one thread and says nothing of its size before it is closed. Nothing in a stripe says where
it lies, so that only the tail of a file is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
from pyarrow import orc

from lakeopt.errors import Refused
from lakeopt.orc import tail as at
from lakeopt.orc.form import OrcForm, misfit
from lakeopt.orc.merged_statistics import merged
from lakeopt.orc.protobuf import Message

#: No stripe is so large: what is handed over at once becomes one.
_ONE_STRIPE = 1 << 40
#: Of strings with fewer different values than this share of their rows a dictionary is made, as by Hive.
_DICTIONARY_SHARE = 0.8


@dataclass(slots=True)
class EncodedStripes:
    """Some rows as pyarrow encoded them: a whole ORC file in memory, of one stripe or a few."""

    data: pa.Buffer
    tail: at.Tail
    row_count: int

    @property
    def bytes(self) -> int:
        """What they add to a file."""
        stripes = sum(map(_length, self.tail.footer.messages(at.STRIPES)))
        return stripes + len(self.tail.stripe_statistics.encode())


def encode(rows: pa.Table, form: OrcForm) -> EncodedStripes:
    """Encode rows, columns of the types that :attr:`OrcForm.schema` says.

    :raises Refused: a type that ORC does not take, or that the types of the files do not describe.
    """
    sink = pa.BufferOutputStream()
    try:
        with orc.ORCWriter(
            sink,
            stripe_size=_ONE_STRIPE,
            compression=form.codec,
            compression_block_size=form.block_bytes,
            row_index_stride=form.row_index_stride,
            dictionary_key_size_threshold=_DICTIONARY_SHARE,
        ) as writer:
            writer.write(rows)
    except pa.ArrowNotImplementedError as error:
        raise Refused(f"ORC cannot be written: {error}", hint="leave these files as they are") from error
    data = sink.getvalue()
    return EncodedStripes(data, at.Tail.read(pa.BufferReader(data)), rows.num_rows)


class OrcFile:
    """An ORC file under way: append stripes, then finish."""

    def __init__(self, sink: IO[bytes], form: OrcForm) -> None:
        self._sink, self._form = sink, form
        self._position = 0
        self._parts: list[at.Tail] = []
        self._stripes: list[Message] = []
        self.row_count = 0
        self._put(at.MAGIC)

    def append(self, part: EncodedStripes) -> None:
        """Copy the stripes of one part.

        :raises Refused: the types of the files describe other columns.
        """
        footer = part.tail.footer
        if reason := misfit(footer.messages(at.TYPES), [Message.decode(held) for held in self._form.types]):
            raise Refused(reason, hint="leave these files as they are")
        view = memoryview(part.data)
        for stripe in footer.messages(at.STRIPES):
            start = stripe.whole(at.OFFSET)
            stripe.put(at.OFFSET, self._position)
            self._stripes.append(stripe)
            self._put(view[start : start + _length(stripe)])
        self._parts.append(part.tail)
        self.row_count += part.row_count

    def finish(self, user_metadata: Mapping[str, str]) -> int:
        """Write the tail, with these items behind those of the form; the size of the file in bytes."""
        first = self._parts[0]
        statistics = Message([item for part in self._parts for item in part.stripe_statistics.fields])
        content, codec = self._position, first.codec
        lengths = []
        for section in (statistics, self._footer(content, user_metadata)):
            held = at.compress_none(section.encode(), codec, self._form.block_bytes)
            self._put(held)
            lengths.append(len(held))
        postscript = Message(list(first.postscript.fields))
        postscript.put(at.METADATA_LENGTH, lengths[0])
        postscript.put(at.FOOTER_LENGTH, lengths[1])
        end = postscript.encode()
        self._put(end + bytes([len(end)]))
        return self._position

    def _footer(self, content: int, user_metadata: Mapping[str, str]) -> Message:
        footer = Message(list(self._parts[0].footer.fields))
        footer.put(at.CONTENT_LENGTH, content)
        footer.put(at.ROWS, self.row_count)
        footer.put(at.CALENDAR, self._form.calendar or None)
        own = [Message([(1, 2, name.encode()), (2, 2, text.encode())]) for name, text in sorted(user_metadata.items())]
        _repeat(footer, at.USER_METADATA, [*self._form.user_metadata, *(item.encode() for item in own)])
        _repeat(footer, at.STRIPES, [stripe.encode() for stripe in self._stripes])
        _repeat(footer, at.TYPES, self._form.types)
        columns = zip(*(part.footer.messages(at.STATISTICS) for part in self._parts), strict=True)
        _repeat(footer, at.STATISTICS, [merged(list(parts)).encode() for parts in columns])
        return footer

    def _put(self, data: bytes | memoryview) -> None:
        self._sink.write(data)
        self._position += len(data)


def _length(stripe: Message) -> int:
    return sum(stripe.whole(part) for part in (at.INDEX_LENGTH, at.DATA_LENGTH, at.STRIPE_FOOTER_LENGTH))


def _repeat(message: Message, number: int, values: Sequence[bytes]) -> None:
    """Set a repeated field."""
    message.fields = [item for item in message.fields if item[0] != number]
    message.fields += [(number, 2, value) for value in values]
