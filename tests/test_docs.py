"""The command reference and the JSON schemas in ``docs/`` are what the code says. ``make docs`` writes them anew."""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakeopt.cli.app import app
from lakeopt.model.json_schema import documents, schema_of

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = DOCS / "commands.md"
BLOCK = re.compile(r"(<!-- (help|kinds) ?([^>]*?) ?-->\n).*?(<!-- end -->)", re.DOTALL)
WRITE = bool(os.environ.get("LAKEOPT_WRITE_DOCS"))


def help_of(command: str) -> str:
    words = command.split()[1:]
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="lakeopt", env={"COLUMNS": "100"}, terminal_width=100)
    assert done.exit_code == 0, done.output
    return f"```text\n{done.output.rstrip()}\n```\n"


def kinds() -> str:
    lines = ["| kind | a row is |", "|---|---|"]
    for kind in documents():
        field = importlib.import_module(f"lakeopt.cli.sections.{kind}").ROWS
        lines.append(f"| [`{kind}`](schemas/{kind}.json) | {f'one of `{field}`' if field else 'the value itself'} |")
    return "\n".join(lines) + "\n"


def generated(match: re.Match[str]) -> str:
    return match[1] + (help_of(match[3]) if match[2] == "help" else kinds()) + match[4]


def test_command_reference() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    wanted = BLOCK.sub(generated, text)
    if WRITE:
        REFERENCE.write_text(wanted, encoding="utf-8")
    assert wanted == REFERENCE.read_text(encoding="utf-8")


def test_every_command_is_in_the_reference() -> None:
    described = set(re.findall(r"<!-- help lakeopt ([a-z-]+) -->", REFERENCE.read_text(encoding="utf-8")))
    assert described == {
        command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback
    }


@pytest.mark.parametrize("kind", documents())
def test_schema(kind: str) -> None:
    file = DOCS / "schemas" / f"{kind}.json"
    wanted = json.dumps(schema_of(documents()[kind]), indent=2, ensure_ascii=False) + "\n"
    if WRITE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(wanted, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == wanted


def test_no_schema_is_left_over() -> None:
    assert sorted(file.stem for file in (DOCS / "schemas").iterdir()) == sorted(documents())
