"""Damaged, missing, foreign and unwritable metadata: every command refuses it by name, and nothing is changed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hand_rewrite import rows_of
from lake import Lake, flights
from pyiceberg.table import Table

from lakeopt.cli.app import main

pytestmark = pytest.mark.fault

#: What a user runs.
COMMANDS: dict[str, list[str]] = {
    "plan": ["rewrite", "lake.db.flights", "--strategy", "bin-pack", "--dry-run"],
    "plan a sort": ["rewrite", "lake.db.flights", "--sort-by", "dest", "--dry-run"],
    "rewrite": ["rewrite", "lake.db.flights", "--strategy", "bin-pack", "--yes"],
    "rewrite-manifests": ["rewrite-manifests", "lake.db.flights", "--yes"],
    "expire-snapshots": ["expire-snapshots", "lake.db.flights", "--older-than", "0s", "--retain-last", "1", "--yes"],
    "plan an expiry": ["expire-snapshots", "lake.db.flights", "--older-than", "0s", "--retain-last", "1", "--dry-run"],
    "sweep": ["sweep", "lake.db.flights", "--grace", "0s", "--no-concurrent-writers", "--yes"],
    "remove-orphan-files": [
        *("remove-orphan-files", "lake.db.flights", "--older-than", "0s", "--no-concurrent-writers", "--yes")
    ],
}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
    "cut in its header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(path.stat().st_size)),
}


def local(location: str) -> Path:
    return Path(location.removeprefix("file://"))


@pytest.fixture
def table(lake: Lake) -> Table:
    """Files of three days, snapshots that can be expired, files that are marked, and a file that nothing reaches."""
    made = lake.flights(days=3, rows_per_day=50)
    assert main(["rewrite", "lake.db.flights", "--strategy", "bin-pack", "--yes", "--quiet"]) == 0
    assert main([*COMMANDS["expire-snapshots"], "--quiet"]) == 0
    for day in range(3, 6):
        made = lake.append(made, flights(day, 50))
    made.delete("carrier == 'UA'")  # the snapshots before it alone name files: manifests must be read to tell which
    made = lake.append(made, flights(6, 50))
    (local(made.location()) / "data" / "orphan.parquet").write_bytes(b"nobody's")
    return made


def everything(lake: Lake) -> dict[Path, int]:
    """All files of the warehouse but lakeopt's own."""
    files = (path for path in lake.warehouse.rglob("*") if path.is_file() and "_lakeopt" not in path.parts)
    return {path: path.stat().st_size for path in files}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["manifest", "manifest list"])
def test_damage_is_named_and_nothing_is_changed(
    lake: Lake, table: Table, what: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head = table.current_snapshot()
    path = local(head.manifest_list if what == "manifest list" else head.manifests(table.io)[0].manifest_path)
    whole = path.read_bytes()
    rows = rows_of(table)
    DAMAGES[damage](path)
    before, location = everything(lake), lake.load("db.flights").metadata_location
    for name, words in COMMANDS.items():
        assert_named(words, path, capsys)
        assert everything(lake) == before, name
        assert lake.load("db.flights").metadata_location == location, name
    path.write_bytes(whole)
    for name, words in COMMANDS.items():
        assert main([*words, "--quiet"]) == 0, name
    assert rows_of(lake.load("db.flights")) == rows


def assert_named(words: list[str], path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = main(words)
    said = capsys.readouterr().err
    assert (code, path.name in said) == (1, True), (words, said)


@pytest.mark.parametrize(
    ("properties", "commands", "said"),
    [
        ({"encryption.key-id": "k"}, ["plan", "rewrite", "rewrite-manifests", "remove-orphan-files"], "encrypted"),
        ({"gc.enabled": "false"}, ["expire-snapshots", "sweep", "remove-orphan-files"], "gc.enabled"),
    ],
)
def test_what_the_table_forbids_is_refused(
    lake: Lake,
    table: Table,
    properties: dict[str, str],
    commands: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table.transaction().set_properties(**properties).commit_transaction()
    before = everything(lake)
    for name in commands:
        capsys.readouterr()
        assert main(COMMANDS[name]) == 2, name
        assert said in capsys.readouterr().err, name
        assert everything(lake) == before, name


def test_an_unknown_format_version_is_refused(lake: Lake, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    path = local(table.metadata_location)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format-version": 9}))
    before = everything(lake)
    for name, words in COMMANDS.items():
        capsys.readouterr()
        assert main(words) == 1, name
        assert path.name in capsys.readouterr().err, name
        assert everything(lake) == before, name


#: Bytes that a file may have: below a manifest, a metadata file, a data file, the catalog.
LIMITS = (0, 600, 1_500, 2_500, 4_500, 6_000, 12_000, 30_000) if os.environ.get("LAKEOPT_SOAK") else (0, 2_500, 6_000)

#: Runs a command under a limit: no file may grow beyond so many bytes, or modes of files count for root too.
CHILD = """
import ctypes, os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.geteuid() == 0:
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, rights) == 0
from lakeopt.cli.app import main
sys.exit(main(sys.argv[2:]))
"""


def run(limit: int, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(limit), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def unwritable(table: Table) -> Iterator[Path]:
    folder = local(table.location()) / "metadata"
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_metadata_folder_that_may_not_be_written(lake: Lake, table: Table, unwritable: Path) -> None:
    before, rows = everything(lake), rows_of(table)
    for name in ("rewrite", "rewrite-manifests", "expire-snapshots"):
        done = run(-1, COMMANDS[name])
        assert done.returncode in (2, 3), (name, done.stderr)
        assert "internal error" not in done.stderr, name
        assert everything(lake) == before, name
    assert rows_of(lake.load("db.flights")) == rows


def test_a_data_folder_that_may_not_be_written(lake: Lake, table: Table) -> None:
    """What cannot be deleted or moved is named and stays, with its mark: the next run ends it."""
    assert main([*COMMANDS["expire-snapshots"], "--quiet"]) == 0  # what the delete replaced is dead
    before, rows, folder = everything(lake), rows_of(table), local(table.location()) / "data"
    folder.chmod(0o555)
    try:
        for name in ("sweep", "remove-orphan-files"):
            done = run(-1, COMMANDS[name])
            assert done.returncode == 1, (name, done.stderr)
            assert "Permission denied" in done.stdout + done.stderr, name
            assert {path for path in before if folder in path.parents} <= everything(lake).keys(), name
    finally:
        folder.chmod(0o755)
    for name in ("sweep", "remove-orphan-files", "sweep"):
        assert main([*COMMANDS[name], "--quiet"]) == 0, name
    assert len(everything(lake)) < len(before)
    assert not (folder / "orphan.parquet").exists()
    assert not list((lake.warehouse / "_lakeopt").rglob("quarantine/*/*/*"))
    assert rows_of(lake.load("db.flights")) == rows


@pytest.mark.parametrize("name", ["rewrite", "rewrite-manifests", "expire-snapshots"])
def test_a_disk_that_fills_at_any_write(lake: Lake, table: Table, name: str) -> None:
    rows = rows_of(table)
    codes = {}
    for limit in LIMITS:
        done = run(limit, COMMANDS[name])
        codes[limit] = done.returncode
        assert "internal error" not in done.stderr, (limit, done.stderr)
        assert rows_of(lake.load("db.flights")) == rows, limit
    assert codes[0] in (1, 3)
    for words in (COMMANDS[name], COMMANDS["sweep"], COMMANDS["remove-orphan-files"]):
        assert main([*words, "--quiet"]) == 0
    assert rows_of(lake.load("db.flights")) == rows
