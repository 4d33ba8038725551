"""Metadata views of a table that keeps no snapshots: the columns of Iceberg's, without rows."""

from __future__ import annotations

import pyarrow as pa

from lakeopt.errors import UnknownName
from lakeopt.tables.iceberg.metadata.views import SCHEMAS


def empty(name: str) -> pa.Table:
    """The view of that name, which has no rows.

    :raises UnknownName: no such view.
    """
    if name not in SCHEMAS:
        raise UnknownName("view", name, SCHEMAS)
    return SCHEMAS[name].empty_table()
