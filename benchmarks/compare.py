"""Two results of the suite against each other, cell by cell: inside or outside noise.

Usage: python -m benchmarks.compare BEFORE.json AFTER.json

Bytes do not depend on the machine: more than one percent is a difference, and ends with 1, as a figure does that was
there before and is null now. Seconds are noise up to a third or a second; what lies outside is listed, and no more.
A data set that cannot be had on one side is named and not compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.result_files import require_valid

BYTES, SECONDS_SHARE, SECONDS = 0.01, 1 / 3, 1.0
Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure on both sides. ``fails`` where it is none of time."""

    cell: str
    figure: str
    before: float | None
    after: float | None
    fails: bool

    def __str__(self) -> str:
        return (
            f"{self.cell:48} {self.figure:16} {_number(self.before):>14} -> {_number(self.after):>14} {self._change()}"
        )

    def _change(self) -> str:
        return f"{self.after / self.before - 1:+.1%}" if self.before and self.after is not None else ""


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def differences(before: Result, after: Result) -> list[Difference]:
    """What lies outside noise, of the cells that both sides measured."""
    found = []
    earlier = {_key(cell): cell for cell in before["cells"]}
    missing = {name for side in (before, after) for name, about in side["datasets"].items() if about["unavailable"]}
    for cell in after["cells"]:
        old = earlier.get(_key(cell))
        if old is None or cell["dataset"] in missing:
            continue
        pairs = {"bytes": (old["bytes"], cell["bytes"])} | {
            f"reads {query!r}": (_read(old, query), _read(cell, query)) for query in old["queries"] or {}
        }
        for figure, (one, other) in pairs.items():
            if not _near(one, other, BYTES, 0):
                found.append(Difference(_key(cell), figure, one, other, True))
        for figure in ("search_seconds", "rewrite_seconds"):
            if not _near(old[figure], cell[figure], SECONDS_SHARE, SECONDS):
                found.append(Difference(_key(cell), figure, old[figure], cell[figure], False))
    return found


def _key(cell: Mapping[str, Any]) -> str:
    return f"{cell['dataset']} {cell['strategy']} {cell['codec']}"


def _read(cell: Mapping[str, Any], query: str) -> int | None:
    asked = (cell["queries"] or {}).get(query)
    return None if asked is None else int(asked["bytes"])


def _near(one: float | None, other: float | None, share: float, absolute: float) -> bool:
    """Whether a figure is inside noise; one that was null may be anything."""
    if one is None or other is None:
        return one is None
    return abs(other - one) <= max(absolute, share * one)


def report(before: Result, after: Result) -> int:
    """Print what differs; 1 where that is more than time."""
    both = {_key(cell) for cell in before["cells"]} & {_key(cell) for cell in after["cells"]}
    found = differences(before, after)
    print(f"\nagainst the result of {before['date'][:10]}: {len(both)} cells on both sides")
    changed = [
        f"{name} {before['versions'].get(name)} -> {number}"
        for name, number in after["versions"].items()
        if before["versions"].get(name) != number
    ]
    for name, about in after["datasets"].items():
        if about["unavailable"]:
            print(f"  not compared: {name}: {about['unavailable']}")
    if changed:
        print(f"  other versions: {', '.join(changed)}")
    for kind, fails in (("bytes", True), ("seconds", False)):
        outside = [one for one in found if one.fails is fails]
        print(f"  {kind}: {f'{len(outside)} figures outside noise' if outside else 'all inside noise'}")
        for one in outside:
            print(f"    {one}")
    return 1 if any(one.fails for one in found) else 0


def main(before: str, after: str) -> int:
    results = [json.loads(Path(path).read_text()) for path in (before, after)]
    for result in results:
        require_valid(result)
    return report(*results)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
