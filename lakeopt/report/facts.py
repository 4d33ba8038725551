"""The head of the page: which table, when and with what it was looked at, and what comes of it."""

from __future__ import annotations

from lakeopt.figures import count, counted, listed, percent, rewrite_command, size
from lakeopt.model.report import TableReport
from lakeopt.report.markup import Markup, tag

_ORDER = ("critical", "warning", "info")


def head(value: TableReport) -> Markup:
    """Name, facts and verdict."""
    health = value.health
    mean = health.total_bytes / health.data_file_count if health.data_file_count else None
    pairs = (
        ("Format", f"{health.format} v{health.format_version}"),
        ("Rows", count(health.record_count)),
        ("Bytes", size(health.total_bytes)),
        ("Data files", count(health.data_file_count)),
        ("Mean file", size(mean)),
        ("Delete files", count(health.delete_file_count)),
        ("Partitions", count(health.partition_count)),
    )
    return tag(
        "header",
        tag("h1", value.table),
        tag(
            "p",
            f"{_snapshot(value)} on {_moment(value.created_at)}, by lakeopt {value.versions['lakeopt']}.",
            class_="made",
        ),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in pairs), class_="facts"),
        _verdict(value),
    )


def conditions(value: TableReport) -> Markup:
    """What the figures were measured on, and what the page does without."""
    health = value.health
    missing = [tag("li", tag("strong", part.part.replace("_", " ")), f": {part.reason}") for part in value.missing]
    made_on = tag("p", f"Machine: {listed(value.machine)}. Versions: {listed(value.versions)}.")
    footers = tag(
        "p", f"Health is from metadata and {count(health.footers_read)} of {count(health.footers_total)} footers."
    )
    left_out = (tag("h3", "What is not here, and why"), tag("ul", *missing)) if missing else ()
    return tag("footer", tag("h2", "Conditions"), made_on, footers, *left_out, class_="made")


def _snapshot(value: TableReport) -> str:
    return f"Snapshot {value.health.snapshot_id}" if value.health.snapshot_id else "No snapshot yet"


def _moment(at: str) -> str:
    return f"{at[:10]} at {at[11:19]} UTC"


def _verdict(value: TableReport) -> Markup:
    """What was recommended, and how many things should be mended."""
    found = [finding.severity for finding in value.health.findings]
    counts = [f"{found.count(severity)} {severity}" for severity in _ORDER if severity in found]
    findings = f"{counted(len(found), 'finding')}: {', '.join(counts)}." if found else "No findings."
    advice = value.recommendation
    if advice is None:
        said = [tag("p", f"No layout was measured: {value.reason('recommendation')}.")]
    elif advice.chosen is None:
        said = [tag("p", tag("strong", "Leave the layout alone. "), advice.reason)]
    else:
        chosen = advice.candidates[advice.chosen]
        saving = f"Recommended: {chosen.strategy}, {percent(chosen.bytes_ratio)} of the bytes in arrival order. "
        command = tag("code", rewrite_command(advice), class_="command")
        said = [tag("p", tag("strong", saving), advice.reason), command]
    return tag("div", *said, tag("p", findings), class_="verdict")
