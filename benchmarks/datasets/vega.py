"""Three million flights in the USA in the first half of 2001: date, delay, distance, origin, destination."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.datasets.base import UnavailableError, plain

PLACE = 2
TITLE = "vega flights-3m"
SOURCE = "npm package vega-datasets 3.2.1, flights-3m.parquet; from the US Bureau of Transportation Statistics"
LICENCE = "public domain (US government work); the package is BSD-3-Clause"
PACKAGE = "vega-datasets@3.2.1"
QUICK_ROWS = 300_000
COLUMNS = ("origin", "destination", "date")
QUERIES = """
-- name: one origin
-- weight: 3
SELECT destination, count(*) AS flights, avg(delay) AS delay FROM t WHERE origin = 'SEA' GROUP BY ALL ORDER BY ALL;
-- name: one route
SELECT count(*) AS flights, max(delay) AS latest FROM t WHERE origin = 'ORD' AND destination = 'LGA';
-- name: two days
SELECT origin, count(*) AS flights, min(distance) AS distance FROM t
WHERE date >= TIMESTAMP '2001-01-10' AND date < TIMESTAMP '2001-01-12' GROUP BY ALL ORDER BY ALL;
"""


def rows(folder: Path, quick: bool) -> pa.Table:
    path = folder / "flights-3m.parquet"
    if not path.exists():
        _fetch(folder, path)
    table = pq.read_table(path)
    return plain(table.slice(0, QUICK_ROWS) if quick else table)


def _fetch(folder: Path, path: Path) -> None:
    command = ["npm", "pack", "--silent", PACKAGE]
    try:
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UnavailableError("npm is not on this machine") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"npm did not fetch {PACKAGE}") from error
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        member = archive.extractfile("package/data/flights-3m.parquet")
        assert member is not None
        path.write_bytes(member.read())
