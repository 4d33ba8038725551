"""Column statistics of several parts of a file as those of the whole. Numbers are those of ``ColumnStatistics``."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal

from lakeopt.orc.protobuf import Message, packed, zigzag

_VALUES, _HAS_NULL, _BYTES_ON_DISK = 1, 10, 11
_INTEGERS, _DOUBLES, _STRINGS, _BUCKETS, _DECIMALS, _DATES, _BINARIES, _TIMESTAMPS = 2, 3, 4, 5, 6, 7, 8, 9
_INT64 = 1 << 63
_EXACT = Context(prec=100)


def merged(parts: list[Message]) -> Message:
    """Statistics of one column over all parts. What one of them does not say, the whole does not."""
    total = Message()
    total.put(_VALUES, sum(part.whole(_VALUES) for part in parts))
    told = [part for part in parts if part.whole(_VALUES)]
    for number, merge in _MERGES.items():
        held = [part.message(number) for part in told]
        if told and all(one is not None for one in held):
            total.put(number, merge([one for one in held if one is not None]))
    total.put(_HAS_NULL, int(any(part.whole(_HAS_NULL) for part in parts)))
    total.put(_BYTES_ON_DISK, sum(part.whole(_BYTES_ON_DISK) for part in parts) or None)
    return total


def _signed(parts: list[Message], number: int, choose: Callable[[list[int]], int]) -> int | None:
    values = [part.signed(number) for part in parts]
    known = [value for value in values if value is not None]
    if len(known) != len(values):
        return None
    chosen = choose(known)
    return zigzag(chosen) if -_INT64 <= chosen < _INT64 else None


def _integers(parts: list[Message]) -> Message:
    total = _range(parts)
    total.put(3, _signed(parts, 3, sum))
    return total


def _range(parts: list[Message]) -> Message:
    total = Message()
    total.put(1, _signed(parts, 1, min))
    total.put(2, _signed(parts, 2, max))
    return total


def _doubles(parts: list[Message]) -> Message:
    total = Message()
    chosen: list[tuple[int, Callable[[list[float]], float]]] = [(1, min), (2, max), (3, sum)]
    for number, choose in chosen:
        values = [part.double(number) for part in parts]
        known = [value for value in values if value is not None]
        # A bound that is NaN says nothing, and no comparison would show it.
        if len(known) == len(values) and all(value == value for value in known):
            total.put(number, float(choose(known)))
    return total


def _strings(parts: list[Message]) -> Message:
    total = Message()
    bounds: list[tuple[int, int, Callable[[list[bytes]], bytes]]] = [(1, 4, min), (2, 5, max)]
    for exact, cut, choose in bounds:
        held = [(part.content(exact), part.content(cut)) for part in parts]
        known = [whole if whole is not None else short for whole, short in held]
        values = [value for value in known if value is not None]
        if len(values) == len(known):
            whole = all(whole is not None for whole, _ in held)
            total.put(exact if whole else cut, choose(values))
    total.put(3, _signed(parts, 3, sum))
    return total


def _buckets(parts: list[Message]) -> Message:
    counts = [part.wholes(1) for part in parts]
    total = Message()
    if len({len(count) for count in counts}) == 1:
        total.put(1, packed([sum(column) for column in zip(*counts, strict=True)]))
    return total


def _decimals(parts: list[Message]) -> Message:
    total = Message()

    def added(values: list[Decimal]) -> Decimal:
        result = Decimal(0)
        for value in values:
            result = _EXACT.add(result, value)
        return result

    chosen: list[tuple[int, Callable[[list[Decimal]], Decimal]]] = [(1, min), (2, max), (3, added)]
    for number, choose in chosen:
        texts = [part.text(number) for part in parts]
        if all(texts):
            total.put(number, format(choose([Decimal(text) for text in texts if text]), "f").encode())
    return total


def _lengths(parts: list[Message]) -> Message:
    total = Message()
    total.put(1, _signed(parts, 1, sum))
    return total


def _timestamps(parts: list[Message]) -> Message:
    """Milliseconds alone: without nanoseconds readers take the widest that they allow."""
    total = Message()
    for number, choose in ((1, min), (2, max), (3, min), (4, max)):
        total.put(number, _signed(parts, number, choose))
    return total


_MERGES: dict[int, Callable[[list[Message]], Message]] = {
    _INTEGERS: _integers,
    _DOUBLES: _doubles,
    _STRINGS: _strings,
    _BUCKETS: _buckets,
    _DECIMALS: _decimals,
    _DATES: _range,
    _BINARIES: _lengths,
    _TIMESTAMPS: _timestamps,
}
