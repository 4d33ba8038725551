"""A generated event log of 24 columns, in the order in which events arrive; the same for the same number of pieces.

What is assumed, and not measured from any real log:

- 400 names of events follow Zipf's law with exponent 1.1: the largest makes a fifth of the rows, more than two
  hundred have less than 0.1 % each. The page, and whether an event has an item, follow from the name.
- Events come in sessions of 16 rows on average, which lie within some ten thousand rows of each other. 200,000 devices
  have sessions by Zipf's law with exponent 0.9.
- Model, system and its version, language, country, city, channel and user follow from the device. The version of the
  app follows from the device and the time: each is rolled out while the log goes on. The network follows from the
  device in four of five sessions.
- Events happen some seconds before they arrive (exponential, mean 15 s), one in fifty up to ten minutes before. Phones
  count milliseconds, the server microseconds; 4 ms lie between two arrivals.
- Ids of events are random, so no order makes them smaller; half the rows carry free text of nine digits that nothing
  else tells; one in 200 an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PLACE = 5
TITLE = "generated event log"
SOURCE = "generated here from a fixed seed, 5 M rows (quick: 0.5 M)"
LICENCE = "that of lakeopt"
COLUMNS = ("event_name", "device_id", "country")
QUERIES = """
-- name: one event
-- weight: 3
SELECT country, count(*) AS events, sum(value) AS value FROM t WHERE event_name = 'search_200' GROUP BY ALL ORDER BY 1;
-- name: one device
SELECT event_name, count(*) AS events, max(duration_ms) AS longest FROM t
WHERE device_id = 'device-0000000500' GROUP BY ALL ORDER BY ALL;
-- name: an event in a country
SELECT app_version, count(*) AS events FROM t WHERE event_name = 'item_click_001' AND country = 'JP'
GROUP BY ALL ORDER BY ALL;
"""

NAME = "events"
SORT_BY = "event_name,event_time"
FILES = 200
ROWS_PER_SCALE = 20_000_000
SUITE_SCALE, SUITE_PIECES = 0.25, 20
NAMES, DEVICES, START = 400, 200_000, 1_767_225_600_000_000
SESSION_ROWS, SESSION_SPREAD, ROW_MICROSECONDS = 16, 5_000, 4_000

_AREAS = ("home_page_exposure", "item_click", "search", "cart_add", "video_play", "heartbeat")
_COUNTRIES = ("CN", "US", "IN", "BR", "ID", "JP", "DE", "MX", "FR", "GB")
_LANGUAGES = ("zh", "en", "hi", "pt", "id", "ja", "de", "es", "fr", "en")
_CHANNELS = ("store", "preload", "link", "campaign", "friend")
_NETWORKS = ("wifi", "5g", "4g", "3g", "none")

Array = np.ndarray


def rows(folder: Path, quick: bool) -> pa.Table:
    scale = SUITE_SCALE / 10 if quick else SUITE_SCALE
    return pa.concat_tables(batches(folder, scale, SUITE_PIECES)).combine_chunks()


def batches(folder: Path, scale: float, files: int) -> Iterator[pa.Table]:
    """The log in ``files`` consecutive pieces; nothing is kept in ``folder``."""
    count = round(ROWS_PER_SCALE * scale)
    for number in range(files):
        first, last = count * number // files, count * (number + 1) // files
        yield _piece(np.random.default_rng([20260101, number]), first, last - first, count)


def _piece(random: np.random.Generator, first: int, count: int, of: int) -> pa.Table:
    """Rows of one piece of a log of ``of`` rows."""
    at = np.arange(first, first + count)
    arrived = START + at * ROW_MICROSECONDS + random.integers(0, ROW_MICROSECONDS, count)
    near = np.abs(np.arange(count) + random.normal(0, SESSION_SPREAD, count))
    near = np.abs(count - np.abs(count - near))
    sessions = max(count // SESSION_ROWS, 1)
    session = (near * sessions / max(count, 1)).astype(np.int64).clip(0, sessions - 1)
    device = _zipf(random, DEVICES, 0.9, sessions)[session]
    event = _zipf(random, NAMES, 1.1, count)
    return pa.table(
        {
            "event_id": _hex(random, count),
            "event_time": _instant((arrived - _late(random, count)) // 1_000 * 1_000),
            "received_at": _instant(arrived),
            "event_name": _pick(event, _names()),
            **_of_device(device),
            "session_id": pa.array(_mixed(session + first * 31 + 7, 3) >> 24),
            "sequence": pa.array(_places(session)),
            "app_version": _pick(_mixed(device, 4) % 12 + at * 24 // max(of, 1), _versions()),
            "network": _pick(_networks(device, session + first), _NETWORKS),
            **_of_event(random, event),
        }
    )


def _of_device(device: Array) -> dict[str, pa.Array]:
    """Columns that the device determines."""
    place, model = _mixed(device, 1) % 10, _mixed(device, 2) % 300
    return {
        "device_id": _pick(device, _devices()),
        "user_id": pa.array((device * 2_654_435_761) % 10_000_019),
        "country": _pick(place, _COUNTRIES),
        "city": _pick(place * 30 + _mixed(device, 7) % 30, [f"{c}-{n:02d}" for c in _COUNTRIES for n in range(30)]),
        "language": _pick(place, _LANGUAGES),
        "device_model": _pick(model, [f"model-{index:03d}" for index in range(300)]),
        "os": _pick((model % 3 == 0).astype(np.int64), ("android", "ios")),
        "os_version": _pick(model % 36, [f"{8 + index // 3}.{index % 3}" for index in range(36)]),
        "channel": _pick(_mixed(device, 8) % 5, _CHANNELS),
        "experiment": _pick(_mixed(device, 9) % 24, [f"exp-{index // 2:02d}:{'ab'[index % 2]}" for index in range(24)]),
    }


def _of_event(random: np.random.Generator, event: Array) -> dict[str, pa.Array]:
    """What the event carries; page and item go with its name."""
    count = len(event)
    item = _mixed(_zipf(random, 50_000, 1.0, count), 10) % 100_000_000
    text = pa.array(random.integers(10**8, 10**9, count)).cast(pa.string())
    code = random.choice(np.array([400, 403, 404, 500, 503], np.int32), count)
    return {
        "page": _pick(_mixed(event, 11) % 60, [f"/page/{index:02d}" for index in range(60)]),
        "item_id": pa.array(item, mask=~np.isin(event % len(_AREAS), (1, 3))),
        "duration_ms": pa.array(random.gamma(2.0, 400.0, count).astype(np.int32)),
        "value": pa.array(np.round(random.exponential(10.0, count), 2)),
        "attribute": pc.if_else(pa.array(random.random(count) < 0.5), text, pa.scalar(None, pa.string())),
        "error_code": pa.array(code, mask=random.random(count) >= 0.005),
    }


def _zipf(random: np.random.Generator, values: int, exponent: float, count: int) -> Array:
    """Ranks from 0, of which rank r comes in proportion to (r + 1) ** -exponent."""
    steps = np.cumsum(np.arange(1, values + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(steps / steps[-1], random.random(count), side="right").clip(max=values - 1)


def _mixed(values: Array, salt: int) -> Array:
    """Numbers from 0 that look random and follow from the values (splitmix64)."""
    mixed = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(1)).astype(np.int64)


def _late(random: np.random.Generator, count: int) -> Array:
    """Microseconds between an event and its arrival."""
    late = random.exponential(15_000_000, count)
    return np.where(random.random(count) < 0.02, random.random(count) * 600_000_000, late).astype(np.int64)


def _places(session: Array) -> Array:
    """The place of each row among those of its session."""
    order = np.argsort(session, kind="stable")
    ordered = session[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    places = np.empty(len(session), np.int32)
    places[order] = np.arange(len(session)) - np.repeat(starts, np.diff(np.r_[starts, len(session)]))
    return places


def _hex(random: np.random.Generator, count: int) -> pa.Array:
    """16 random hexadecimal digits a row."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    drawn = np.frombuffer(random.bytes(8 * count), np.uint8)
    text = np.stack([digits[drawn >> 4], digits[drawn & 15]], axis=1)
    ends = np.arange(0, 16 * count + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text.tobytes()))


def _instant(microseconds: Array) -> pa.Array:
    return pa.array(microseconds, pa.timestamp("us", tz="UTC"))


def _networks(device: Array, session: Array) -> Array:
    return np.where(_mixed(session, 5) % 5 > 0, _mixed(device, 6) % 3, session % 5)


def _pick(index: Array, values: tuple[str, ...] | list[str] | pa.Array) -> pa.Array:
    return pa.array(values).take(pa.array(index)) if not isinstance(values, pa.Array) else values.take(pa.array(index))


@cache
def _names() -> pa.Array:
    return pa.array([f"{_AREAS[index % len(_AREAS)]}_{index:03d}" for index in range(NAMES)])


@cache
def _devices() -> pa.Array:
    return pa.array([f"device-{index:010d}" for index in range(DEVICES)])


@cache
def _versions() -> pa.Array:
    return pa.array([f"{index // 20 + 5}.{index % 20}.0" for index in range(60)])
