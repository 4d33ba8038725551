"""The warehouse of the demo: a catalog ``demo`` of local files, known to this process for a while."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lakeopt.workflows.demo_data import FLIGHTS_PROPERTIES, by_day
from lakeopt.workflows.event_log import event_log

if TYPE_CHECKING:
    import pyarrow as pa

CATALOG = "demo"
FLIGHTS, EVENTS = ("nyc", "flights"), ("app", "events")
#: pyiceberg measures its target before encoding: at this one a day of the log makes one file.
EVENTS_PROPERTIES = {**FLIGHTS_PROPERTIES, "write.target-file-size-bytes": "16777216"}
#: Branch on which the small files are merged and nothing else, to compare with.
MERGED = "merged"
QUERIES = Path(__file__).with_name("demo_queries.sql")


@contextmanager
def demo_lake(directory: Path | None) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """A new lake in a directory, or in a temporary one that is removed in the end; and the variables that name it.

    While the block runs pyiceberg finds the catalog by these variables. The user's own configuration is not
    touched, and a catalog of theirs with the same name comes back afterwards.

    :raises UsageError: the directory is not empty.
    """
    from lakeopt.tables.iceberg.landing import create_lake, lake_environment

    with tempfile.TemporaryDirectory(prefix="lakeopt-demo-") as scratch:
        folder = (directory or Path(scratch, "lake")).resolve()
        create_lake(folder)
        variables = lake_environment(folder, CATALOG)
        known = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield folder, variables
        finally:
            for name, value in known.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def land_flights(rows: pa.Table, days: int | None = None) -> str:
    """The flights, one append a day, all of them or those of the first ``days``; the name of the table."""
    from lakeopt.tables.iceberg.landing import create_branch, land

    name = land(CATALOG, FLIGHTS, islice(by_day(rows), days), FLIGHTS_PROPERTIES)
    create_branch(CATALOG, FLIGHTS, MERGED)
    return name


def land_events(rows: int, days: int) -> str:
    """The generated event log, one append a day; the name of the table."""
    from lakeopt.tables.iceberg.landing import land

    return land(CATALOG, EVENTS, event_log(rows, days=days), EVENTS_PROPERTIES)
