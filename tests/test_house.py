"""The rules of the house, measured: sizes of modules and functions, names, homes of side effects, docstrings."""

from __future__ import annotations

import ast
import functools
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "lakeopt").rglob("*.py"))
MODULES = [file for file in SOURCES if file.name != "__init__.py"]
#: Names that say nothing about what is inside.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "core", "manager", "common", "misc", "base_utils"}
MAX_MODULE, MEDIAN_MODULE, MAX_FUNCTION = 400, 150, 60
#: The one home of each stream.
STREAMS = {"stdout": "lakeopt/cli/output.py", "stderr": "lakeopt/cli/diagnostics.py"}
#: Modules that run as a process of their own: their stdout is the pipe to the parent, no person reads it.
CHILDREN = {"lakeopt/engines/duckdb/query_run.py"}
#: Paths of one machine; written in parts, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.:~$}*/-])/(?:" + "|".join(["home", "root", "Users", "work", "tmp"]) + r")/\w")
TEXTS = {".py", ".md", ".toml", ".sql", ".json", ".ipynb", ".yml", ".yaml", ".txt", ".csv", ".sh", ""}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_modules_are_small() -> None:
    sizes = {name_of(file): lines(file) for file in MODULES}
    assert {name: size for name, size in sizes.items() if size > MAX_MODULE} == {}
    assert statistics.median(sizes.values()) <= MEDIAN_MODULE


def test_functions_are_small() -> None:
    sizes = {
        f"{name_of(file)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in SOURCES
        for node in functions(tree_of(file))
    }
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION} == {}


def test_a_file_name_says_what_is_inside() -> None:
    named = [
        name_of(file)
        for file in SOURCES
        for part in file.relative_to(ROOT).with_suffix("").parts
        if part in EMPTY_NAMES
    ]
    assert named == []


@pytest.mark.parametrize("stream", STREAMS)
def test_each_stream_has_one_home(stream: str) -> None:
    writers = {
        name_of(file)
        for file in SOURCES
        for node in ast.walk(tree_of(file))
        if (isinstance(node, ast.Attribute) and node.attr == stream and ast.unparse(node.value) == "sys")
        or (isinstance(node, ast.ImportFrom) and node.module == "sys" and stream in {name.name for name in node.names})
    }
    assert writers - CHILDREN == {STREAMS[stream]}


def test_nothing_prints() -> None:
    printing = [
        f"{name_of(file)}:{node.lineno}"
        for file in SOURCES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "typer.echo", "rich.print", "pprint.pprint")
    ]
    assert printing == []


def test_only_the_command_line_ends_the_process() -> None:
    ending = [
        f"{name_of(file)}:{node.lineno}"
        for file in SOURCES
        if file.name != "__main__.py"
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "os._exit", "exit", "quit")
    ]
    assert ending == []


def test_everything_public_says_what_it_is() -> None:
    silent = []
    for file in MODULES:
        tree = tree_of(file)
        public = [
            node
            for node in [
                *tree.body,
                *(inner for node in tree.body if isinstance(node, ast.ClassDef) for inner in node.body),
            ]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        owners = {
            id(inner)
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name.startswith("_")
            for inner in node.body
        }
        silent += [
            f"{name_of(file)}:{node.name}" for node in public if id(node) not in owners and not ast.get_docstring(node)
        ]
        silent += [name_of(file)] if not ast.get_docstring(tree) else []
    assert silent == []


def kept_files() -> list[Path]:
    """What is under version control, else (in an unpacked archive) the folders of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        folders = ("lakeopt", "tests", "benchmarks", "notebooks", "docs")
        found = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    return [file for file in found if file.is_file() and file.suffix in TEXTS]


def test_no_path_of_one_machine() -> None:
    named = [
        f"{name_of(file)}:{number}"
        for file in kept_files()
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert named == []


def test_imports_run_one_way() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    assert program is not None, "import-linter is not installed: pip install 'lakeopt[test]'"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
