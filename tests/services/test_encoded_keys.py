"""Keys that look encoded are kept as they are: on moto's server, since versitygw folds them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lake import Lake, flights
from pyarrow import fs

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = pytest.mark.service("S3 (moto)")


@pytest.mark.parametrize("folder", ["a%2Fb", "a+b c", "ü%20"])
def test_a_location_is_never_decoded(moto: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    lake = Lake(tmp_path / "lake", properties={**moto.properties(), "warehouse": f"s3://{moto.bucket}/state"})
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    location = f"s3://{moto.bucket}/{tmp_path.name}/{folder}"
    table = lake.create("db.flights", flights(0, 1).schema, partition=[("origin", "identity")], location=location)
    for day in range(2):
        lake.append(table, flights(day, 90))
    before = Counter(map(str, lake.load("db.flights").scan().to_arrow().to_pylist()))
    result = lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=(SortField("dest"),))
    assert result.groups_done == 3
    fresh = lake.load("db.flights")
    assert Counter(map(str, fresh.scan().to_arrow().to_pylist())) == before
    assert all(file.file_path.startswith(f"{location}/") for file in lake.files(fresh))
    below = moto.filesystem().get_file_info(fs.FileSelector(f"{moto.bucket}/{tmp_path.name}", recursive=False))
    assert [info.base_name for info in below] == [folder]
