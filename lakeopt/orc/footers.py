"""ORC footers: columns, stripes, and the statistics of whole files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from lakeopt.errors import DataFileError, first_line

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

    from lakeopt.orc.protobuf import Message
    from lakeopt.orc.tail import Tail

Resolve = Callable[[str], "tuple[fs.FileSystem, str]"]
#: Dates are days and timestamps microseconds since 1970, both UTC.
Value = int | float | str | Decimal
# ColumnStatistics
_VALUES, _INTEGERS, _DOUBLES, _STRINGS, _DECIMALS, _DATES, _TIMESTAMPS = 1, 2, 3, 4, 6, 7, 9


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What a footer says of one top-level column. Bounds are None where it does not say, or says NaN."""

    value_count: int
    null_count: int
    lower: Value | None = None
    upper: Value | None = None


@dataclass(frozen=True, slots=True)
class OrcFooter:
    """The footer of one ORC file. ``statistics`` has one item a top-level column, None where there are none.

    ``stripe_rows`` has one item a stripe; ``zones`` are those of the stripes' writers, by which timestamps without a
    zone are stored (None where one says none; of a file that has no such timestamps there are none), ``tail`` is the
    whole of what the file says.
    """

    schema: pa.Schema
    record_count: int
    file_bytes: int
    codec: str
    stripe_rows: tuple[int, ...]
    statistics: tuple[ColumnStatistics | None, ...]
    zones: frozenset[str | None]
    tail: Tail


def read_footer(location: str, resolve: Resolve) -> OrcFooter:
    """Footer of one ORC file.

    :raises DataFileError: the file is missing, or its footer is damaged.
    :raises OSError: the storage does not answer.
    """
    with open_orc(location, resolve) as source:
        return _read(source)


@contextmanager
def open_orc(location: str, resolve: Resolve) -> Iterator[pa.NativeFile]:
    """An open file; what is wrong with it is told with its name.

    :raises DataFileError: the file is missing or damaged.
    :raises OSError: the storage does not answer.
    """
    import pyarrow as pa

    try:
        filesystem, path = resolve(location)
        with filesystem.open_input_file(path) as source:
            yield source
    except FileNotFoundError as error:
        raise DataFileError(f"data file is missing: {location}", hint="restore the file") from error
    except DataFileError as error:
        raise DataFileError(f"data file cannot be read: {location}: {error}", hint=error.hint) from error
    except (pa.ArrowException, ValueError, IndexError) as error:
        raise DataFileError(
            f"data file cannot be read: {location}: {first_line(error)}", hint="the file is damaged or not ORC"
        ) from error


def _read(source: pa.NativeFile) -> OrcFooter:
    from pyarrow import orc

    from lakeopt.orc.tail import ROWS, STATISTICS, STRIPE_ROWS, STRIPES, TYPES, Tail

    tail = Tail.read(source)
    file = orc.ORCFile(source)
    rows = tail.footer.whole(ROWS)
    types, statistics = tail.footer.messages(TYPES), tail.footer.messages(STATISTICS)
    columns = types[0].wholes(2) if types else []
    found = [_statistics(statistics[number], rows) if number < len(statistics) else None for number in columns]
    return OrcFooter(
        schema=file.schema,
        record_count=rows,
        file_bytes=tail.file_bytes,
        codec=tail.codec,
        stripe_rows=tuple(stripe.whole(STRIPE_ROWS) for stripe in tail.footer.messages(STRIPES)),
        statistics=tuple(found),
        zones=tail.zones(source),
        tail=tail,
    )


def _statistics(held: Message, rows: int) -> ColumnStatistics:
    values = held.whole(_VALUES)
    lower, upper = _bounds(held)
    if any(isinstance(bound, float) and math.isnan(bound) for bound in (lower, upper)):
        lower = upper = None
    return ColumnStatistics(rows, rows - values, lower, upper)


def _bounds(held: Message) -> tuple[Value | None, Value | None]:
    for number in (_INTEGERS, _DATES):
        if part := held.message(number):
            return part.signed(1), part.signed(2)
    if part := held.message(_DOUBLES):
        return part.double(1), part.double(2)
    if part := held.message(_STRINGS):
        exact = part.text(1), part.text(2)
        return exact[0] if exact[0] is not None else part.text(4), exact[1] if exact[1] is not None else part.text(5)
    if part := held.message(_DECIMALS):
        texts = part.text(1), part.text(2)
        return tuple(Decimal(text) if text else None for text in texts)  # type: ignore[return-value]
    if part := held.message(_TIMESTAMPS):
        # In milliseconds, cut towards 1970; older writers give them in a zone of their own only, which is of no use.
        first, last = part.signed(3), part.signed(4)
        return (None if first is None else first * 1000 - 999), (None if last is None else last * 1000 + 999)
    return None, None
