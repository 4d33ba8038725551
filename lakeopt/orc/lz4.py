"""LZ4 blocks, as ORC has them: without the size that pyarrow wants to know beforehand.

Source: "LZ4 Block Format Description" of the LZ4 project.
"""

from __future__ import annotations

#: What a length of four bits says where it goes on in the next bytes, and the shortest match.
_MORE, _SHORTEST = 15, 4


def decompress_block(data: bytes) -> bytes:
    """What a block holds.

    >>> decompress_block(bytes([0x1B, 97, 1, 0, 0x50]) + b"aaaaa")
    b'aaaaaaaaaaaaaaaaaaaaa'

    :raises IndexError: it ends too early.
    :raises ValueError: it leads out of itself.
    """
    out, at = bytearray(), 0
    while True:
        token, at = data[at], at + 1
        size, at = _length(data, at, token >> 4)
        if at + size > len(data):
            raise IndexError("an LZ4 block ends too early")
        out += data[at : at + size]
        at += size
        if at == len(data):
            return bytes(out)
        offset = int.from_bytes(data[at : at + 2], "little")
        length, at = _length(data, at + 2, token & _MORE)
        length += _SHORTEST
        start = len(out) - offset
        if offset == 0 or start < 0:
            raise ValueError("an LZ4 block refers to what is not there")
        seen = out[start : start + length]  # a match may reach into what it makes itself
        out += (seen * (length // len(seen) + 1))[:length]


def _length(data: bytes, at: int, length: int) -> tuple[int, int]:
    """A length of four bits with the bytes that add to it, and where these end."""
    more = 255 if length == _MORE else 0
    while more == 255:
        more, at = data[at], at + 1
        length += more
    return length, at
