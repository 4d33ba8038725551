"""INT96, the timestamp of Hive, Impala and old Spark: nanoseconds of the day, then the Julian day, little-endian."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

WIDTH = 12
_DAY_MICROS = 86_400_000_000
_EPOCH_DAY = 2_440_588
_RAW = np.dtype([("nanos", "<i8"), ("day", "<u4")])


def encoded(values: pa.Array) -> pa.Array:
    """Timestamps of microseconds as the twelve bytes of an INT96, nanoseconds never negative.

    pyarrow writes negative ones for times before 1970, which not every reader takes.

    >>> encoded(pa.array([-1], pa.timestamp("us")))[0].as_py().hex()
    '18fc4e91944e00008b3d2500'
    """
    micros = (
        values.cast(pa.timestamp("us", values.type.tz)).view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    )
    raw = np.empty(len(micros), _RAW)
    days = np.floor_divide(micros, _DAY_MICROS)
    raw["nanos"] = (micros - days * _DAY_MICROS) * 1000
    raw["day"] = (days + _EPOCH_DAY).astype(np.uint32)
    validity = None
    if values.null_count:
        validity = values.is_valid().buffers()[1]
    return pa.Array.from_buffers(pa.binary(WIDTH), len(values), [validity, pa.py_buffer(raw)])


def has_nanoseconds(raw: pa.Array) -> bool:
    """Whether any of these INT96 (as twelve bytes) says more than whole microseconds.

    >>> has_nanoseconds(pa.array([bytes([1] + [0] * 11)], pa.binary(12)))
    True
    """
    valid = raw.drop_null()
    if not len(valid):
        return False
    start = valid.offset * WIDTH
    held = np.frombuffer(valid.buffers()[1], np.uint8)[start : start + len(valid) * WIDTH]
    return bool((held.view(_RAW)["nanos"] % 1000 != 0).any())
