"""Find the members of a kind by the files of a folder; load one only when it is used.

A kind is a package; each of its modules that does not begin with an underscore and is not ``base``
is one member, whose name on the command line is the module's name with hyphens.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType

from lakeopt.errors import UnknownName

ENGINES = "lakeopt.engines"
STRATEGIES = "lakeopt.layout.strategies"
CHECKS = "lakeopt.analysis.checks"


def names(kind: str) -> list[str]:
    """Sorted names of a kind, without importing any member.

    >>> "bin-pack" in names(STRATEGIES)
    True
    """
    spec = importlib.util.find_spec(kind)
    assert spec is not None, kind
    found = (module.name for module in pkgutil.iter_modules(spec.submodule_search_locations or ()))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_") and name != "base")


def load(kind: str, name: str) -> ModuleType:
    """The module of one member.

    :raises UnknownName: no member has that name; the hint names close ones.
    """
    known = names(kind)
    if name not in known:
        raise UnknownName(kind.rpartition(".")[2].rstrip("s").replace("strategie", "strategy"), name, known)
    return importlib.import_module(f"{kind}.{name.replace('-', '_')}")
