"""The leading key of a layout: what its cut points make."""

from __future__ import annotations

import pyarrow as pa

from lakeopt.errors import UsageError
from lakeopt.keys.curves import CURVES
from lakeopt.keys.cut_points import are_ascending, from_text
from lakeopt.keys.leading_key import CurveKey, RangeKey
from lakeopt.model.plan import PV_BUCKETS, Layout
from lakeopt.model.scan import LeadingKey


def layout_key(layout: Layout, schema: pa.Schema) -> LeadingKey | None:
    """The key that a layout's cut points make; None where it has none.

    :raises UsageError: a cut point is no value of its column.
    """
    if not layout.cuts:
        return None
    names = tuple(layout.cuts)
    gone = [name for name in names if name not in schema.names]
    if gone:
        raise UsageError(f"the layout's column {gone[0]!r} is not in the table", hint="make a new plan")
    cuts = tuple(from_text(layout.cuts[name], schema.field(name).type) for name in names)
    if layout.strategy in CURVES and all(are_ascending(cut) and not cut.null_count for cut in cuts):
        return CurveKey(layout.strategy, names, cuts)
    if layout.strategy != PV_BUCKETS or len({len(cut) for cut in cuts}) > 1 or not are_ascending(*cuts):
        raise UsageError(f"these are no cut points of a layout {layout.strategy!r}", hint="make a new plan")
    seen = None if layout.seen is None else from_text(layout.seen, schema.field(names[0]).type)
    return RangeKey(names, cuts, seen)
