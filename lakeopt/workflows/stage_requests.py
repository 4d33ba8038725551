"""What an engine is asked to write for a plan: the order and form of its layout, and who made the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lakeopt import __version__
from lakeopt.keys.curves import CURVES
from lakeopt.keys.layout_key import layout_key
from lakeopt.model.layout_record import without_cuts
from lakeopt.model.plan import Layout
from lakeopt.model.scan import Scan, StageRequest, WriterOptions


class Staged(Protocol):
    """A plan whose files are written anew."""

    @property
    def plan_id(self) -> str:
        """Stands in the footers of its files."""

    @property
    def layout(self) -> Layout:
        """The order of rows."""

    @property
    def writer(self) -> Mapping[str, Any]:
        """As of :meth:`WriterOptions.as_mapping`."""

    @property
    def target_file_bytes(self) -> int:
        """Size of a full file."""


def stage_request(
    plan: Staged, scan: Scan, locate: Callable[[int], str], *, memory_bytes: int, threads: int, spill: str, **more: Any
) -> StageRequest:
    """The request for the rows of a scan; ``more`` are other values of :class:`StageRequest`."""
    sort = tuple((c.name, c.direction == "asc", c.nulls == "first") for c in plan.layout.columns)
    return StageRequest(
        scan=scan,
        sort=() if plan.layout.strategy in CURVES else sort,
        writer=WriterOptions.from_mapping(plan.writer),
        target_file_bytes=plan.target_file_bytes,
        locate=locate,
        memory_bytes=memory_bytes,
        threads=threads,
        temp_dir=spill,
        footer_metadata={
            "lakeopt.version": __version__,
            "lakeopt.plan-id": plan.plan_id,
            "lakeopt.layout": without_cuts(plan.layout),
        },
        leading=layout_key(plan.layout, scan.schema),
        block_rows=plan.layout.block_rows,
        **more,
    )
