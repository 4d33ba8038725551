"""Read the rows of an ORC file with pyarrow alone, stripe by stripe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import orc


def batches(
    source: pa.NativeFile, columns: Sequence[int], batch_rows: int, stripes: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of some stripes (or all) of an open file, in file order: top-level columns by their places, in this order.

    A stripe is decoded whole: pyarrow offers no less. Batches are cut from it without copying. They have no names.

    :raises pyarrow.ArrowInvalid: the file is damaged, or a timestamp lies outside of 1677 to 2262.
    """
    file = orc.ORCFile(source)
    schema = file.schema
    names = [schema.field(place).name for place in columns]
    # pyarrow selects by name, and takes a dot for a step into a struct.
    plain = bool(names) and len(set(schema.names)) == len(schema) and not any("." in name for name in schema.names)
    chosen = sorted(columns)
    places = [chosen.index(place) for place in columns] if plain else list(columns)
    for stripe in range(file.nstripes) if stripes is None else stripes:
        rows = file.read_stripe(stripe, columns=names if plain else None)
        arrays = [rows.column(place) for place in places]
        for start in range(0, rows.num_rows, batch_rows):
            length = min(batch_rows, rows.num_rows - start)
            cut = [array.slice(start, length) for array in arrays]
            yield pa.RecordBatch.from_arrays(cut, names=[""] * len(cut)) if cut else _empty(length)


def _empty(rows: int) -> pa.RecordBatch:
    """A batch of rows without columns."""
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
