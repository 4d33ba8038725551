"""The layout that a Hive table's files are meant to lie in: a hidden file beside its new folders says it.

A metastore's parameters would have to be written by altering the whole table, over whatever another writer alters at
the same time; this file is lakeopt's alone. It holds what an Iceberg table's properties hold. Who writes last wins: it
steers what is planned, and nothing rests on it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import fs

from lakeopt.errors import Notice
from lakeopt.model.layout_record import (
    LAYOUT_PROPERTY,
    MEASURED_PROPERTY,
    measured_property,
    remembered,
    table_property,
)
from lakeopt.model.plan import RewritePlan
from lakeopt.tables.hive.new_locations import HIDDEN

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable

NAME = "layout.json"
_KEYS = (LAYOUT_PROPERTY, MEASURED_PROPERTY)
#: The plan that noted its layout last, and what was remembered before it: undoing the plan brings that back.
_PLAN, _BEFORE = "noted-by-plan", "before"


def load(table: HiveTable) -> dict[str, str]:
    """What is remembered, by name of the property; nothing where there is no such file, or none that can be read."""
    held = _read(table)
    return {key: held[key] for key in _KEYS if isinstance(held.get(key), str)}


def remember(table: HiveTable, plan: RewritePlan, staged: Mapping[int, pa.Table]) -> None:
    """Note the layout of a plan of which these groups were written, and what was remembered before that plan.

    A table that cannot take the note is told of.
    """
    noted, held = _read(table), load(table)
    wanted = held | _said(plan, staged, held)
    if wanted != held:
        same = noted.get(_PLAN) == plan.plan_id
        _write(table, {**wanted, _PLAN: plan.plan_id, _BEFORE: noted.get(_BEFORE) if same else held})


def forget(table: HiveTable, plan_id: str) -> None:
    """Remember what was remembered before a plan, which is undone; nothing where a later plan noted its layout."""
    noted = _read(table)
    before = noted.get(_BEFORE)
    if noted.get(_PLAN) == plan_id and isinstance(before, dict):
        _write(table, {key: before[key] for key in _KEYS if isinstance(before.get(key), str)})


def _read(table: HiveTable) -> dict[str, Any]:
    filesystem, path = table.resolve(f"{table.base_location}/{HIDDEN}/{NAME}")
    try:
        with filesystem.open_input_stream(path) as source:
            held = json.loads(source.read())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _write(table: HiveTable, noted: Mapping[str, Any]) -> None:
    filesystem, path = table.resolve(f"{table.base_location}/{HIDDEN}/{NAME}")
    part = f"{path}.part" if isinstance(filesystem, fs.LocalFileSystem) else path
    try:
        with filesystem.open_output_stream(part) as sink:
            sink.write(json.dumps(noted, ensure_ascii=False).encode())
        if part != path:
            filesystem.move(part, path)
    except OSError as error:
        warnings.warn(Notice(f"the layout of {table.identifier} could not be noted: {error}"), stacklevel=2)


def _said(plan: RewritePlan, staged: Mapping[int, pa.Table], held: Mapping[str, str]) -> dict[str, str]:
    """What a plan says of its layout, and how small that made the rows that came to it."""
    said = {LAYOUT_PROPERTY: table_property(plan.layout)} if plan.layout.columns else {}
    if plan.measured is None or plan.is_remembered:
        return said
    pure = [group for group in plan.groups if group.group_id in staged and group.arrival_bytes == group.bytes]
    written = sum(sum(staged[group.group_id]["file_size_in_bytes"].to_pylist()) for group in pure)
    arrival = (sum(group.bytes for group in pure), sum(group.record_count for group in pure))
    measured = measured_property(plan.measured, remembered(held), arrival, written)
    return said if measured is None else said | {MEASURED_PROPERTY: measured}
