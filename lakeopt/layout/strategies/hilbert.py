"""Hilbert: rows along Hilbert's curve over some columns; it never jumps, so that files are nearer to squares."""

from __future__ import annotations

from lakeopt.layout.strategies._curve import Curve
from lakeopt.layout.strategies.base import Strategy

STRATEGY: Strategy = Curve("hilbert", "order rows along Hilbert's curve over --sort-by")
