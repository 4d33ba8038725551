"""lakeopt: how each table of a data lake should lie on disk, found by measuring, applied with proof.

Every command of the ``lakeopt`` program is the function of the same name here.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: Public functions and the module that each lives in; loaded when first used, so that importing lakeopt is cheap.
_HOMES = {
    "tables": "lakeopt.workflows.tables",
    "inspect": "lakeopt.workflows.inspect",
    "profile": "lakeopt.workflows.profile",
    "recommend": "lakeopt.workflows.recommend",
    "buckets": "lakeopt.workflows.buckets",
    "plan": "lakeopt.workflows.plan",
    "rewrite": "lakeopt.workflows.apply",
    "apply": "lakeopt.workflows.saved_plans",
    "expire_snapshots": "lakeopt.workflows.expire_snapshots",
    "sweep": "lakeopt.workflows.sweep",
    "remove_orphan_files": "lakeopt.workflows.remove_orphan_files",
    "restore": "lakeopt.workflows.restore",
    "rewrite_manifests": "lakeopt.workflows.rewrite_manifests",
    "retention": "lakeopt.workflows.retention",
    "migrate": "lakeopt.workflows.migrate",
    "compare": "lakeopt.workflows.compare",
    "bench": "lakeopt.workflows.bench",
    "history": "lakeopt.workflows.history",
    "report": "lakeopt.workflows.report",
    "demo": "lakeopt.workflows.demo",
}
__all__ = ["__version__", *_HOMES]


def function(name: str) -> Any:
    """The public function of that name, from its home."""
    return getattr(importlib.import_module(_HOMES[name]), name)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return function(name)
    raise AttributeError(f"module 'lakeopt' has no attribute {name!r}")
