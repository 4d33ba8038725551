"""How ORC files of Hive and Spark spell their rows, and what new files say alike.

Readers go by the types of the footer (char and varchar with their lengths, names and attributes), by its calendar and
its user metadata. A new file is encoded by pyarrow, which knows strings only, and then gets the types of the files that
it replaces: their bytes are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakeopt.model.scan import WriterOptions
from lakeopt.orc.protobuf import Message

# Type
KIND, SUBTYPES, NAMES, LENGTH, PRECISION, SCALE = 1, 2, 3, 4, 5, 6
#: ``Type.Kind`` by number.
BYTE, STRING, TIMESTAMP, UNION, DATE, VARCHAR, CHAR, INSTANT = 1, 7, 9, 13, 15, 16, 17, 18
_TEXTS = {STRING, VARCHAR, CHAR}


@dataclass(frozen=True, slots=True)
class OrcForm:
    """What new ORC files say beyond their rows.

    ``schema`` has one field a column of the files, by its name in the scan, of the type that pyarrow is to write;
    ``types`` are the footer's, ``user_metadata`` its items, ``calendar`` its number (0 where it says none).
    """

    schema: pa.Schema
    types: tuple[bytes, ...]
    codec: str
    block_bytes: int = 64 * 1024
    row_index_stride: int = 10_000
    calendar: int = 0
    user_metadata: tuple[bytes, ...] = ()

    @property
    def file_format(self) -> str:
        """Always ``ORC``."""
        return "ORC"

    def fitted(self, options: WriterOptions) -> WriterOptions:
        """The options with the codec of the files; ORC knows no levels."""
        return dataclasses.replace(options, codec=self.codec, level=None)


def misfit(made: Sequence[Message], wanted: Sequence[Message]) -> str | None:
    """Why columns that were encoded by these types cannot be described by those of the files, or None."""
    if len(made) != len(wanted):
        return "files hold another number of columns than would be written"
    for own, held in zip(made, wanted, strict=True):
        kinds = own.whole(KIND), held.whole(KIND)
        if own.wholes(SUBTYPES) != held.wholes(SUBTYPES) or (
            kinds[0] != kinds[1] and not (kinds[0] == STRING and kinds[1] in _TEXTS)
        ):
            return "a column is stored as a type that is not written here"
        if (own.whole(PRECISION), own.whole(SCALE)) != (held.whole(PRECISION), held.whole(SCALE)):
            return "a decimal has another precision in files than would be written"
    return None
