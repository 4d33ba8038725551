"""A listing has every file once, in bounded parts, whichever way the store is asked; a clock is the store's."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from lakeopt.errors import Unreachable
from lakeopt.tables.iceberg.deletion.listing import SCHEMA, is_one_store, list_files, store_time

LOCAL = fs.LocalFileSystem()
#: The same files by the way that stores are asked.
STORE = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("file")))

part = st.text(st.sampled_from("ab._ ü%"), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
trees = st.dictionaries(st.lists(part, min_size=1, max_size=5).map(tuple), st.binary(max_size=20), max_size=25)


def listed(filesystem: fs.FileSystem, folder: str, batch: int = 3) -> list[dict[str, object]]:
    found = list(list_files(filesystem, folder, batch=batch))
    assert all(0 < table.num_rows <= batch and table.schema == SCHEMA for table in found)
    return sorted((row for table in found for row in table.to_pylist()), key=lambda row: row["path"])


@settings(deadline=None, max_examples=40)
@given(trees)
def test_every_file_is_listed_once_whichever_way_is_asked(tree: dict[tuple[str, ...], bytes]) -> None:
    with TemporaryDirectory() as place:
        root = Path(place)
        for parts, content in tree.items():
            path = root.joinpath(*parts)
            if not any(one.is_file() for one in [path, *path.parents]) and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        wanted = {path.relative_to(root).as_posix(): path.stat() for path in root.rglob("*") if path.is_file()}
        rows = listed(LOCAL, place)
        assert [row["path"] for row in rows] == sorted(wanted)
        assert [row["bytes"] for row in rows] == [wanted[path].st_size for path in sorted(wanted)]
        assert {row["form"] for row in rows} <= {"file"}
        assert [row["path"] for row in listed(STORE, place)] == sorted(wanted)


def test_times_are_kept_to_the_microsecond_and_aware(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    (row,) = listed(LOCAL, str(tmp_path))
    assert str(row["modified"]) == "2023-11-14 22:13:20.123456+00:00"


def test_an_absent_folder_has_no_files_and_a_vanished_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed(LOCAL, str(tmp_path / "absent")) == listed(STORE, str(tmp_path / "absent")) == []
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "gone":
            (tmp_path / "gone" / "file").unlink()
            (tmp_path / "gone").rmdir()
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [row["path"] for row in listed(LOCAL, str(tmp_path))] == ["kept/file"]


def test_markers_of_folders_are_told_from_files(tmp_path: Path) -> None:
    (tmp_path / "data_$folder$").touch()
    assert [row["form"] for row in listed(STORE, str(tmp_path))] == ["marker"]


def test_clock_is_that_of_the_file_system_and_leaves_nothing(tmp_path: Path) -> None:
    before = time.time()
    told = store_time(LOCAL, str(tmp_path / "clock")).timestamp()
    assert before - 1 <= told <= time.time() + 1
    assert list((tmp_path / "clock").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="the store's clock cannot be read"):
        store_time(LOCAL, str(tmp_path / "file" / "clock"))


def test_one_store_has_one_device(tmp_path: Path) -> None:
    assert is_one_store((LOCAL, str(tmp_path)), (LOCAL, str(tmp_path / "not" / "there")))
    assert not is_one_store((LOCAL, str(tmp_path)), (LOCAL, "/proc"))
    assert not is_one_store((LOCAL, str(tmp_path)), (STORE, str(tmp_path)))
