"""Result files of the suite: where they are kept, and what every one of them must say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KIND = "benchmark_suite"
RESULTS = Path(__file__).parent / "results"
SCHEMA: dict[str, Any] = json.loads((RESULTS / "suite.schema.json").read_text())


def named(name: str) -> list[Path]:
    """Result files of that name, ``<machine>-<cores>c-<name>.json``, oldest first."""
    found = RESULTS.glob(f"*/*c-{name}.json")
    return sorted((path for path in found if path.stem.endswith(f"c-{name}")), key=lambda path: path.parent.name)


def newest(name: str) -> dict[str, Any] | None:
    """The newest result of that name, None where there is none."""
    files = named(name)
    return json.loads(files[-1].read_text()) if files else None


def require_valid(result: dict[str, Any]) -> None:
    """Hold a result against the schema, and what a schema cannot say.

    :raises ValueError: it is no such result; the message names the place.
    """
    import jsonschema

    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(result):
        raise ValueError(f"{error.json_path}: {error.message[:200]}")
    seen = set()
    for number, cell in enumerate(result["cells"]):
        place = f"$.cells[{number}]"
        key = (cell["dataset"], cell["strategy"], cell["codec"])
        if key in seen:
            raise ValueError(f"{place}: {' '.join(key)} is there twice")
        seen.add(key)
        if cell["dataset"] not in result["datasets"] or cell["strategy"] not in result["strategies"]:
            raise ValueError(f"{place}: its data set or strategy is not described")
        asked = result["datasets"][cell["dataset"]]["queries"]
        if cell["queries"] is not None and cell["queries"].keys() != asked.keys():
            raise ValueError(f"{place}: its queries are not those of the data set")
