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
from lakeopt.model.plan import Layout
from lakeopt.model.serde import from_data, to_data, to_json

#: Table property with the last layout that has cut points, as JSON: ``digest`` and ``layout``.
LAYOUT_PROPERTY = "lakeopt.layout"
_SUFFIX = re.compile(r"-layout-([0-9a-f]{16})\.parquet$")


def digest(layout: Layout) -> str:
    """16 hexadecimal digits that stand for a layout with all of its cut points."""
    text = json.dumps(to_data(layout), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_suffix(layout: Layout) -> str:
    """How the name of a file in this layout ends.

    >>> name_suffix(Layout("sort"))
    '.parquet'
    """
    return f"-layout-{digest(layout)}.parquet" if is_in_names(layout) else ".parquet"


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
    return to_json(dataclasses.replace(layout, cuts={}, seen=None), indent=None)
