"""How a table says which layout its files lie in: a property holds it, and the names of its files its digest.

A sort order has an id that manifests carry with each file. For other orders the spec has no such thing, and bounds
of columns do not tell them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping

from lakeopt.errors import UsageError
from lakeopt.model.plan import Layout, MeasuredLayout
from lakeopt.model.serde import from_data, from_json, to_data, to_json

#: Table property with the last layout that has cut points, as JSON: ``digest`` and ``layout``. In the summary of a
#: snapshot the same key holds the layout that it rewrote to, without cut points.
LAYOUT_PROPERTY = "lakeopt.layout"
#: Table property with the layout that was chosen last by measuring, as JSON (:class:`MeasuredLayout`).
MEASURED_PROPERTY = "lakeopt.measured-layout"
#: Snapshot summary: bytes and rows of replaced files that did not lie in the layout, in groups of such files alone, and
#: the bytes that were written for them.
ARRIVAL_BYTES, ARRIVAL_RECORDS = "lakeopt.arrival-bytes", "lakeopt.arrival-records"
WRITTEN_BYTES = "lakeopt.written-bytes"
#: No layout takes so many times the bytes of arrival order.
MOST_BYTES = 1000
_SUFFIX = re.compile(r"-layout-([0-9a-f]{16})\.(?:parquet|orc)$")


def digest(layout: Layout) -> str:
    """16 hexadecimal digits that stand for a layout with all of its cut points."""
    text = json.dumps(to_data(layout), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_suffix(layout: Layout, *, always: bool = False) -> str:
    """How the name of a file in this layout ends. ``always`` is for tables without sort orders.

    >>> name_suffix(Layout("sort"))
    '.parquet'
    """
    named = f"-layout-{digest(layout)}" if always or is_in_names(layout) else ""
    return f"{named}.parquet"


def is_in_names(layout: Layout) -> bool:
    """Whether the names of files say that they lie in this layout: no sort order of the table can."""
    return bool(layout.cuts) or layout.block_rows is not None


def digest_in(path: str) -> str | None:
    """The digest in a file's name, None where it says none.

    >>> digest_in("s3://b/data/p-0001-00000-layout-0123456789abcdef.parquet"), digest_in("s3://b/data/a.parquet")
    ('0123456789abcdef', None)
    """
    found = _SUFFIX.search(path)
    return found[1] if found else None


def table_property(layout: Layout) -> str:
    """The property's value for a layout. Inverse of :func:`recorded`."""
    return json.dumps({"digest": digest(layout), "layout": to_data(layout)}, ensure_ascii=False)


def recorded(properties: Mapping[str, str]) -> Layout | None:
    """The layout that a table's properties hold; None where there is none, or its digest is that of another.

    >>> layout = Layout("z-order", cuts={"a": ("1", "2")})
    >>> recorded({LAYOUT_PROPERTY: table_property(layout)}) == layout
    True
    """
    try:
        held = json.loads(properties.get(LAYOUT_PROPERTY, "null"))
        layout = from_data(Layout, held["layout"])
    except (UsageError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return layout if held.get("digest") == digest(layout) else None


def without_cuts(layout: Layout) -> str:
    """A layout as JSON for summaries and footers, which are many: cut points are left to the property."""
    return to_json(cutless(layout), indent=None)


def cutless(layout: Layout) -> Layout:
    """A layout without its cut points, as it is asked for."""
    return dataclasses.replace(layout, cuts={}, seen=None)


def remembered(properties: Mapping[str, str]) -> MeasuredLayout | None:
    """The layout that a table remembers as chosen by measuring; None where there is none that can be read."""
    try:
        held = from_json(MeasuredLayout, properties.get(MEASURED_PROPERTY, "null"))
    except UsageError:
        return None
    ratios = (held.bytes_ratio, held.read_ratio)
    blocks = held.layout.block_rows is None or held.layout.block_rows > 0
    return held if blocks and all(0 <= ratio < MOST_BYTES for ratio in ratios) else None  # anybody can set a property


def measured_property(
    measured: MeasuredLayout, held: MeasuredLayout | None, arrival: tuple[int, int], written_bytes: int
) -> str | None:
    """The property's value after a commit that wrote rows of ``arrival`` bytes and records into the layout.

    Commits of the plan that chose it add up. None where another plan measured later than this one: a run that ends
    late, or a plan that lay about, must not take the place of what is newer.
    """
    if held is not None and held.plan_id != measured.plan_id and held.measured_at > measured.measured_at:
        return None
    before = held if held is not None and held.plan_id == measured.plan_id else measured
    total = dataclasses.replace(
        measured,
        arrival_bytes=before.arrival_bytes + arrival[0],
        arrival_records=before.arrival_records + arrival[1],
        written_bytes=before.written_bytes + written_bytes,
    )
    return to_json(total, indent=None)
