"""Files that DuckDB reads through a file system of pyarrow's, and what is written through one."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from scans import equality_deletes, field, position_deletes, scan_of, table, write

from lakeopt.engines._range_reads import RangeFile
from lakeopt.engines.duckdb import ENGINE
from lakeopt.engines.duckdb.remote_files import RemotePath
from lakeopt.errors import Unreachable
from lakeopt.model.scan import Scan, StageRequest, WriterOptions
from lakeopt.parquet.footers import data_file_error

SCHEMA = pa.schema([field("id", pa.int64(), 1), field("text", pa.string(), 2)])


def part(start: int, rows: int) -> pa.Table:
    random = np.random.default_rng(start)
    ids = np.arange(start, start + rows)
    random.shuffle(ids)
    return table(SCHEMA, id=ids, text=[random.bytes(9).hex() for _ in range(rows)])


def away(scan: Scan) -> Scan:
    """The same files through a file system that is not pyarrow's local one."""

    def resolve(location: str) -> tuple[fs.FileSystem, str]:
        local, path = fs.FileSystem.from_uri(location)
        return fs.SubTreeFileSystem("/", local), path.lstrip("/")

    return dataclasses.replace(scan, resolve=resolve)


def stage(scan: Scan, root: Path, **more: object) -> pa.Table:
    request = StageRequest(
        scan,
        (("id", True, True),),
        locate=lambda n: (root / "out" / f"{n}.parquet").as_uri(),
        target_file_bytes=1 << 20,
        memory_bytes=4 << 30,
        threads=4,
        temp_dir=str(root / "spill"),
        writer=WriterOptions(level=1),
    )
    (root / "out").mkdir(parents=True, exist_ok=True)
    return ENGINE.stage(dataclasses.replace(request, **more))  # type: ignore[arg-type]


def read_back(staged: pa.Table) -> pa.Table:
    return pa.concat_tables(pq.read_table(uri.removeprefix("file://")) for uri in staged["file_path"].to_pylist())


def test_many_threads_read_one_handle_each_at_its_own_place(tmp_path: Path) -> None:
    whole = os.urandom(1 << 20)
    (tmp_path / "bytes").write_bytes(whole)
    handle = RangeFile(fs.LocalFileSystem().open_input_file(str(tmp_path / "bytes")))

    def reads(seed: int) -> bool:
        random = np.random.default_rng(seed)
        for start, length in zip(random.integers(0, len(whole), 300), random.integers(0, 5_000, 300), strict=True):
            handle.seek(int(start))
            first = handle.read(int(length))
            if first + handle.read(100) != whole[start : start + length + 100]:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(reads, range(8)))
    assert handle.seek(-10, os.SEEK_END) == len(whole) - 10
    assert handle.read() == whole[-10:]
    assert handle.read(5) == b""


@pytest.mark.slow
def test_a_remote_group_is_staged_like_a_local_one(tmp_path: Path) -> None:
    names = ["plain.parquet", "a*b?[c].parquet", "ü %2F #1.parquet"]
    scan = scan_of(SCHEMA, [write(tmp_path / "in" / name, part(n * 40_000, 40_000)) for n, name in enumerate(names)])
    here, there = stage(scan, tmp_path / "here"), stage(away(scan), tmp_path / "there")
    assert here["record_count"].to_pylist() == there["record_count"].to_pylist()
    assert read_back(there).equals(read_back(here))
    assert read_back(there)["id"].to_pylist() == list(range(120_000))


def test_deletes_of_a_remote_group_are_applied(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.parquet", table(SCHEMA, id=list(range(100)), text=["x"] * 100))
    by_place = position_deletes(tmp_path / "in" / "d.parquet", {path: [0, 7]})
    by_key = equality_deletes(tmp_path / "in" / "e.parquet", table(SCHEMA, id=[50], text=["x"]).select(["id"]))
    staged = stage(away(scan_of(SCHEMA, [path], deletes=[by_place, by_key])), tmp_path)
    assert read_back(staged)["id"].to_pylist() == [n for n in range(100) if n not in (0, 7, 50)]


def test_a_failed_remote_rewrite_leaves_no_file(tmp_path: Path) -> None:
    paths = [write(tmp_path / "in" / f"{n}.parquet", part(n * 20_000, 20_000)) for n in range(2)]

    class Stop(Exception):
        pass

    def stop(rows: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        stage(away(scan_of(SCHEMA, paths)), tmp_path, progress=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_store_that_refuses_is_not_a_damaged_file() -> None:
    said = "When reading information for key 'k' in bucket 'b': AWS Error NETWORK_CONNECTION during HeadObject: x"
    error = data_file_error("s3://b/k", OSError(said))
    assert isinstance(error, Unreachable)
    assert str(error).endswith("s3://b/k: NETWORK_CONNECTION during HeadObject: x")


def test_the_name_of_a_remote_file_is_its_location() -> None:
    path = RemotePath("s3://b/k.parquet", fs.LocalFileSystem(), "/k.parquet")
    assert path == "remote://s3://b/k.parquet"
    assert path.path == "/k.parquet"
