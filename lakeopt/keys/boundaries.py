"""Cut points made ready for looking many values up: engines ask for the places of a few thousand rows at a time."""

from __future__ import annotations

import bisect
import itertools
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.keys.comparable import comparable

Side = Literal["left", "right"]
Places = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]

#: Text is compared by so many bytes behind the prefix that all cut points share, and in full only where these tie.
_WIDTH = 8
#: A decimal of up to so many digits fits 64 bits.
_NARROW_DIGITS = 18


class Boundaries:
    """Ascending cut points, none of them null.

    >>> cuts = Boundaries(pa.array(["item-a", "item-b"]))
    >>> cuts.places(pa.array(["item", "item-a", "item-aa", "item-b", "z", None])).tolist()
    [0, 1, 1, 2, 2, 0]
    >>> cuts.places(pa.array(["item-a", "item-b"]), "left").tolist()
    [0, 1]
    """

    def __init__(self, cuts: pa.Array) -> None:
        bounds = comparable(cuts)
        self._kind, self._count = bounds.type, len(bounds)
        self._limits: npt.NDArray[np.integer] | None = None
        self._texts: list[bytes] = []
        if is_numeric(self._kind):
            self._limits = numbers(bounds)
        elif _is_text(self._kind):
            self._texts = [bytes(value) for value in _binary(bounds).to_pylist()]
            self._prefix = _shared(self._texts[0], self._texts[-1]) if self._texts else b""
            self._packed = _pack(_binary(bounds), len(self._prefix))
        else:
            self._bounds = bounds

    def places(self, values: pa.Array, side: Side = "right") -> Places:
        """Number of cut points that are not above each value (``left``: of those below it); null is below all."""
        if pa.types.is_dictionary(values.type):
            found = np.append(self.places(values.dictionary, side), 0)
            places: Places = found[np.asarray(values.indices.fill_null(len(found) - 1))]
            return places
        ordered = comparable(values)
        places = self._found(ordered, side) if self._count else np.zeros(len(ordered), np.int64)
        if ordered.null_count:
            places[ordered.is_null().to_numpy(zero_copy_only=False)] = 0
        return places

    def _found(self, values: pa.Array, side: Side) -> Places:
        if self._limits is not None:
            return np.searchsorted(self._limits, numbers(values), side=side).astype(np.int64)
        if not self._texts:
            encoded = values.dictionary_encode()
            ranks = np.asarray(pc.rank(pa.concat_arrays([self._bounds, encoded.dictionary]), tiebreaker="dense"))
            limits, dictionary = ranks[: self._count], ranks[self._count :]
            wanted = np.append(dictionary, 0)[np.asarray(encoded.indices.fill_null(len(dictionary)))]
            among: Places = np.searchsorted(limits, wanted, side=side).astype(np.int64)
            return among
        texts = _binary(values)
        packed = _pack(texts, len(self._prefix))
        places: Places = np.searchsorted(self._packed, packed, side="left").astype(np.int64)
        tied = self._packed[np.minimum(places, self._count - 1)] == packed
        if self._prefix:
            tied |= ~_begin_with(texts, self._prefix)
        if tied.any():
            encoded = texts.filter(pa.array(tied)).dictionary_encode()
            search = bisect.bisect_right if side == "right" else bisect.bisect_left
            exact = np.array([search(self._texts, value) for value in encoded.dictionary.to_pylist()] + [0], np.int64)
            places[tied] = exact[np.asarray(encoded.indices.fill_null(len(exact) - 1))]
        return places


def is_numeric(kind: pa.DataType) -> bool:
    """Whether :func:`numbers` takes values of this type."""
    narrow = pa.types.is_decimal(kind) and kind.precision <= _NARROW_DIGITS
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_temporal(kind) or narrow)


def numbers(values: pa.Array) -> npt.NDArray[np.integer]:
    """Whole numbers that compare as the values do; what stands for null is any of them."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif pa.types.is_decimal(kind):
        words = np.frombuffer(values.buffers()[1] or b"", np.int64) if len(values) else np.zeros(0, np.int64)
        width = kind.bit_width // 64
        return words[values.offset * width : (values.offset + len(values)) * width : width]
    elif pa.types.is_temporal(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False))


def _shared(one: bytes, two: bytes) -> bytes:
    """The prefix that both have."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))
    return bytes(byte for byte, _ in same)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _binary(values: pa.Array) -> pa.Array:
    """The same bytes in one type; text compares by its UTF-8 bytes."""
    return values.cast(pa.large_binary())


def _spans(values: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each value begins and ends, and the bytes of all."""
    _, offsets, data = values.buffers()
    edges = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    body = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return edges[:-1], edges[1:], body


def _bytes(values: pa.Array, skip: int, width: int) -> npt.NDArray[np.uint8]:
    """So many bytes of each value from a place on, zero where it has ended."""
    if not len(values):
        return np.zeros((0, width), np.uint8)
    starts, ends, body = _spans(values)
    at = (starts + skip)[:, None] + np.arange(width)
    taken: npt.NDArray[np.uint8] = body[np.minimum(at, len(body) - 1)]
    taken[at >= ends[:, None]] = 0
    return taken


def _pack(values: pa.Array, skip: int) -> Packed:
    """Numbers that compare as these bytes do."""
    packed: Packed = np.ascontiguousarray(_bytes(values, skip, _WIDTH)).view(">u8").ravel().astype(np.uint64)
    return packed


def _begin_with(values: pa.Array, prefix: bytes) -> npt.NDArray[np.bool_]:
    """Whether each value begins with it; one that is shorter and would only with zeros behind it does not."""
    if not len(values):
        return np.zeros(0, np.bool_)
    starts, ends, _ = _spans(values)
    same: npt.NDArray[np.bool_] = (_bytes(values, 0, len(prefix)) == np.frombuffer(prefix, np.uint8)).all(axis=1)
    return same & (ends - starts >= len(prefix))
