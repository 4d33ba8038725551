"""Parameters of a partition (or a table) that say how many files, bytes and rows it has, after a switch."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: Parameter that holds the id of the last switch.
SWITCH_ID = "lakeopt.switch-id"
#: Says of which statistics Hive may answer queries without reading data.
ACCURATE = "COLUMN_STATS_ACCURATE"
_SPARK = "spark.sql.statistics."


def switched_parameters(
    parameters: Mapping[str, str], switch_id: int, *, files: int, size: int, rows: int
) -> dict[str, str | None]:
    """The parameters that a switch to other files of the same rows sets anew; None stands for one that goes.

    ``rawDataSize`` and statistics of columns are of rows, which are the same: they stay where the rows were counted
    as they are now, and are no longer called accurate where not.

    >>> switched_parameters({"numRows": "4", "COLUMN_STATS_ACCURATE": "true"}, 7, files=1, size=9, rows=3)
    {'lakeopt.switch-id': '7', 'numFiles': '1', 'totalSize': '9', 'numRows': '3', 'COLUMN_STATS_ACCURATE': None}
    """
    made: dict[str, str | None] = {
        SWITCH_ID: str(switch_id),
        "numFiles": str(files),
        "totalSize": str(size),
        "numRows": str(rows),
    }
    same_rows = parameters.get("numRows") == str(rows)
    if ACCURATE in parameters:
        made[ACCURATE] = _accurate(parameters[ACCURATE], same_rows=same_rows)
    if f"{_SPARK}totalSize" in parameters:
        made[f"{_SPARK}totalSize"] = str(size)
    if f"{_SPARK}numRows" in parameters:
        made[f"{_SPARK}numRows"] = str(rows)
    return made


def _accurate(text: str, *, same_rows: bool) -> str | None:
    """What may be called accurate now. Hive before 2.1 wrote ``true`` for all of it.

    >>> _accurate('{"BASIC_STATS":"true","COLUMN_STATS":{"a":"true"}}', same_rows=False)
    '{"BASIC_STATS":"true"}'
    >>> _accurate("true", same_rows=False), _accurate("true", same_rows=True)
    (None, 'true')
    """
    if same_rows:
        return text
    try:
        basic = json.loads(text)["BASIC_STATS"]
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps({"BASIC_STATS": basic}, separators=(",", ":"))


def apply_parameters(parameters: dict[str, str], changes: Mapping[str, str | None]) -> None:
    """Set what has a value, remove what is None."""
    for name, value in changes.items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = value
