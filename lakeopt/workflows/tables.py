"""``tables``: what a catalog holds."""

from __future__ import annotations

from lakeopt.config import Settings, load_settings
from lakeopt.model.table import TableList


def tables(namespace: str | None = None, *, settings: Settings | None = None) -> TableList:
    """All tables of a catalog, or of one namespace (``[catalog.][namespace]``) and those below it.

    Counts are those of the current snapshot; rows are records in data files, before deletes. A table that
    cannot be read is listed with the reason.

    :raises UnknownName: no such catalog or namespace.
    :raises Unreachable: the catalog does not answer.
    """
    from lakeopt.tables.open import list_tables, split_namespace

    settings = settings or load_settings()
    catalog, _ = split_namespace(namespace, settings)
    return TableList(catalog=catalog, tables=tuple(list_tables(namespace, settings)))
