"""Whether the row groups of a data file may be copied into another file as they are, and what that needs to know."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from lakeopt.errors import DataFileError
from lakeopt.parquet.conform import file_schema
from lakeopt.parquet.field_ids import field_id
from lakeopt.parquet.footers import Resolve, data_file_error
from lakeopt.parquet.raw_footer import (
    CODEC,
    CODECS,
    RawFooter,
    chunk_range,
    chunks,
    group_bytes,
    is_encrypted,
    row_groups,
    steering,
)
from lakeopt.parquet.stitch import CHUNK_META, GROUP_ROWS, MAGIC
from lakeopt.parquet.thrift import Struct
from lakeopt.parquet.values import children

#: A row group at or above either is large enough to live with: bytes on disk, rows.
FLOOR_BYTES, FLOOR_ROWS = 8 * 1024 * 1024, 65_536
BELOW_FLOOR = "row groups of fewer than 64k rows and 8 MB are merged"
# ColumnChunk
_OTHER_FILE = 1


@dataclass(frozen=True, slots=True)
class Copyable:
    """A file whose row groups can be copied. ``steering`` is equal for files that may share a footer;
    ``row_groups`` are bytes on disk, in order.
    """

    footer: RawFooter
    steering: str
    row_groups: tuple[int, ...]
    codecs: frozenset[str]


def reaches_floor(size: int, rows: int) -> bool:
    """Whether a row group (or a file, before its footer is read) is large enough.

    >>> reaches_floor(1000, 70_000), reaches_floor(9_000_000, 10), reaches_floor(1000, 10)
    (True, True, False)
    """
    return size >= FLOOR_BYTES or rows >= FLOOR_ROWS


def copyable(location: str, schema: pa.Schema, resolve: Resolve) -> Copyable | str:
    """What copying a file needs to know, or the reason why its rows have to be decoded.

    :raises DataFileError: the file is missing or its footer is damaged.
    :raises Unreachable: the storage does not answer.
    """
    filesystem, path = resolve(location)
    try:
        with filesystem.open_input_file(path) as source:
            footer = RawFooter.read(source)
        fields, written = footer.fields(), footer.as_pyarrow().schema_arrow
    except DataFileError as error:
        raise DataFileError(f"data file cannot be read: {location}: {error}", hint=error.hint) from error
    except (pa.ArrowException, OSError) as error:
        raise data_file_error(location, error) from error
    reason = _unfit(fields, footer.file_bytes) or difference(list(written), list(file_schema(schema)))
    if reason is not None:
        return reason
    codecs = {chunk[CHUNK_META][1][CODEC][1] for group in row_groups(fields) for chunk in chunks(group)}
    return Copyable(
        footer,
        steering(fields),
        tuple(group_bytes(group) for group in row_groups(fields)),
        frozenset(CODECS[code] if code < len(CODECS) else str(code) for code in codecs),
    )


def _unfit(footer: Struct, file_bytes: int) -> str | None:
    """Why the row groups of this footer cannot be copied, whatever their columns are."""
    groups = row_groups(footer)
    if not groups:
        return "holds no rows"
    every = [chunk for group in groups for chunk in chunks(group)]
    if is_encrypted(footer):
        return "columns are encrypted"
    if any(CHUNK_META not in chunk or chunk.get(_OTHER_FILE, (0, b""))[1] for chunk in every):
        return "column chunks lie in other files"
    if not all(reaches_floor(group_bytes(group), group[GROUP_ROWS][1]) for group in groups):
        return BELOW_FLOOR
    ranges = [chunk_range(chunk) for chunk in every]
    if min(start for start, _ in ranges) < len(MAGIC) or max(end for _, end in ranges) > file_bytes:
        return "column chunks lie outside of the file"
    return None


def difference(written: list[pa.Field], wanted: list[pa.Field], parent: str = "") -> str | None:
    """How the fields of a file differ from those that would be written today, at the first that does.

    Names of list elements, map keys and map values do not count: no reader goes by them.
    """
    for have, want in zip(written, wanted, strict=False):
        name = f"{parent}{want.name}"
        if have.name != want.name and not parent.endswith("[]."):
            return f"column {name} is called {have.name} in files"
        if field_id(have) != field_id(want):
            return f"column {name} has another field id in files, or none"
        # Where nulls may stand today, a file that has none may go on saying so: readers go by its own levels.
        if have.nullable and not want.nullable:
            return f"column {name} is optional in files"
        below, expected = children(have.type), children(want.type)
        if bool(below) != bool(expected) or (not below and _plain(have.type) != _plain(want.type)):
            return f"column {name} is {have.type} in files"
        inner = f"{name}." if pa.types.is_struct(want.type) else f"{name}[]."
        if below and (found := difference(below, expected, inner)):
            return found
    if len(written) != len(wanted):
        return f"files have {len(written)} columns{' in ' + parent.rstrip('.[]') if parent else ''}, not {len(wanted)}"
    return None


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without what differs in memory only: offset widths, and the spelling of UTC."""
    return file_schema(pa.schema([pa.field("", kind)])).field(0).type
