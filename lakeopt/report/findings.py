"""What should be mended, worst first, each with its evidence and the command that mends it."""

from __future__ import annotations

from lakeopt.figures import listed
from lakeopt.model.report import TableReport
from lakeopt.model.table import Finding
from lakeopt.report.markup import Markup, section, tag

_ORDER = {"critical": 0, "warning": 1, "info": 2}


def findings(value: TableReport) -> Markup:
    """The findings of ``inspect``."""
    found = sorted(value.health.findings, key=lambda finding: _ORDER[finding.severity])
    if not found:
        return section("findings", "Findings", tag("p", "None: no check had anything to say."))
    return section("findings", f"Findings: {len(found)}", tag("ul", *map(_finding, found), class_="findings"))


def _finding(finding: Finding) -> Markup:
    evidence = listed(finding.evidence, " · ")
    return tag(
        "li",
        tag("h3", tag("span", finding.severity, class_=f"severity {finding.severity}"), finding.code.replace("_", " ")),
        tag("p", finding.message),
        tag("p", f"Evidence: {evidence}", class_="note") if evidence else None,
        tag("code", finding.fix, class_="command") if finding.fix else None,
    )
