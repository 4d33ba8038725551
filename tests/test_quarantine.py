"""The quarantine keeps what is needed to bring each file back, deletes after the grace, and never over another file."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lake import Lake, flights
from orphans import age, files, folder, plant
from pyarrow import fs

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import Refused, UnknownName, UsageError
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.deletion.folder import table_folder
from lakeopt.tables.open import open_table
from lakeopt.workflows import file_moves, quarantine
from lakeopt.workflows.file_moves import Changed, Spot, put_back, set_aside
from lakeopt.workflows.remove_orphan_files import find_orphan_files

NAME = "lake.db.flights"
DAY = 86_400.0
LOCAL = fs.LocalFileSystem()


def spot(path: Path) -> Spot:
    return Spot(LOCAL, str(path))


def state(path: Path) -> tuple[int, int]:
    found = spot(path).state()
    assert found is not None
    return found


@pytest.fixture(params=["rename", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Within one file system, and as between two: the system then answers that it cannot rename or link."""
    if request.param == "copy":
        real = os.rename

        def rename(source: str, target: str) -> None:
            if not source.endswith(".part"):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            real(source, target)

        def link(source: str, target: str, *, follow_symlinks: bool = True) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(file_moves.os, "rename", rename)
        monkeypatch.setattr(file_moves.os, "link", link)
    return str(request.param)


