"""Z-order: rows along Morton's curve over some columns, so that filters on any of them skip files."""

from __future__ import annotations

from lakeopt.layout.strategies._curve import Curve
from lakeopt.layout.strategies.base import Strategy

STRATEGY: Strategy = Curve("z-order", "order rows along Morton's curve over --sort-by")
