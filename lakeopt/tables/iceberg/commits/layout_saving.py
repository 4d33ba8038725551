"""What a commit says of its layout: how small it made the rows that came to it, and what the table is to remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table.update import SetPropertiesUpdate, TableUpdate

from lakeopt.model.layout_record import (
    ARRIVAL_BYTES,
    ARRIVAL_RECORDS,
    LAYOUT_PROPERTY,
    MEASURED_PROPERTY,
    WRITTEN_BYTES,
    measured_property,
    remembered,
    table_property,
)
from lakeopt.model.plan import FileGroup, RewritePlan


@dataclass(frozen=True, slots=True)
class LayoutSaving:
    """Bytes and rows of replaced files that did not lie in the layout, and the bytes that were written for them.

    Groups that hold other files too, or rows that deletes took out, are left out: they would tell of something else.
    """

    arrival_bytes: int = 0
    arrival_records: int = 0
    written_bytes: int = 0

    @classmethod
    def of(cls, groups: Sequence[FileGroup], staged: Mapping[int, pa.Table]) -> LayoutSaving:
        """What the groups of a commit saved, by the files that were staged for them."""
        pure = [group for group in groups if group.arrival_bytes == group.bytes and not group.delete_files]
        written = [pc.sum(staged[group.group_id]["file_size_in_bytes"]).as_py() or 0 for group in pure]
        return cls(sum(group.bytes for group in pure), sum(group.record_count for group in pure), sum(written))

    @property
    def summary(self) -> dict[str, str]:
        """What the snapshot's summary says of it; nothing where there is nothing to say."""
        if not self.arrival_records:
            return {}
        values = (self.arrival_bytes, self.arrival_records, self.written_bytes)
        return dict(zip((ARRIVAL_BYTES, ARRIVAL_RECORDS, WRITTEN_BYTES), map(str, values), strict=True))

    def updates(self, plan: RewritePlan, properties: Mapping[str, str]) -> list[TableUpdate]:
        """What a commit sets of the table's properties: cut points, and the layout that this plan chose."""
        wanted: dict[str, str | None] = {LAYOUT_PROPERTY: table_property(plan.layout)} if plan.layout.cuts else {}
        if plan.measured is not None and not plan.is_remembered:
            arrival = (self.arrival_bytes, self.arrival_records)
            held = remembered(properties)
            wanted[MEASURED_PROPERTY] = measured_property(plan.measured, held, arrival, self.written_bytes)
        changed = {name: value for name, value in wanted.items() if value not in (None, properties.get(name))}
        return [SetPropertiesUpdate(updates=changed)] if changed else []
