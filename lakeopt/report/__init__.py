"""One HTML page about a table. Called, it is the command: ``lakeopt.report("nyc.flights")`` collects its values.

As with :mod:`lakeopt.tables`, folder and command share their name, so the module answers the call itself.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import lakeopt


class _Report(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return lakeopt.function("report")(*arguments, **options)


sys.modules[__name__].__class__ = _Report
