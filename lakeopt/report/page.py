"""A report as one self-contained HTML page: no script, and nothing that a browser would fetch."""

from __future__ import annotations

from importlib.resources import files

from lakeopt.model.report import TableReport
from lakeopt.report.columns import columns
from lakeopt.report.facts import conditions, head
from lakeopt.report.findings import findings
from lakeopt.report.gains import gains
from lakeopt.report.layouts import layouts
from lakeopt.report.markup import Markup, tag
from lakeopt.report.overlap import overlap
from lakeopt.report.past import past
from lakeopt.report.stored import stored

_CONTENTS = {
    "bytes": "Bytes",
    "findings": "Findings",
    "columns": "Columns",
    "layouts": "Layouts",
    "overlap": "Overlap",
    "queries": "Queries",
    "history": "History",
}
#: A browser that honours it could fetch nothing, whatever a name in the table managed to smuggle in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(value: TableReport) -> str:
    """The whole page, the same for the same value."""
    style = Markup(f"<style>\n{files('lakeopt.report').joinpath('page.css').read_text(encoding='utf-8')}</style>")
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in _CONTENTS.items()]
    parts = (stored, findings, columns, layouts, overlap, gains, past)
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        head(value),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        tag("main", *(part(value) for part in parts), id="content", tabindex="-1"),
        conditions(value),
    )
    meta = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{value.table}: lakeopt report"),
        tag("link", rel="icon", href="data:,"),
    )
    html = tag("html", tag("head", *meta, style), body, lang="en")
    return f"<!DOCTYPE html>\n{html}\n"
