"""Whole tables in memory that layouts are searched for: the data sets of the suite, and two generated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakeopt import registry


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


#: Data sets of the suite, whole, and two tables of other kinds that no constant was chosen by.
TABLES: Mapping[str, Callable[[Path], pa.Table]] = {
    name: partial(registry.load("benchmarks.datasets", name).rows, quick=False)
    for name in ("weather", "flights", "vega", "orders", "lineitem", "events")
} | {"penguins": penguins, "sensors": sensors}
