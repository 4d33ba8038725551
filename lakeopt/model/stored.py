"""How a column chunk lies in a file, whatever the file's format; it lives within one process and has no JSON form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """A column chunk of a Parquet row group, or a column of an ORC stripe.

    ``bytes`` are on disk, ``encoded_bytes`` before compression (None where the format does not say). ``encodings`` are
    words, the most frequent first. ``dictionary_share`` is the share of its data in dictionary codes; ``overflowed``
    says that a dictionary was begun and outgrew its limit, so that the values behind that are plain.
    """

    bytes: int
    encoded_bytes: int | None
    codec: str
    encodings: tuple[str, ...]
    dictionary_share: float
    overflowed: bool
