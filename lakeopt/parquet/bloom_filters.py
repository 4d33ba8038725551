"""Bloom filters of a row group: which columns can have one, how pyarrow is told, and what one takes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lakeopt.model.scan import WriterOptions

#: Share of absent values that a filter takes for present. Halving it adds about a tenth to a filter's bytes.
FALSE_POSITIVES = 0.01


def can_be_filtered(kind: pa.DataType) -> bool:
    """Whether a lookup of a value by its hash is safe in every reader.

    Not of floats: ``= 0.0`` must find -0.0, which has another hash. Not of decimals: their hash depends on how many
    bytes a writer gave them, which not every reader looks at.

    >>> can_be_filtered(pa.int64()), can_be_filtered(pa.float64())
    (True, False)
    """
    return bool(
        pa.types.is_int32(kind)
        or pa.types.is_int64(kind)
        or pa.types.is_date32(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    )


def bloom_filter_arguments(schema: pa.Schema, options: WriterOptions, row_count: int) -> dict[str, Any] | None:
    """What pyarrow is told, by column; a filter is never sized for more values than its row group has rows.

    Columns that are not there, or cannot have a filter, get none.
    """
    found = {}
    for name, distinct in options.bloom_filters.items():
        kind = schema.field(name).type if name in schema.names else None
        if kind is not None and can_be_filtered(kind.value_type if pa.types.is_dictionary(kind) else kind):
            found[name] = {"ndv": max(1, min(distinct, row_count)), "fpp": FALSE_POSITIVES}
    return found or None
