"""Order data files so that each has all the equality deletes of those before it, and some more.

Later equality deletes apply to whatever earlier ones apply to (in one partition always), so that "does this file apply
to that one" becomes a comparison of two numbers, and of many files that delete one key a single one decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chain:
    """A delete file applies to a data file where its number in ``first`` is not above the one in ``places``."""

    places: dict[int, int] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)


def chains(applied: Mapping[int, frozenset[int]]) -> list[Chain]:
    """Divide data files into chains, from the delete files that apply to each; mostly a single one.

    >>> chains({0: frozenset({7, 8}), 1: frozenset({8})})
    [Chain(places={1: 0, 0: 1}, first={8: 0, 7: 1})]
    >>> len(chains({0: frozenset({7}), 1: frozenset({8})}))
    2
    """
    found: list[tuple[Chain, frozenset[int]]] = []
    for data_file, deletes in sorted(applied.items(), key=lambda item: len(item[1])):
        at = next((i for i, (_, last) in enumerate(found) if last <= deletes), len(found))
        chain, last = found[at] if at < len(found) else (Chain(), frozenset())
        place = len(chain.places)
        chain.places[data_file] = place
        chain.first.update(dict.fromkeys(sorted(deletes - last), place))
        found[at : at + 1] = [(chain, deletes)]
    return [chain for chain, _ in found]
