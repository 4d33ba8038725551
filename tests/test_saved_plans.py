"""Plans of every kind go through a file: ``-o`` saves what ``apply`` carries out."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hand_rewrite import rows_of
from lake import Lake

from lakeopt.cli.app import main
from lakeopt.errors import UsageError
from lakeopt.model.serde import Document
from lakeopt.workflows.saved_plans import KINDS, read_plan

TABLE = "lake.db.flights"
FLAGS = {
    "rewrite_plan": ["--strategy", "bin-pack"],
    "expiry_plan": ["--older-than", "0s"],
    "sweep_plan": ["--grace", "0s", "--no-concurrent-writers"],
}


def _saved(tmp_path: Path, kind: str, *more: str) -> tuple[str, dict[str, object]]:
    file = str(tmp_path / f"{kind}.json")
    words = [KINDS[kind].verb, TABLE, *FLAGS.get(kind, []), *more, "--dry-run", "-o", file]
    assert main([*words, "--quiet"]) == 0
    return file, json.loads(Path(file).read_text())


def test_every_kind_of_plan_is_saved_and_applied(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = lake.flights(days=4, rows_per_day=50)
    rows = rows_of(table)
    orphan = Path(table.location().removeprefix("file://")) / "data" / "left-over.parquet"
    orphan.write_bytes(b"nobody knows me")
    old = time.time() - 10 * 86_400
    os.utime(orphan, (old, old))
    for kind in ("rewrite_plan", "expiry_plan", "manifests_plan", "orphan_plan"):
        file, plan = _saved(tmp_path, kind)
        capsys.readouterr()
        assert main(["apply", file, "--yes", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["plan_id"], result["kind"]) == (plan["plan_id"], kind.replace("_plan", "_result"))
        assert rows_of(lake.load("db.flights")) == rows
    assert not orphan.exists()
    file, _ = _saved(tmp_path, "restore_plan", "--plan", str(result["plan_id"]))
    assert main(["apply", file, "--yes", "--quiet"]) == 0
    assert orphan.exists()


def test_a_saved_sweep_within_a_day_is_refused(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The promise that nobody else writes was for the command that made it."""
    lake.flights(days=2, rows_per_day=10)
    file, _ = _saved(tmp_path, "sweep_plan")
    assert main(["apply", file, "--yes"]) == 2
    assert "a grace of 0" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "table_profile"}', '{"kind": ["rewrite_plan"]}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_plan(text)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_names_what_is_there(kind: str) -> None:
    model, act = KINDS[kind].load()
    assert issubclass(model, Document)
    assert model.kind == kind
    assert callable(act)
