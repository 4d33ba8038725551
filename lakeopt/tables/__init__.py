"""The metadata side of tables. Called, it is the command: ``lakeopt.tables("nyc")`` lists a namespace.

The folder and the command share their name, so importing anything below here would hide the function of
``lakeopt`` behind this module; the module therefore answers the call itself.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import lakeopt


class _Tables(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return lakeopt.function("tables")(*arguments, **options)


sys.modules[__name__].__class__ = _Tables
