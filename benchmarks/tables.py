"""A result of the suite as tables in markdown, and the README's tables anew.

Usage: python -m benchmarks.tables [RESULT.json]     all figures of a result  [default: the newest full one]
       python -m benchmarks.tables --readme          write the README's tables from the newest committed results
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.result_files import newest

#: What shows in the README of the reads and of the seconds: the others differ little from one of these.
SHOWN = ("bin-pack", "z-order", "main-column", "closed-formula", "lakeopt-storage", "lakeopt-reads", "lakeopt-balanced")
README = Path(__file__).parents[1] / "README.md"
_SIZES = "Rows × columns (bytes in arrival order; as landed, relative to that): "
Result = Mapping[str, Any]
#: The figure of a strategy on a data set; None is null.
Figure = Callable[[str, str], float | None]


def cell(result: Result, dataset: str, strategy: str, codec: str = "zstd-3") -> Mapping[str, Any] | None:
    """One cell, None where it was not measured."""
    key = (dataset, strategy, codec)
    return next((one for one in result["cells"] if (one["dataset"], one["strategy"], one["codec"]) == key), None)


def bytes_ratio(result: Result, dataset: str, strategy: str, codec: str = "zstd-3") -> float | None:
    """Bytes relative to arrival order by pyarrow's default writer at zstd 3, whatever the codec."""
    found = cell(result, dataset, strategy, codec)
    base = result["datasets"][dataset]["arrival_bytes"]
    return None if found is None or found["bytes"] is None else found["bytes"] / base["zstd-3"]


def read_ratio(result: Result, dataset: str, strategy: str, figure: str = "bytes") -> float | None:
    """Bytes (or ``hot_seconds``) of the queries by their weights, relative to the same rows merged in arrival order."""
    here, merged = (_asked(result, dataset, one, figure) for one in (strategy, "bin-pack"))
    return None if here is None or not merged else here / merged


def _asked(result: Result, dataset: str, strategy: str, figure: str) -> float | None:
    found = cell(result, dataset, strategy)
    weights = result["datasets"][dataset]["queries"]
    figures = [(((found and found["queries"]) or {}).get(query) or {}).get(figure) for query in weights]
    if any(value is None for value in figures):
        return None
    return sum(weight * value for weight, value in zip(weights.values(), figures, strict=True))


def geometric_mean(values: Sequence[float | None]) -> float | None:
    """The geometric mean, None where a value is null.

    >>> geometric_mean([0.5, 2.0]), geometric_mean([0.5, None])
    (1.0, None)
    """
    if not values or any(not value for value in values):
        return None
    return math.exp(sum(math.log(value) for value in values if value) / len(values))


def grid(result: Result, title: str, figure: Figure, strategies: Sequence[str], *, mean: bool = True) -> list[str]:
    """A table of strategies by data sets with three digits; the smallest of a column is bold.

    The mean is over the data sets that could be had, and null where a strategy failed on one of them.
    """
    datasets = list(result["datasets"])
    rows = {name: [figure(dataset, name) for dataset in datasets] for name in strategies}
    if mean:
        there = [result["datasets"][dataset]["unavailable"] is None for dataset in datasets]
        rows = {
            name: [*values, geometric_mean([value for value, had in zip(values, there, strict=True) if had])]
            for name, values in rows.items()
        }
    best = [
        min((value for value in column if value is not None), default=None)
        for column in zip(*rows.values(), strict=True)
    ]
    lines = [
        f"| {title} | {' | '.join([*datasets, *(['geometric mean'] if mean else [])])} |",
        f"|---|{'---:|' * (len(datasets) + mean)}",
    ]
    for name, values in rows.items():
        shown = [_shown(value, value == least) for value, least in zip(values, best, strict=True)]
        lines.append(f"| {result['strategies'][name]} | {' | '.join(shown)} |")
    return lines


def _shown(value: float | None, best: bool) -> str:
    if value is None:
        return "–"
    text = f"{value:.3f}" if value < 10 else f"{value:.1f}"
    return f"**{text}**" if best else text


def seconds(result: Result, strategies: Sequence[str]) -> list[str]:
    """Seconds of the search (with planning and profile) and of the rewrite with its proof."""
    datasets = list(result["datasets"])
    lines = [f"| search + rewrite, seconds | {' | '.join(datasets)} |", f"|---|{'---:|' * len(datasets)}"]
    for name in strategies:
        found = [cell(result, dataset, name) for dataset in datasets]
        shown = [
            "–"
            if one is None or one["search_seconds"] is None
            else f"{one['search_seconds']:.1f} + {one['rewrite_seconds']:.1f}"
            for one in found
        ]
        lines.append(f"| {result['strategies'][name]} | {' | '.join(shown)} |")
    return lines


def by_codec(result: Result) -> list[str]:
    """Bytes of the codecs other than zstd 3, of what was written with them."""
    lines: list[str] = []
    for codec in ("zstd-9", "snappy"):
        written = [
            name for name in result["strategies"] if any(cell(result, d, name, codec) for d in result["datasets"])
        ]
        if written not in ([], ["arrival"]):
            title = f"bytes at {codec.replace('-', ' ')}, arrival order at zstd 3 = 1"
            lines += [*grid(result, title, lambda d, s, codec=codec: bytes_ratio(result, d, s, codec), written), ""]
    return lines


def conditions(result: Result) -> str:
    """Machine, date, versions, settings and cost in a sentence."""
    machine, settings, cost = result["machine"], result["settings"], result["cost"]
    parts = [
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_bytes'] / 1e9:.0f} GB",
        result["date"][:10],
        ", ".join(f"{name} {number}" for name, number in result["versions"].items()),
        f"{settings['threads']} threads, {settings['memory']} of memory, files of {settings['target_file_size']}",
        f"landed in {settings['landed_files']} appends",
        f"{cost['wall_seconds'] / 60:.0f} minutes in all, load {cost['load']:.1f}",
    ]
    return "; ".join(parts) + "."


