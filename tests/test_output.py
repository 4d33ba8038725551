"""Every kind of value in every format, compared with files that people can read.

``tests/golden/<kind>.json`` is both a fixed value and its JSON form. ``LAKEOPT_WRITE_GOLDEN=1`` writes the other
forms anew; read them before you commit them.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from lakeopt.cli import output
from lakeopt.cli.output import Format, render
from lakeopt.errors import UsageError, WorkFailed
from lakeopt.model.json_schema import documents
from lakeopt.model.serde import Document, from_json, to_data
from lakeopt.model.table import Finding, TableList, TableProfile, TableView

GOLDEN = Path(__file__).parent / "golden"
KINDS = sorted(documents())
FORMS: dict[str, tuple[Format, int]] = {
    "json": (Format.JSON, 80),
    "jsonl": (Format.JSONL, 80),
    "csv": (Format.CSV, 80),
    "md": (Format.MARKDOWN, 80),
    "80.txt": (Format.TABLE, 80),
    "120.txt": (Format.TABLE, 120),
}


def fixed(kind: str) -> Document:
    return from_json(documents()[kind], (GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", FORMS)
def test_golden(kind: str, ending: str) -> None:
    form, width = FORMS[ending]
    text = render(fixed(kind), form, width=width)
    file = GOLDEN / f"{kind}.{ending}"
    if os.environ.get("LAKEOPT_WRITE_GOLDEN") and ending != "json":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_its_width_and_says_what_it_leaves_out(kind: str, width: int) -> None:
    narrow = render(fixed(kind), Format.TABLE, width=width)
    for line in narrow.splitlines():
        assert cell_len(line) <= width or line.startswith("  $ "), line
    for line in narrow.splitlines():
        assert line == line.rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_jsonl_and_csv_are_those_of_the_value(kind: str) -> None:
    value = fixed(kind)
    field = importlib.import_module(f"lakeopt.cli.sections.{kind}").ROWS
    whole = to_data(value)
    wanted = [whole] if field is None else whole[field]
    lines = [json.loads(line) for line in render(value, Format.JSONL).splitlines()]
    assert len(wanted) > 0
    assert [{name: line[name] for name in row} for line, row in zip(lines, wanted, strict=True)] == wanted
    cells = list(csv.DictReader(io.StringIO(render(value, Format.CSV))))
    assert len(cells) == len(wanted)


def test_csv_has_its_header_without_rows() -> None:
    full = render(fixed("table_list"), Format.CSV).splitlines()[0]
    assert render(TableList("lake", ()), Format.CSV).splitlines() == [full]


def test_csv_header_depends_on_the_type_alone() -> None:
    history = fixed("history")
    bare = dataclasses.replace(history, entries=history.entries[-1:])  # type: ignore[type-var, attr-defined]
    assert render(bare, Format.CSV).splitlines()[0] == render(history, Format.CSV).splitlines()[0]


def profile(**changes: Any) -> TableProfile:
    value = fixed("table_profile")
    assert isinstance(value, TableProfile)
    return dataclasses.replace(value, **changes)


def test_severity_has_a_colour_only_where_there_are_colours() -> None:
    coloured = render(profile(), Format.TABLE, colour=True)
    assert "\x1b[1;31mcritical small-files" in coloured
    assert "\x1b[33mwarning" in coloured
    plain = render(profile(), Format.TABLE)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


@pytest.mark.parametrize("form", [Format.TABLE, Format.MARKDOWN])
def test_a_name_can_neither_steer_a_terminal_nor_break_a_table(form: Format) -> None:
    evil = "x\x1b]0;owned\x07\r\n| [red]bold[/red] \u202e :smile:"
    text = render(profile(table=evil, findings=(Finding(evil, "info", evil, {evil: evil}, evil),)), form)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert "red" in text
    assert "smile" in text


def test_a_command_is_never_wrapped() -> None:
    command = "lakeopt rewrite " + "a-long-name " * 30
    finding = Finding("code", "info", "message", {}, command)
    assert f"  $ {command.strip()}\n" in render(profile(findings=(finding,)), Format.TABLE, width=80)


def test_a_long_path_loses_its_middle() -> None:
    path = "s3://lake/" + "folder/" * 30 + "the-end.parquet"
    text = render(TableView("t", "files", None, ({"file_path": path, "record_count": 1},)), Format.TABLE, width=80)
    assert "s3://lake/" in text
    assert "the-end.parquet" in text
    assert "…" in text


def test_wide_matrix_drops_the_lightest_columns_and_says_so() -> None:
    value: Any = fixed("column_profiles")
    names = tuple(f"column_{n:03d}" for n in range(40))
    columns = tuple(
        dataclasses.replace(value.columns[0], name=name, bytes_share=1 / (n + 2)) for n, name in enumerate(names)
    )
    matrix = dataclasses.replace(value.correlation_matrix, columns=names, values=((0.5,) * 40,) * 40)
    text = render(dataclasses.replace(value, columns=columns, correlation_matrix=matrix), Format.TABLE, width=80)
    heading = next(line for line in text.splitlines() if line.startswith("sorted by"))
    assert "column_000" in heading
    assert "column_039" not in heading
    assert "20 more orders in --json" in text


def test_saving_is_one_step_and_names_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    output.write(profile(), Format.JSON, file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.json"]
    assert json.loads(file.read_text())["snapshot_id"] == "7432190871234567890"
    with pytest.raises(UsageError, match="no such folder"):
        output.save("x", tmp_path / "none" / "x.json")
    with pytest.raises(WorkFailed, match="cannot write"):
        output.save("x", tmp_path)
    with pytest.raises(WorkFailed, match="cannot write"):  # as on a read-only disk, removing the scratch file fails too
        output.save("x", file / "x.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.json"]


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    script = f"""
import sys
from lakeopt.cli import output
from lakeopt.model.json_schema import documents
from lakeopt.model.serde import from_json
value = from_json(documents()["table_view"], open({str(GOLDEN / "table_view.json")!r}).read())
for _ in range(2000):
    output.write(value, output.Format.JSON)
print("done", file=sys.stderr)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"done\n"
    assert process.returncode == 0


def test_unicode_is_written_whatever_the_locale() -> None:
    script = r"from lakeopt.cli import output; output.text('fl\u00fcge \u2708 \udcff\n')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert done.stdout.decode("utf-8") == "flüge ✈ \\udcff\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(WorkFailed, match="cannot write"):
        output.save("x" * 100_000, Path("/dev/full"))
