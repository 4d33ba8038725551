"""Which delete files apply to a data file: the index against the rules of the spec, said one by one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import PATH_ID, Lake
from pyiceberg.typedef import Record

from lakeopt.model.scan import DATA, EQUALITY_DELETES, POSITION_DELETES, files_schema
from lakeopt.tables.iceberg.planning.delete_index import DeleteIndex
from lakeopt.tables.open import open_table

GLOBAL_SPEC, PARTITIONS = 0, ("{}", '{"p": 1}', '{"p": 2}')


class Specs:
    """Spec 0 divides nothing; 1 and 2 do."""

    def is_global(self, spec_id: int) -> bool:
        return spec_id == GLOBAL_SPEC


def file_list(rows: list[dict[str, Any]]) -> pa.Table:
    filler = {"file_format": "PARQUET", "record_count": 1, "file_size_in_bytes": 1}
    return pa.Table.from_pylist([filler | row for row in rows], schema=files_schema())


@st.composite
def any_file(draw: st.DrawFn, content: tuple[int, ...]) -> dict[str, Any]:
    spec_id = draw(st.integers(0, 2))
    return {
        "content": draw(st.sampled_from(content)),
        "spec_id": spec_id,
        "partition": "{}" if spec_id == GLOBAL_SPEC else draw(st.sampled_from(PARTITIONS[1:])),
        "data_sequence_number": draw(st.integers(0, 4)),
    }


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    data = [
        row | {"file_path": f"d{i}"} for i, row in enumerate(draw(st.lists(any_file((DATA,)), min_size=1, max_size=6)))
    ]
    paths = [row["file_path"] for row in data]
    deletes = []
    for i, row in enumerate(draw(st.lists(any_file((POSITION_DELETES, EQUALITY_DELETES)), max_size=8))):
        row["file_path"] = f"x{i}"
        if row["content"] == POSITION_DELETES:
            shape = draw(st.sampled_from(["open", "referenced", "vector", "bounds"]))
            ends = sorted(draw(st.lists(st.sampled_from(paths), min_size=2, max_size=2)))
            if shape in ("referenced", "vector"):
                row["referenced_data_file"] = ends[0]
            if shape == "vector":
                row["file_format"] = "PUFFIN"
            if shape == "bounds":
                row["lower_bounds"], row["upper_bounds"] = ([(PATH_ID, end.encode())] for end in ends)
        deletes.append(row)
    return data, deletes


def applies(delete: dict[str, Any], data: dict[str, Any]) -> bool:
    """One delete file and one data file, by the words of the spec (vectors apart)."""
    at, since = data["data_sequence_number"], delete["data_sequence_number"]
    together = (delete["spec_id"], delete["partition"]) == (data["spec_id"], data["partition"])
    if delete["content"] == EQUALITY_DELETES:
        return at < since and (together or delete["spec_id"] == GLOBAL_SPEC)
    if at > since:
        return False
    if "referenced_data_file" in delete:
        return delete["referenced_data_file"] == data["file_path"]
    if "lower_bounds" in delete:
        low, high = (delete[key][0][1].decode() for key in ("lower_bounds", "upper_bounds"))
        return low <= data["file_path"] <= high and (together or low == high)
    return together


def expected(deletes: list[dict[str, Any]], data: dict[str, Any]) -> set[str]:
    found = [delete for delete in deletes if applies(delete, data)]
    if any(delete.get("file_format") == "PUFFIN" for delete in found):
        found = [d for d in found if d["content"] == EQUALITY_DELETES or d.get("file_format") == "PUFFIN"]
    return {delete["file_path"] for delete in found}


@given(snapshots())
def test_the_index_finds_what_the_rules_say(snapshot: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    data, deletes = snapshot
    index = DeleteIndex(file_list(deletes), Specs())  # type: ignore[arg-type]
    found = index.applied(file_list(data))["delete_files"].to_pylist()
    assert [sorted(paths) for paths in found] == [sorted(expected(deletes, row)) for row in data]


def test_a_vector_takes_the_place_of_position_deletes() -> None:
    at = {"spec_id": 1, "partition": PARTITIONS[1]}
    position = {"content": POSITION_DELETES, "file_path": "old", "data_sequence_number": 2} | at
    vector = position | {"file_path": "dv", "file_format": "PUFFIN", "referenced_data_file": "d"}
    index = DeleteIndex(file_list([position, vector]), Specs())  # type: ignore[arg-type]
    files = [{"content": DATA, "file_path": path, "data_sequence_number": 1} | at for path in ("d", "e")]
    assert index.applied(file_list(files))["delete_files"].to_pylist() == [["dv"], ["old"]]


ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "p": pa.array([7, 7, 7], pa.int32())})


def test_equality_deletes_of_an_unpartitioned_spec_reach_older_files_of_every_spec(lake: Lake) -> None:
    table = lake.create("db.t", ROWS.schema)
    table = lake.append(table, ROWS)
    with table.update_spec() as spec:
        spec.add_identity("p")
    table = lake.append(table, ROWS)
    deletes = lake.equality_deletes(table, pa.table({"id": pa.array([1], pa.int64())}))
    table = lake.land(table, deletes)
    table = lake.append(table, ROWS)
    files = pa.concat_tables(open_table("db.t").files()).sort_by("data_sequence_number")
    assert files["spec_id"].to_pylist() == [0, 1, 1]
    assert files["delete_files"].to_pylist() == [[deletes.file_path], [deletes.file_path], []]


def test_a_spec_of_void_fields_alone_is_global_too(lake: Lake) -> None:
    table = lake.create("db.t", ROWS.schema, partition=[("p", "void")])
    table = lake.land(table, lake.data_file(table, ROWS, partition=[None]))
    like = next(lake.files(table))
    with table.update_spec() as spec:
        spec.add_identity("p")
    table = lake.land(table, lake.data_file(lake.load("db.t"), ROWS, partition=[None, 7]))
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": pa.array([1], pa.int64())}), like=like))
    files = pa.concat_tables(open_table("db.t").files())
    assert [len(paths) for paths in files["delete_files"].to_pylist()] == [1, 1]


def test_position_deletes_hold_for_files_of_the_same_commit(lake: Lake) -> None:
    table = lake.create("db.t", ROWS.schema, partition=[("p", "identity")])
    files = [lake.data_file(table, ROWS, partition=[p]) for p in (7, 8)]
    deletes = lake.position_deletes(table, {files[0].file_path: [0], files[0].file_path + "x": [0]}, like=files[0])
    lake.land(table, *files, deletes)
    found = pa.concat_tables(open_table("db.t").files()).sort_by("partition")
    assert found["delete_files"].to_pylist() == [[deletes.file_path], []]


def test_the_scan_lists_the_delete_files_that_its_files_name(lake: Lake) -> None:
    table = lake.create("db.t", ROWS.schema, partition=[("p", "identity")])
    eights = ROWS.set_column(1, "p", pa.array([8, 8, 8], pa.int32()))
    files = [lake.data_file(table, rows, partition=[p]) for p, rows in ((7, ROWS), (8, eights))]
    deletes = [lake.position_deletes(table, {file.file_path: [0]}, like=file) for file in files]
    lake.land(table, *files, *deletes)
    opened = open_table("db.t")
    every = pa.concat_tables(opened.files())
    one = every.filter(pa.compute.equal(every["partition"], '{"p": 8}'))
    scan = opened.scan(one)
    assert scan.deletes is not None
    assert scan.deletes["file_path"].to_pylist() == [deletes[1].file_path]
    assert opened.scan(every.slice(0, 0)).deletes is None
    lake.load("db.t").delete("p = 8")
    assert len(pa.concat_tables(opened.refresh().files())) == 1
    assert opened.refresh().scan(one).deletes == scan.deletes  # older snapshots still list them


@pytest.mark.parametrize("version", [1, 2])
def test_a_table_without_deletes_names_none(lake: Lake, version: int) -> None:
    table = lake.create("db.t", ROWS.schema, format_version=version)
    lake.append(table, ROWS)
    files = pa.concat_tables(open_table("db.t").files())
    assert files["delete_files"].to_pylist() == [[]]
    assert files["data_sequence_number"].to_pylist() == [0 if version == 1 else 1]
    assert Record() == next(lake.files(table)).partition
