"""The committers that a plan may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeopt.errors import UnknownName

if TYPE_CHECKING:
    from lakeopt.tables.base import Committer


def committer(name: str) -> Committer:
    """The committer of that name.

    :raises UnknownName: no committer has it.
    """
    from lakeopt.tables.iceberg.commits.replace_commit import ReplaceCommitter

    known = {ReplaceCommitter.name: ReplaceCommitter}
    if name not in known:
        raise UnknownName("committer", name, known)
    return known[name]()
