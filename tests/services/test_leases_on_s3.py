"""Exclusive creation on a real S3 server: of many that create one object at once, one does."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from servers.s3 import S3

from lakeopt.errors import MissingExtra, Refused
from lakeopt.tables.iceberg.exclusive_create import create_exclusively


@pytest.mark.service("s3")
def test_of_many_one_creates_the_object(s3: S3) -> None:
    io = PyArrowFileIO(dict(s3.properties()))
    place = f"s3://{s3.bucket}/leases/key/0001.json"
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(MissingExtra, match="s3fs"):
            create_exclusively(io, place, b"0")
        return
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create_exclusively(io, place, b"%d" % number), range(8)))
    assert made.count(True) == 1
    with io.new_input(place).open() as source:
        assert source.read() == b"%d" % made.index(True)
    assert not create_exclusively(io, place.replace("s3:", "s3a:"), b"again")


@pytest.mark.service("s3")
def test_other_stores_are_refused_by_name() -> None:
    with pytest.raises(Refused, match="gs://bucket/key"):
        create_exclusively(PyArrowFileIO({"gcs.oauth2.token": "x"}), "gs://bucket/key", b"")
