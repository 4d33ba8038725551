"""A disk of its own that can be filled to the last page: a tmpfs, mounted where this user may."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")


class Disk:
    """A file system of some megabytes."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self._ballast = mount / "ballast"

    @contextmanager
    def room_for(self, pages: int) -> Iterator[None]:
        """In the block only so many pages are free."""
        with self._ballast.open("wb") as ballast:
            free = os.statvfs(self.mount).f_bavail
            os.posix_fallocate(ballast.fileno(), 0, (free - pages) * PAGE)
        try:
            yield
        finally:
            self._ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """In the block nothing can be written, whoever asks; no file of it may be open for writing."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.mount)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.mount)], check=True)


@contextmanager
def small_disk(mount: Path) -> Iterator[Disk]:
    """Mount one; the test is skipped where this user may not."""
    mount.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a file system of its own cannot be mounted: {made.stderr.strip()}")
    try:
        yield Disk(mount)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