def test_a_file_goes_and_comes_back_as_it_was(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "a b" / "ü.parquet", tmp_path / "q" / "1"
    source.parent.mkdir()
    source.write_bytes(os.urandom(3_000_000))
    age(source)
    before, content = state(source), source.read_bytes()
    set_aside(spot(source), spot(target), *before)
    assert not source.exists()
    assert (state(target), target.read_bytes()) == (before, content)
    put_back(spot(target), spot(source))
    assert (state(source), source.read_bytes()) == (before, content)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [source]


def test_a_file_that_is_another_now_does_not_move(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "a", tmp_path / "q" / "1"
    source.write_bytes(b"old")
    size, modified = state(source)
    for changed in [(size + 1, modified), (size, modified + 1)]:
        with pytest.raises(Changed):
            set_aside(spot(source), spot(target), *changed)
    with pytest.raises(Changed):
        set_aside(spot(tmp_path / "gone"), spot(target), size, modified)
    assert source.exists()
    assert not target.exists()


def test_nothing_comes_back_over_another_file(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "q", tmp_path / "a"
    source.write_bytes(b"ours")
    target.write_bytes(b"theirs")
    with pytest.raises(Changed):
        put_back(spot(source), spot(target))
    assert (source.read_bytes(), target.read_bytes()) == (b"ours", b"theirs")
    target.unlink()
    target.mkdir()
    with pytest.raises(Changed):
        put_back(spot(source), spot(target))
    assert source.exists()


def test_a_move_that_was_cut_between_copy_and_delete_ends_with_one_file(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "q", tmp_path / "a"
    source.write_bytes(b"same")
    target.write_bytes(b"same")
    put_back(spot(source), spot(target))
    assert not source.exists()
    assert target.read_bytes() == b"same"


def test_a_full_disk_leaves_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying to ``/dev/full`` is what a full disk answers; the half copy is not taken for the file."""
    source = tmp_path / "a"
    source.write_bytes(os.urandom(100_000))
    real = os.rename

    def across(one: str, other: str) -> None:
        if one == str(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(one, other)

    monkeypatch.setattr(file_moves.os, "rename", across)
    target = tmp_path / "q"
    (tmp_path / "q.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        set_aside(spot(source), spot(target), *state(source))
    assert source.exists()
    assert not target.exists()


def one_chunk(lake: Lake) -> tuple[Path, quarantine.Chunk, str]:
    table = lake.flights(days=1)
    path = plant(table, "data/dead.parquet", b"dead")
    plan = lakeopt.remove_orphan_files(NAME).plan_id
    (chunk,) = quarantine.chunks(open_table(NAME), load_settings())
    return path, chunk, plan


def test_grace_is_counted_from_the_manifest(lake: Lake) -> None:
    _, chunk, _ = one_chunk(lake)
    table, settings, now = open_table(NAME), load_settings(), datetime.now(UTC)
    assert list(quarantine.expired(table, settings, DAY, now)) == []
    assert list(quarantine.expired(table, settings, DAY, now + timedelta(days=1, minutes=1))) == [chunk]


def test_deleting_ends_it_and_may_be_repeated(lake: Lake) -> None:
    path, chunk, plan = one_chunk(lake)
    table = open_table(NAME)
    done = quarantine.delete(table, chunk, set())
    assert (done.paths, done.bytes, done.failed) == (["data/dead.parquet"], 4, [])
    assert quarantine.delete(table, chunk, set()).paths == []
    assert list(quarantine.chunks(table, load_settings())) == []
    assert not path.exists()
    assert lakeopt.restore(NAME, plan).restored_files_count == 0


def test_what_the_table_came_to_need_is_brought_back_not_deleted(lake: Lake) -> None:
    path, chunk, _ = one_chunk(lake)
    done = quarantine.delete(open_table(NAME), chunk, {"data/dead.parquet"})
    assert [(one.path, one.reason) for one in done.kept] == [("data/dead.parquet", quarantine.NEEDED)]
    assert (done.paths, path.read_bytes()) == ([], b"dead")


def test_a_file_that_is_nowhere_is_said_to_be_lost(lake: Lake) -> None:
    _, chunk, plan = one_chunk(lake)
    stored = Path(chunk.name.removeprefix("file://")).parent / chunk.files[0].stored
    stored.unlink()
    back = lakeopt.restore(NAME, plan)
    assert [(one.path, one.error) for one in back.failed] == [("data/dead.parquet", quarantine.LOST)]


def test_what_a_killed_run_only_announced_is_the_next_ones(lake: Lake) -> None:
    """Its manifest names files that it never moved; the next run moves them, and both plans can be undone."""
    table = lake.flights(days=1)
    plant(table, "data/dead.parquet", b"dead")
    before = files(folder(table))
    opened, settings = open_table(NAME), load_settings()

    first = find_orphan_files(NAME)
    place = table_folder(opened)
    gone = [file.__class__(file.path, file.bytes + 1, file.modified_at, file.reason) for file in first.orphans]
    _, moved = quarantine.move_in(opened, settings, place, first.plan_id, "00000000", 1, gone)
    assert moved.paths == []
    second = lakeopt.remove_orphan_files(NAME)
    assert second.quarantined_files_count == 1
    back = lakeopt.restore(NAME, first.plan_id)
    assert (back.failed, [one.path for one in back.kept]) == ((), ["data/dead.parquet"])
    assert second.plan_id in back.kept[0].reason
    assert lakeopt.restore(NAME, second.plan_id).restored_files_count == 1
    assert files(folder(table)) == before


def test_a_sweep_deletes_what_lay_in_the_quarantine_for_the_grace(lake: Lake) -> None:
    path, chunk, plan = one_chunk(lake)
    assert lakeopt.sweep(NAME).deleted_files_count == 0
    age(Path(chunk.name.removeprefix("file://")), days=2)
    result = lakeopt.sweep(NAME)
    assert (result.deleted_files_count, result.bytes, result.failed) == (1, 4, ())
    assert not path.exists()
    assert lakeopt.restore(NAME, plan).restored_files_count == 0


def test_a_rewrite_is_undone_by_the_same_command(lake: Lake) -> None:
    table = lake.flights(days=3)
    before = table.metadata.current_snapshot_id
    result = lakeopt.rewrite(NAME, strategy="sort", sort_by=[SortField("dest")])
    assert lake.load("db.flights").metadata.current_snapshot_id != before
    back = lakeopt.restore(NAME, result.plan_id)
    assert (back.undone_kind, back.branch, back.snapshot_id) == ("rewrite_plan", "main", str(before))
    assert lake.load("db.flights").metadata.current_snapshot_id == before


def test_plans_that_cannot_be_undone(lake: Lake) -> None:
    table = lake.flights(days=2)
    with pytest.raises(UnknownName, match="no plan"):
        lakeopt.restore(NAME, "20200101T000000-00000000")
    for name in ("..", "a/b", "", "*"):
        with pytest.raises(UsageError, match="no plan id"):
            lakeopt.restore(NAME, name)
    lake.append(table, flights(5, 10))
    expired = lakeopt.expire_snapshots(NAME, older_than="1ms", retain_last=1)
    assert expired.expired_snapshots_count > 0
    with pytest.raises(Refused, match="nothing to bring back"):
        lakeopt.restore(NAME, expired.plan_id)


def test_a_copy_that_was_killed_is_made_anew(tmp_path: Path) -> None:
    """Its half is found under the name that the next run gives it, also where it is the file by a second name."""
    source, target = (Spot(fs.LocalFileSystem(), str(tmp_path / name)) for name in ("kept", "place"))
    part = Path(file_moves._part(source, target).path)
    Path(source.path).write_bytes(b"whole")
    part.write_bytes(b"wh")
    put_back(source, target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"place": b"whole"}
    Path(source.path).write_bytes(b"whole")
    part.hardlink_to(target.path)
    put_back(source, target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"place": b"whole"}
