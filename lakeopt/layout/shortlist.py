"""Which columns are worth trying as a key: nearly all of a narrow table's, some of a very wide one's."""

from __future__ import annotations

from collections.abc import Mapping

#: Every trial encodes all columns, so trying all columns as keys costs the square of their number.
MAX_KEYS, LOWEST = 64, 24


def shortlist(
    cardinality: Mapping[str, int], encoded_bytes: Mapping[str, int], rows: int, most: int = MAX_KEYS
) -> list[str]:
    """Possible key columns by ascending cardinality (number of different values, null counted); no constants.

    Of more than ``most``, those of lowest cardinality stay, since they lead well, and those whose own
    repeated values take the most bytes, since sorting by a column saves at least those.

    >>> shortlist({"a": 9, "b": 2, "c": 1}, {"a": 10, "b": 10, "c": 10}, rows=100)
    ['b', 'a']
    """
    ascending = sorted((name for name in cardinality if cardinality[name] > 1), key=cardinality.__getitem__)
    if len(ascending) <= most:
        return ascending

    def repeated_bytes(name: str) -> float:
        return encoded_bytes[name] * (1 - cardinality[name] / max(1, rows))

    lowest = min(LOWEST, most // 2)
    heavy = sorted(ascending[lowest:], key=repeated_bytes, reverse=True)[: most - lowest]
    kept = {*ascending[:lowest], *heavy}
    return [name for name in ascending if name in kept]
