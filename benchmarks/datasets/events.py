"""An event log of 12 columns: Zipf-skewed event names, devices that determine other columns, nearly in time order.

Assumed, not measured from a real log: exponent 1.1 over 400 event names, 200,000 devices with exponent 1.05,
half the rows carry a free attribute, times arrive within ten minutes of order. Seeded: the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

NAME = "events"
SORT_BY = "event_name,event_time"
FILES = 200
ROWS_PER_SCALE = 20_000_000
NAMES, DEVICES, START = 400, 200_000, 1_767_225_600_000_000


def batches(folder: Path, scale: float, files: int) -> Iterator[pa.Table]:
    """The log in ``files`` consecutive pieces; nothing is kept in ``folder``."""
    rows = round(ROWS_PER_SCALE * scale)
    names = np.array([f"{area}_{index:03d}" for index, area in zip(range(NAMES), _areas(), strict=False)])
    for number in range(files):
        first, last = rows * number // files, rows * (number + 1) // files
        yield _piece(np.random.default_rng([20260101, number]), names, first, last - first)


def _areas() -> Iterator[str]:
    while True:
        yield from ("home_page_exposure", "item_click", "search", "cart_add", "video_play", "heartbeat")


def _zipf(random: np.random.Generator, values: int, exponent: float, rows: int) -> np.ndarray:
    weights = 1 / np.arange(1, values + 1) ** exponent
    return np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(rows)).clip(0, values - 1)


def _piece(random: np.random.Generator, names: np.ndarray, first: int, rows: int) -> pa.Table:
    """Rows of one file. Country, model, system and version follow from the device."""
    device = _zipf(random, DEVICES, 1.05, rows)
    event = _zipf(random, NAMES, 1.1, rows)
    time = START + (np.arange(first, first + rows) * 4_000) + random.integers(0, 600_000_000, rows)
    country = np.array(["CN", "US", "IN", "BR", "ID", "JP", "DE", "MX", "FR", "GB"])
    model = np.array([f"model-{index:03d}" for index in range(300)])
    version = np.array([f"{index // 20 + 5}.{index % 20}.0" for index in range(60)])
    free = pa.array(random.integers(0, 10**9, rows)).cast(pa.string())
    return pa.table(
        {
            "event_time": pa.array(time, pa.timestamp("us", tz="UTC")),
            "event_name": names[event],
            "device_id": pa.array(np.char.add("device-", np.char.zfill(device.astype(str), 10))),
            "user_id": pa.array((device * 2_654_435_761) % 10_000_019),
            "country": country[device % 10],
            "device_model": model[device % 300],
            "os": np.where(device % 3 == 0, "ios", "android"),
            "app_version": version[device % 60],
            "session_id": pa.array((device * 1_000 + first // 100_000) % (2**40)),
            "duration_ms": pa.array(random.gamma(2.0, 400.0, rows).astype(np.int32)),
            "value": pa.array(np.round(random.exponential(10.0, rows), 2)),
            "attribute": pa.compute.if_else(pa.array(random.random(rows) < 0.5), free, pa.scalar(None, pa.string())),
        }
    )
