"""Space-filling curves: one number a row, so that rows which are near in several columns at once come near in a file.

Codes come in as whole numbers of ``bits`` bits each, one array a column; see :func:`code_bits`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint64]

#: Bits of a curve's number, and of one column's code: cut points are stored in a plan, and more than a thousand of
#: them would tell rows apart that lie on one page anyway.
CURVE_BITS, MAX_CODE_BITS = 60, 10


def code_bits(columns: int) -> int:
    """Bits that the code of each of so many columns may have.

    >>> code_bits(2), code_bits(12)
    (10, 5)
    """
    return max(1, min(MAX_CODE_BITS, CURVE_BITS // columns))


def z_order(codes: Sequence[Codes], bits: int) -> Codes:
    """Interleave the bits of the codes, the first column's bit first (Morton 1966).

    >>> [int(n) for n in z_order([np.array([0, 1, 0, 1], "u8"), np.array([0, 0, 1, 1], "u8")], 1)]
    [0, 2, 1, 3]
    """
    count = len(codes)
    every = np.arange(1 << bits, dtype=np.uint64)
    spread = np.zeros_like(every)
    for bit in range(bits):
        spread |= (every >> np.uint64(bit) & np.uint64(1)) << np.uint64(bit * count)
    number = np.zeros_like(codes[0])
    for place, code in enumerate(codes):
        number |= spread[code] << np.uint64(count - 1 - place)
    return number


def hilbert(codes: Sequence[Codes], bits: int) -> Codes:
    """Number of each row's cell along the Hilbert curve, on which neighbours in number are neighbours in space.

    J. Skilling, "Programming the Hilbert curve", AIP Conference Proceedings 707 (2004): the axes are turned into the
    transposed form of the number, whose bits are then interleaved.

    >>> [int(n) for n in hilbert([np.array([0, 0, 1, 1], "u8"), np.array([0, 1, 1, 0], "u8")], 1)]
    [0, 1, 2, 3]
    """
    axes = [code.copy() for code in codes]
    for bit in range(bits - 1, 0, -1):
        top, below = np.uint64(1 << bit), np.uint64((1 << bit) - 1)
        for axis in axes:
            inside = (axis & top) != 0
            flipped = axes[0] ^ np.where(inside, below, np.uint64(0))
            swapped = np.where(inside, np.uint64(0), (axes[0] ^ axis) & below)
            if axis is axes[0]:
                axis[:] = flipped  # its exchange with itself changes nothing
            else:
                axes[0][:] = flipped ^ swapped
                axis ^= swapped
    for before, axis in itertools.pairwise(axes):
        axis ^= before  # Gray code over the axes
    turned = np.zeros_like(axes[-1])
    for bit in range(bits - 1, 0, -1):
        turned ^= np.where((axes[-1] & np.uint64(1 << bit)) != 0, np.uint64((1 << bit) - 1), np.uint64(0))
    return z_order([axis ^ turned for axis in axes], bits)


#: Curves by the name of their strategy.
CURVES: dict[str, Callable[[Sequence[Codes], int], Codes]] = {"z-order": z_order, "hilbert": hilbert}
