"""A generated log of app events, for demos and trials: skewed as real logs are, and the same for the same seed.

What is assumed, and not measured from any real log:

- Names of events follow Zipf's law (:data:`NAME_EXPONENT` over :data:`NAMES` names): a few exposures and
  heartbeats make most of the rows.
- Devices follow it more gently (:data:`DEVICE_EXPONENT`); model, system, language, country, city and app
  version follow from the device, user and channel too: columns that another one determines.
- Which attributes an event carries follows from its name; the others are null.
- Events arrive within :data:`LATENESS_SECONDS` of their time, in the order of arrival.
- Event ids are random: no order makes them smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

NAMES, NAME_EXPONENT = 300, 1.2
DEVICE_EXPONENT = 0.8
ROWS_PER_DEVICE = 50
LATENESS_SECONDS = 600
#: 2026-01-01T00:00:00Z in microseconds; each day of the log holds as many rows as the next.
START = 1_767_225_600_000_000
DAY = 86_400_000_000

_AREAS = ("exposure", "heartbeat", "click", "page_view", "video_play", "search", "add_to_cart", "share", "purchase")
_COUNTRIES = ("CN", "US", "IN", "BR", "ID", "JP", "DE", "MX", "FR", "GB", "VN", "TR")
_CHANNELS = ("store", "preload", "link", "campaign", "friend")
_LANGUAGES = ("zh", "en", "hi", "pt", "id", "ja", "de", "es", "fr", "en", "vi", "tr")

Array = np.ndarray[Any, Any]


def event_log(rows: int, *, days: int, seed: int = 20260101) -> Iterator[pa.Table]:
    """The log, one table a day in order of arrival, ``rows`` in all.

    >>> sum(day.num_rows for day in event_log(1_001, days=7))
    1001
    """
    devices = max(rows // ROWS_PER_DEVICE, 1)
    for day in range(days):
        first, last = rows * day // days, rows * (day + 1) // days
        yield _day(np.random.default_rng([seed, day]), START + day * DAY, last - first, devices)


def zipf(random: np.random.Generator, values: int, exponent: float, rows: int) -> Array:
    """Ranks 0 … ``values`` - 1, of which rank r comes in proportion to (r + 1) ** -exponent.

    >>> ranks = zipf(np.random.default_rng(1), 3, 1.0, 60_000)
    >>> [round(float((ranks == rank).mean()) * 11) for rank in range(3)]
    [6, 3, 2]
    """
    steps = np.cumsum(np.arange(1, values + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(steps / steps[-1], random.random(rows), side="right").clip(max=values - 1)


def _day(random: np.random.Generator, start: int, rows: int, devices: int) -> pa.Table:
    import pyarrow as pa

    arrival = start + np.sort(random.integers(0, DAY, rows))
    event = zipf(random, NAMES, NAME_EXPONENT, rows)
    device = zipf(random, devices, DEVICE_EXPONENT, rows)
    columns = {
        "event_id": _hex(random, rows),
        "event_time": pa.array(arrival - random.integers(0, LATENESS_SECONDS * 1_000_000, rows), _instant()),
        "received_at": pa.array(arrival, _instant()),
        "event_name": _pick(event, [f"{_AREAS[rank % len(_AREAS)]}_{rank:03d}" for rank in range(NAMES)]),
        **_of_device(device),
        "session_id": pa.array(_mixed(device * 1_009 + (arrival - start) // (DAY // 12), 3)),
        **_of_event(random, event),
    }
    return pa.table(columns)


def _of_device(device: Array) -> dict[str, Any]:
    """Columns that the device determines."""
    import pyarrow as pa

    draw = _mixed(device, 1)
    place = draw % len(_COUNTRIES)
    model = (draw >> 8) % 240
    return {
        "device_id": pa.array(_mixed(device, 2)),
        "user_id": pa.array(_mixed(device // 2, 4) % 1_000_000_007),
        "device_model": _pick(model, [f"model-{index:03d}" for index in range(240)]),
        "os": _pick((model % 3 == 0).astype(np.int64), ["android", "ios"]),
        "os_version": _pick(model % 24, [f"{8 + index // 3}.{index % 3}" for index in range(24)]),
        "app_version": _pick((draw >> 20) % 40, [f"{5 + index // 10}.{index % 10}.0" for index in range(40)]),
        "country": _pick(place, _COUNTRIES),
        "city": _pick(place * 20 + (draw >> 30) % 20, [f"{c}-{n:02d}" for c in _COUNTRIES for n in range(20)]),
        "language": _pick(place, _LANGUAGES),
        "channel": _pick((draw >> 40) % len(_CHANNELS), _CHANNELS),
    }


def _of_event(random: np.random.Generator, event: Array) -> dict[str, Any]:
    """Columns whose presence the event's name determines."""
    import pyarrow as pa

    rows, area = len(event), event % len(_AREAS)
    item = zipf(random, 20_000, 1.0, rows)
    return {
        "page": _pick(_mixed(event, 5) % 60, [f"/page/{index:02d}" for index in range(60)]),
        "item_id": pa.array(_mixed(item, 6) % 100_000_000, mask=area == 1),
        "duration_ms": pa.array(random.gamma(2.0, 800.0, rows).astype(np.int32), mask=~np.isin(area, (3, 4))),
        "amount": pa.array(np.round(random.lognormal(3.0, 1.0, rows), 2), mask=area != 8),
    }


def _instant() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC")


def _pick(index: Array, words: Any) -> pa.Array:
    """The word at each index."""
    import pyarrow as pa

    return pa.array(words, pa.string()).take(pa.array(index))


def _hex(random: np.random.Generator, rows: int) -> pa.Array:
    """Random words of 16 hex digits, as ids are often kept."""
    import pyarrow as pa

    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[random.integers(0, 16, (rows, 16))]
    return pa.array(np.ascontiguousarray(digits).view("S16").ravel()).cast(pa.string())


def _mixed(values: Array, salt: int) -> Array:
    """A fixed scattering of whole numbers over 0 … 2^48 - 1 (one multiply and shift), the same on every machine."""
    scattered = (values.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    return ((scattered ^ (scattered >> np.uint64(29))) >> np.uint64(16)).astype(np.int64)
