"""A saved plan that somebody edited: refused in one line before anything is written, never half run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_rewrite import rows_of
from lake import Lake

from lakeopt.cli.app import main
from lakeopt.errors import UsageError
from lakeopt.model.plan import RewritePlan
from lakeopt.model.scan import WriterOptions
from lakeopt.model.serde import from_json, to_json
from lakeopt.workflows.apply import apply
from lakeopt.workflows.plan import plan

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

Data = dict[str, Any]


def _name_a_file_twice(data: Data) -> None:
    files = data["groups"][0]["data_files"]
    files[1] = dict(files[0])


def _count_other_rows(data: Data) -> None:
    data["groups"][0]["record_count"] = 1


def _forget_a_file(data: Data) -> None:
    data["groups"][0]["data_files"].pop()


def _repeat_a_group(data: Data) -> None:
    data["groups"].append(data["groups"][0])


def _share_files(data: Data) -> None:
    data["groups"].append({**data["groups"][0], "group_id": 1})


def _list_nothing(data: Data) -> None:
    data["groups"][0].update(data_files=[], file_count=0, bytes=0, record_count=0)


EDITS: list[tuple[Callable[[Data], None], str]] = [
    (_name_a_file_twice, "a data file is named twice"),
    (_count_other_rows, "the counts of group 0 are not those of its files"),
    (_forget_a_file, "the counts of group 0 are not those of its files"),
    (_repeat_a_group, "two groups have the same number"),
    (_share_files, "a data file is named twice"),
    (_list_nothing, "the counts of group 0 are not those of its files"),
    (lambda data: data.update(plan_id="../../escaped"), "'../../escaped' is no plan id"),
    (lambda data: data.update(plan_id=""), "'' is no plan id"),
    (lambda data: data.update(base_snapshot_id="abc"), "'abc' is no snapshot id"),
    (lambda data: data["layout"].update(strategy="spork"), "no strategy named 'spork'"),
    (lambda data: data.update(target_file_bytes=-5), "the target file size must be above zero"),
    (lambda data: data["writer"].update(page_rows="many"), "the writer option page_rows cannot be 'many'"),
    (lambda data: data["writer"].update(page_rows="0"), "the writer option page_rows cannot be '0'"),
    (lambda data: data["writer"].update(pagerows="9"), "no writer option named 'pagerows'"),
]


@pytest.mark.parametrize(("edit", "said"), EDITS)
def test_an_edited_plan_is_refused_before_anything_is_written(
    lake: Lake, edit: Callable[[Data], None], said: str
) -> None:
    table = lake.flights(days=6, rows_per_day=40)
    before = rows_of(table)
    written = set(lake.warehouse.rglob("*.parquet"))
    data = json.loads(to_json(plan("lake.db.flights", strategy="bin-pack", target_file_bytes=1 << 20)))
    edit(data)

    with pytest.raises(UsageError) as error:
        apply(from_json(RewritePlan, json.dumps(data)))

    assert said in str(error.value)
    assert error.value.hint
    assert rows_of(lake.load("db.flights")) == before
    assert set(lake.root.rglob("*.parquet")) == written


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '{"kind": "rewrite_result"}', "[]"])
def test_a_file_that_is_no_plan_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)

    assert main(["apply", str(file), "--yes"]) == 2

    said, hint = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: not a plan: {file}: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("level", [None, 3, -7])
def test_writer_options_survive_their_text(level: int | None) -> None:
    options = WriterOptions(codec="snappy", level=level)
    assert WriterOptions.from_mapping(options.as_mapping()) == options
