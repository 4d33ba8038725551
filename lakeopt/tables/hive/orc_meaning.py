"""The form of the ORC files of a partition, or why new ones would be read otherwise by Hive or Spark."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from lakeopt.errors import Refused
from lakeopt.orc import tail as at
from lakeopt.orc.footers import OrcFooter
from lakeopt.orc.form import DATE, INSTANT, KIND, TIMESTAMP, OrcForm, misfit
from lakeopt.orc.protobuf import Message
from lakeopt.orc.writer import encode
from lakeopt.parquet.calendars import FIRST_DAY, FIRST_MICRO
from lakeopt.tables.hive import stored_types

_WRITTEN = ("uncompressed", "zlib", "snappy", "zstd", "lz4")
_UTC = ("UTC", "GMT", "Etc/UTC", "Etc/GMT", "Z", "Zulu", "Etc/Zulu")
_BY_PLACE = re.compile(r"_col\d+")
_OWN = b"lakeopt."
# ColumnStatistics
_VALUES, _DATES, _TIMESTAMPS, _FIRST_UTC = 1, 7, 9, 3
_FIRST_MILLI = FIRST_MICRO // 1000
#: ``CalendarKind``: Gregorian throughout. Others count days before 1582 by the Julian calendar, and say so or nothing.
_PROLEPTIC = 2


def orc_form(files: Sequence[OrcFooter], schema: pa.Schema) -> OrcForm | str:
    """The form of files, in order of arrival, that hold columns of this schema; or a reason to leave them alone."""
    pattern = files[-1]
    if any(file.tail.footer.message(at.ENCRYPTION) is not None for file in files):
        return "columns of its files are encrypted, and who has no key reads other values in their place"
    types = _types(pattern)
    if any(_types(file) != types for file in files):
        return "its files hold different columns, or the same in more than one way"
    names = _names(pattern, schema)
    if isinstance(names, str):
        return names
    if pattern.codec not in _WRITTEN:
        return f"its files are compressed with {pattern.codec}, which is not written here"
    for name, held in zip(names, pattern.schema, strict=True):
        if reason := stored_types.misfit(schema.field(name), micros(held.type), name):
            return reason
    if reason := _times(files):
        return reason
    tail = pattern.tail
    form = OrcForm(
        schema=pa.schema([pa.field(name, micros(own.type)) for name, own in zip(names, pattern.schema, strict=True)]),
        types=types,
        codec=pattern.codec,
        block_bytes=tail.postscript.whole(at.BLOCK_SIZE, 64 * 1024),
        row_index_stride=tail.footer.whole(at.STRIDE, 10_000) or 10_000,
        calendar=tail.footer.whole(at.CALENDAR),
        user_metadata=tuple(
            item.encode()
            for item in tail.footer.messages(at.USER_METADATA)
            if not (item.content(1) or b"").startswith(_OWN)
        ),
    )
    return _unwritable(form) or form


def reading_reason(file: OrcFooter) -> str | None:
    """Why rows of a file are not read here as Hive and Spark read them, or None.

    What goes to new files of the same kind keeps its meaning whatever that is; what goes to another format does not.
    """
    if file.tail.footer.message(at.ENCRYPTION) is not None:
        return "columns of it are encrypted, and who has no key reads other values in their place"
    pairs = [
        (message.whole(KIND), held)
        for message, held in zip(
            file.tail.footer.messages(at.TYPES), file.tail.footer.messages(at.STATISTICS), strict=False
        )
    ]
    old = min((_first(held, _DATES, 1) for kind, held in pairs if kind == DATE), default=0)
    if old < FIRST_DAY and file.tail.footer.whole(at.CALENDAR) != _PROLEPTIC:
        return "it holds dates before 1582-10-15, or may, of the Julian calendar"
    times = [_first(held, _TIMESTAMPS, _FIRST_UTC) for kind, held in pairs if kind in (TIMESTAMP, INSTANT)]
    if min(times, default=0) < _FIRST_MILLI:
        return "it holds timestamps before 1900, or may, which are not read alike everywhere"
    return _zone_reason([file]) if any(kind == TIMESTAMP for kind, _ in pairs) else None


def micros(kind: pa.DataType) -> pa.DataType:
    """A type with timestamps in microseconds, as they are carried here; pyarrow reads nanoseconds."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([own.with_type(micros(own.type)) for own in (kind.field(i) for i in range(kind.num_fields))])
    if pa.types.is_map(kind):
        return pa.map_(micros(kind.key_type), micros(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(pa.field(kind.value_field.name, micros(kind.value_type)))
    return kind


def _types(file: OrcFooter) -> tuple[bytes, ...]:
    return tuple(message.encode() for message in file.tail.footer.messages(at.TYPES))


def _names(file: OrcFooter, schema: pa.Schema) -> list[str] | str:
    """Name in the table of each column of a file: by place where a file has no names, as files of old Hive."""
    held = file.schema.names
    if not held:
        return "its files have no columns"
    if all(_BY_PLACE.fullmatch(name) for name in held):
        if len(held) > len(schema):
            return f"files hold {len(held)} columns, the table has {len(schema)}"
        return list(schema.names[: len(held)])
    known = {name.lower(): name for name in schema.names}
    lower = [name.lower() for name in held]
    if len(set(lower)) < len(lower) or len(known) < len(schema):
        return "names of columns differ only in their case"
    if unknown := next((name for name in held if name.lower() not in known), None):
        return f"files hold column {unknown}, which the table does not have"
    return [known[name] for name in lower]


def _times(files: Sequence[OrcFooter]) -> str | None:
    """Why dates or timestamps would not be read as before, or None."""
    kinds = [message.whole(KIND) for message in files[-1].tail.footer.messages(at.TYPES)]
    if TIMESTAMP in kinds and (reason := _zone_reason(files)):
        return reason
    for file in files:
        for kind, held in zip(kinds, file.tail.footer.messages(at.STATISTICS), strict=False):
            if kind in (TIMESTAMP, INSTANT) and _first(held, _TIMESTAMPS, _FIRST_UTC) < 0:
                return "it holds timestamps before 1970, or may, and Java cannot read the fractions that pyarrow writes"
    if DATE in kinds and len({file.tail.footer.whole(at.CALENDAR) for file in files}) > 1:
        for file in files:
            for kind, held in zip(kinds, file.tail.footer.messages(at.STATISTICS), strict=False):
                if kind == DATE and _first(held, _DATES, 1) < FIRST_DAY:
                    return "dates of its files are read by more than one calendar"
    return None


def _zone_reason(files: Sequence[OrcFooter]) -> str | None:
    zones = {zone for file in files for zone in file.zones}
    if None in zones:  # Java takes that for the zone of the reader
        return "timestamps were written in a zone that the files do not name, and would be in UTC"
    if others := sorted(str(zone) for zone in zones.difference(_UTC)):
        return f"timestamps were written in the zone {others[0]}, and would be in UTC"
    return None


def _first(held: Message, kind: int, number: int) -> int:
    """The smallest value that statistics tell of; the smallest of all where they tell none."""
    if not held.whole(_VALUES):
        return 0
    part = held.message(kind)
    found = None if part is None else part.signed(number)
    return -(1 << 63) if found is None else found


def _unwritable(form: OrcForm) -> str | None:
    """Why pyarrow cannot write what the types of the files describe, or None."""
    try:
        made = encode(form.schema.empty_table(), form).tail.footer.messages(at.TYPES)
    except (Refused, pa.ArrowException) as error:
        return f"a type of these files cannot be written: {error}"
    return misfit(made, [Message.decode(held) for held in form.types])
