"""Spellings of one location have one key, and different objects of a store have different ones."""

from __future__ import annotations

import os.path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.tables.iceberg.deletion.location_keys import lies_in, location_key, location_keys, same_place

#: Names as hostile as writers make them: spaces, percent signs, colons, quotes, letters of any script.
segment = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]) | st.sampled_from("%2F =:@#?."), min_size=1
).filter(lambda name: name not in (".", ".."))
path = st.lists(segment, min_size=1, max_size=5).map("/".join)
key = (
    st.lists(segment | st.just(""), min_size=1, max_size=6)
    .map("/".join)
    .filter(lambda text: text[-1:] not in ("", "/"))
)
location = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["/", "file:/", "file:///", "FILE:///", "file://localhost/"]), path),
    st.builds("{}://{}/{}".format, st.sampled_from(["s3", "s3a", "s3n", "gs", "hdfs"]), st.just("bucket"), key),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(path, st.sampled_from(["", "/"]))
def test_local_spellings_are_one(path: str, end: str) -> None:
    spellings = [f"/{path}", f"file:/{path}{end}", f"file:///{path}{end}", f"file://localhost/{path}"]
    assert {location_key(text) for text in spellings} == {("file", "", f"/{path}")}


@given(path, st.sampled_from(["//", "/./", "///", "/././/"]))
def test_local_doubled_slashes_and_dots_change_nothing(path: str, joint: str) -> None:
    assert location_key("file:///" + path.replace("/", joint)) == location_key(f"/{path}")
    assert os.path.normpath("/" + path.replace("/", joint)) == location_key(f"/{path}")[2]


@given(key, key)
def test_keys_of_a_store_are_literal(left: str, right: str) -> None:
    assert location_key(f"s3a://bucket/{left}") == ("s3", "bucket", f"/{left}")
    assert same_place(f"s3://bucket/{left}", f"s3n://bucket/{right}") == (left == right)
    assert not same_place(f"s3://bucket/{left}", f"s3://other/{left}")


@given(st.lists(location, max_size=20))
def test_many_keys_are_each_ones_key(locations: list[str]) -> None:
    made = location_keys(pa.array(locations, pa.string())).to_pylist()
    assert [tuple(row.values()) for row in made] == [location_key(text) for text in locations]


@given(path, path, st.sampled_from(["", "/"]))
def test_what_lies_below_lies_in(folder: str, name: str, end: str) -> None:
    assert lies_in(f"file:/{folder}/{name}", f"file:///{folder}{end}")
    assert lies_in(f"/{folder}", f"file:/{folder}{end}")
    assert not lies_in(f"/{folder}{name.replace('/', '')}x", f"/{folder}{end}")
    assert lies_in(f"s3://b/{folder}", "s3a://b") != lies_in(f"s3://b/{folder}", "s3a://c")