def sizes(result: Result) -> str:
    """Rows, columns and bytes of each data set in a sentence."""
    parts = []
    for name, about in result["datasets"].items():
        if about["unavailable"]:
            parts.append(f"{name}: not measured ({about['unavailable']})")
        else:
            base, landed = about["arrival_bytes"]["zstd-3"], about["landed_bytes"]
            parts.append(f"{name} {about['rows']:,} × {about['columns']} ({base / 1e6:.1f} MB, {landed / base:.2f})")
    return "; ".join(parts) + "."


def markdown(result: Result) -> str:
    """All figures."""
    strategies = list(result["strategies"])
    asked = [name for name in strategies if name != "arrival"]
    lines = [conditions(result), "", _SIZES + sizes(result), ""]
    lines += [*grid(result, "bytes at zstd 3", lambda d, s: bytes_ratio(result, d, s), strategies), ""]
    lines += [*grid(result, "bytes that queries read", lambda d, s: read_ratio(result, d, s), strategies), ""]
    if result["settings"]["query_runs"]:
        title = "hot seconds of queries"
        lines += [*grid(result, title, lambda d, s: read_ratio(result, d, s, "hot_seconds"), strategies), ""]
    return "\n".join([*lines, *by_codec(result), *seconds(result, asked)])


def short(result: Result) -> str:
    """The figures of a full run that the README shows."""
    shown = [name for name in SHOWN if name in result["strategies"]]
    lines = [conditions(result), "", _SIZES + sizes(result), ""]
    lines += [*grid(result, "bytes at zstd 3", lambda d, s: bytes_ratio(result, d, s), list(result["strategies"])), ""]
    lines += [*grid(result, "bytes that queries read", lambda d, s: read_ratio(result, d, s), shown), ""]
    return "\n".join([*lines, *seconds(result, shown)])


def quick(result: Result) -> str:
    """The figures of a quick run that the README shows."""
    shown = [name for name in (*SHOWN[:5], "lakeopt-storage-all", *SHOWN[5:]) if name in result["strategies"]]
    lines = [conditions(result), ""]
    lines += [*grid(result, "`bench-quick`: bytes at zstd 3", lambda d, s: bytes_ratio(result, d, s), shown), ""]
    lines += grid(result, "bytes that queries read", lambda d, s: read_ratio(result, d, s), shown)
    return "\n".join(lines)


def searched(result: Result) -> str:
    """Whole tables in one file (``benchmarks.search``): bytes written against the best known before."""
    names = list(dict.fromkeys(cell["table"] for cell in result["cells"]))

    def row(title: str, values: Mapping[str, float], digits: int = 3) -> str:
        shown = [f"{values[name]:.{digits}f}" if name in values else "–" for name in names]
        return f"| {title} | {' | '.join(shown)} |"

    level = result["cells"][0]["level"]
    lines = [f"| one file, zstd {level} | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    lines.append(row("best known before, every encoding", BEST_KNOWN))
    for encodings, title in (("all", "every encoding"), ("compatible", "encodings of the default matrix")):
        found = {cell["table"]: cell for cell in result["cells"] if cell["encodings"] == encodings}
        written = {name: cell["written_ratio"] for name, cell in found.items()}
        lines.append(row(f"lakeopt, {title}", written))
        if encodings == "all":
            over = {name: written[name] / BEST_KNOWN[name] for name in written if name in BEST_KNOWN}
            lines.append(row("… to the best known", over))
        lines.append(
            row("… predicted / written", {name: cell["predicted_over_written"] for name, cell in found.items()})
        )
        for title, figure in (("seconds", "search_seconds"), ("CPU seconds", "search_cpu_seconds")):
            lines.append(row(f"… search, {title}", {name: cell[figure] for name, cell in found.items()}, digits=1))
    machine, note = result["machine"], result["settings"].get("note")
    load = max(cell["load"] for cell in result["cells"])
    about = [f"{machine['cores']} cores of {machine['cpu']}", result["date"][:10], f"load up to {load:.0f}"]
    about += [note] if note else []
    return "\n".join(["; ".join(about) + ".", "", *lines])


#: The smallest that a search of another kind found with every encoding, in hours: `search` is held against it.
BEST_KNOWN = {"weather": 0.683, "flights": 0.577, "vega": 0.621, "orders": 0.814, "lineitem": 0.792}
#: Sections of the README by the name of the result that they show.
SECTIONS: Mapping[str, Callable[[Result], str]] = {"suite": short, "suite-quick": quick, "search": searched}


def refreshed(text: str) -> str:
    """The README with the tables of the newest results between their marks."""
    for name, shown in SECTIONS.items():
        result = newest(name)
        if result is not None:
            head, rest = text.split(_mark(name, "begin"))
            text = head + section(name, shown(result)) + rest.split(_mark(name, "end"))[1]
    return text


def section(name: str, tables: str) -> str:
    """A section of the README between its marks."""
    return f"{_mark(name, 'begin')}\n{tables}\n{_mark(name, 'end')}"


def _mark(name: str, edge: str) -> str:
    return f"<!-- {name}: {edge} -->"


def main(arguments: Sequence[str]) -> int:
    if "--readme" in arguments:
        README.write_text(refreshed(README.read_text()))
        return 0
    result = json.loads(Path(arguments[0]).read_text()) if arguments else newest("suite")
    if result is None:
        print("no result yet: make bench", file=sys.stderr)
        return 1
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
