"""Switch a partition without a metastore: its folder and the new one take each other's name in one system call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pyarrow import fs

from lakeopt.errors import CommitConflict, Refused
from lakeopt.tables.base import Table
from lakeopt.tables.hive.listing import OWN_FOLDER
from lakeopt.tables.hive.switch.exchange import exchange, why_no_exchange
from lakeopt.tables.hive.switch.metastore_switch import Change
from lakeopt.tables.shield import shielded


class DirectorySwitch:
    """Switches of the partitions of a folder."""

    def __init__(self, table: Table, *, partitioned: bool) -> None:
        self.table = table
        self.partitioned = partitioned

    def why_not(self) -> str | None:
        """Why no two directories can be exchanged here; None if they can."""
        filesystem, root = self.table.resolve(self.table.location)
        if not isinstance(filesystem, fs.LocalFileSystem):
            return "directories can be exchanged on local file systems alone"
        if not self.partitioned:
            return "it has no partitions, and a folder cannot be exchanged with one inside it"
        try:
            return why_no_exchange(str(Path(root, OWN_FOLDER)))
        except OSError as error:
            return f"nothing can be written below {self.table.location}: {error.strerror}"

    def left(self, was: str, folder: str) -> str:
        """Where the old files lie after a switch from ``was`` to ``folder``: where the new ones were made."""
        return folder

    def move(self, change: Change, was: str, verify: Callable[[], None]) -> None:
        """Exchange the folders. ``verify`` is called directly before.

        :raises CommitConflict: it, or its files, are not as planned any more; definite.
        :raises Refused: the system does not exchange them.
        """
        (_, left), (_, right) = self.table.resolve(was), self.table.resolve(change.location)
        with shielded() as shield:
            verify()
            if os.path.islink(left.rstrip("/")):
                raise Refused(f"the partition's folder is a link: {was}", hint="rewrite it by the place it leads to")
            try:
                exchange(left.rstrip("/"), right.rstrip("/"))
            except FileNotFoundError as error:
                raise CommitConflict(f"the partition's folder is gone: {was}", hint="make a new plan") from error
            except OSError as error:
                raise Refused(f"the folders cannot be exchanged: {error.strerror}: {was}") from error
            shield.later = True
