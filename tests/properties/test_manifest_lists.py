"""Lists that are read only as far as they differ give the manifests that reading each of them whole gives."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.avro.codecs import AvroCompressionCodec
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestContent, ManifestFile, write_manifest_list
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from lakeopt.errors import DataFileError
from lakeopt.tables.iceberg.metadata.manifest_lists import read_history
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list

IO = PyArrowFileIO()


def manifest(number: int) -> ManifestFile:
    return ManifestFile.from_args(
        manifest_path=f"s3://b/{'x' * (number % 3)}{number}.avro",
        manifest_length=1000 + number,
        partition_spec_id=0,
        content=ManifestContent.DATA,
        sequence_number=number,
        min_sequence_number=number,
        added_snapshot_id=number,
        added_files_count=1,
        existing_files_count=0,
        deleted_files_count=0,
        added_rows_count=1,
        existing_rows_count=0,
        deleted_rows_count=0,
    )


def snapshots(folder: Path, lists: Sequence[Sequence[Sequence[int]]], codec: AvroCompressionCodec) -> list[Snapshot]:
    """One snapshot a list; a list is given block by block."""
    made = []
    for number, blocks in enumerate(lists, start=1):
        location = str(folder / f"{number}.avro")
        with write_manifest_list(2, IO.new_output(location), number, None, 99, codec) as writer:
            for block in blocks:
                writer.add_manifests([manifest(one) for one in block])
        made.append(
            Snapshot(snapshot_id=number, timestamp_ms=number, sequence_number=number, manifest_list=location)  # type: ignore[call-arg]
        )
    return made


BLOCKS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=6), st.sampled_from(["gzip", "null"]))
def test_history_is_what_all_lists_hold(lists: list[list[list[int]]], codec: AvroCompressionCodec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = read_history(IO, made := snapshots(Path(folder), lists, codec))
        wanted = {one.manifest_path: one for snapshot in made for one in read_manifest_list(IO, snapshot)}
        assert history.manifests.keys() == wanted.keys()
        assert all(list(history.manifests[path]) == list(one) for path, one in wanted.items())
        assert history.list_bytes == {str(p): p.stat().st_size for p in Path(folder).iterdir()}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.data())
def test_a_cut_list_is_an_error(block: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = snapshots(Path(folder), [[block], [[11, *block]]], "null")
        path = Path(made[1].manifest_list)
        content = path.read_bytes()
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        filled = Summary(Operation.APPEND, **{"total-data-files": "1"})
        with pytest.raises(DataFileError, match="manifest list is damaged") as caught:
            read_history(IO, [made[0], made[1].model_copy(update={"summary": filled})])
        assert path.name in str(caught.value)


def test_a_list_that_is_cut_behind_its_header_is_not_taken_for_empty(tmp_path: Path) -> None:
    made = snapshots(tmp_path, [[[1, 2]], []], "null")
    assert read_history(IO, made[1:]).manifests == {}
    filled = made[1].model_copy(update={"summary": Summary(Operation.APPEND, **{"total-data-files": "2"})})
    with pytest.raises(DataFileError, match="it is empty, though its snapshot has files"):
        read_history(IO, [made[0], filled])


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    made = snapshots(tmp_path, [[[1]], [[2, 1]]], "gzip")
    Path(made[0].manifest_list).unlink()
    with pytest.raises(DataFileError, match="manifest list is missing"):
        read_history(IO, made)
    with pytest.raises(DataFileError, match="has no manifest list"):
        read_history(IO, [made[0].model_copy(update={"manifest_list": ""})])
