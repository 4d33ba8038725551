"""Two directories take each other's name in one system call, and a reader never finds neither of them."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from lakeopt.tables.hive.switch import exchange as exchanging
from lakeopt.tables.hive.switch.exchange import exchange, why_no_exchange

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")


def test_two_directories_take_each_others_name_at_once(tmp_path: Path) -> None:
    left, right = tmp_path / "day=1", tmp_path / ".lakeopt" / "day=1"
    for place, rows in ((left, "old"), (right, "new")):
        place.mkdir(parents=True)
        (place / "rows").write_text(rows)
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((left / "rows").read_text())  # an error would end the reader, and the sets below would tell

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2001):
        exchange(str(left), str(right))
    assert reader.is_alive()
    done.set()
    reader.join()
    assert (left / "rows").read_text() == "new"
    assert (right / "rows").read_text() == "old"
    assert seen <= {"old", "new"}


def test_what_is_not_there_is_not_exchanged(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(str(tmp_path / "here"), str(tmp_path / "gone"))
    (tmp_path / "here" / "inside").mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        exchange(str(tmp_path / "here"), str(tmp_path / "here" / "inside"))


def test_the_probe_leaves_nothing_and_names_a_file_system_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_no_exchange(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(exchanging, "_renameat2", lambda: None)
    assert "exchanges no directories" in str(why_no_exchange(str(tmp_path)))

    def refuses(left: bytes, right: bytes) -> int:
        import ctypes

        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(exchanging, "_renameat2", lambda: refuses)
    assert "its file system exchanges no directories" in str(why_no_exchange(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
