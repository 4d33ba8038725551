"""Adopt what other writers left in folders that switches of ours have left: files that nobody would read any more."""

from __future__ import annotations

import warnings

from lakeopt.config import Settings
from lakeopt.errors import Notice, WorkFailed, first_line
from lakeopt.tables.base import Table
from lakeopt.workflows.file_moves import Changed, Spot, put_back
from lakeopt.workflows.marks import marked


def adopt_late(table: Table, settings: Settings) -> dict[str, str]:
    """Move files that came late to where they are read, never over another one; from where to where they went.

    Folders that were left are known by the marks of what lies in them. A table that keeps snapshots has none.

    :raises WorkFailed: a file cannot be moved.
    :raises Unreachable: the state directory, the metastore or the storage does not answer.
    """
    from lakeopt.tables.committer import upkeep

    if table.keeps_snapshots:
        return {}
    folders = {file.path.rpartition("/")[0] for some in marked(table, settings) for file in some.files}
    moves = upkeep(table).late(table, folders) if folders else {}
    for source, target in moves.items():
        try:
            put_back(Spot(*table.resolve(source)), Spot(*table.resolve(target)))
        except (Changed, OSError) as error:
            why = "another file has its name" if isinstance(error, Changed) else first_line(error)
            raise WorkFailed(
                f"a file that came late cannot be adopted: {source}: {why}", hint=f"move it to {target} by hand"
            ) from error
    if moves:
        told = f"{len(moves)} files that had come late to old folders were adopted: {next(iter(moves.values()))} …"
        warnings.warn(Notice(told), stacklevel=2)
    return moves
