"""Row groups copied between objects of a real S3 server: streamed through, in pieces, and proved by their bytes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lake import flights
from servers.places import SERVICES, lake_at

import lakeopt

pytestmark = pytest.mark.service(SERVICES["s3"])

ROWS = 66_000


def test_a_bin_pack_copies_objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(request, tmp_path / "lake", "sqlite", "s3")
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    table = lake.flights(days=6, rows_per_day=ROWS)
    before = table.scan().to_arrow()
    target = int(sum(table.inspect.files()["file_size_in_bytes"].to_pylist()) / 2)
    made = lakeopt.plan("lake.db.flights", strategy="bin-pack", target_file_bytes=target)
    assert [(group.method, group.file_count) for group in made.groups] == [("copy", 6)]
    result = lakeopt.apply(made)
    assert result.verification is not None
    assert result.verification.method == "bytes"
    after = lake.load("db.flights")
    every = [(name, "ascending") for name in flights(0, 1).column_names]
    assert after.scan().to_arrow().sort_by(every).equals(before.sort_by(every))
    paths = after.inspect.files()["file_path"].to_pylist()
    assert len(paths) == 2
    with after.io.new_input(paths[0]).open() as source:
        assert pq.read_metadata(source).num_row_groups == 3
    assert lakeopt.plan("lake.db.flights", strategy="bin-pack", target_file_bytes=target).groups == ()
