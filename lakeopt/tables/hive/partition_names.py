"""Names of partitions, ``key=value`` joined by ``/``, with the escapes of Hive's ``FileUtils`` (Spark has the same).

A null has a name of its own, and so has, to Hive, an empty text: what is read back from it is a null.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: How a null is named, unless a cluster was told otherwise (``hive.exec.default.partition.name``).
NULL_NAME = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = frozenset("\"#%'*/:=?\\{[]^\x7f") | frozenset(map(chr, range(1, 0x20)))
_CODE = re.compile("%([0-9A-Fa-f]{2})")


def escape(text: str) -> str:
    """A key or value as part of a name.

    >>> escape("a/b=c%20 ü"), escape("")
    ('a%2Fb%3Dc%2520 ü', '__HIVE_DEFAULT_PARTITION__')
    """
    return "".join(f"%{ord(c):02X}" if c in _ESCAPED else c for c in text) or NULL_NAME


def unescape(text: str) -> str:
    """The text that a part of a name stands for. A ``%`` without two hexadecimal digits stands for itself.

    >>> unescape("a%2Fb%3Dc%2520 ü"), unescape("50%"), unescape("%C3%BC")
    ('a/b=c%20 ü', '50%', 'Ã¼')
    """
    return _CODE.sub(lambda code: chr(int(code[1], 16)), text)


def partition_name(columns: Sequence[str], values: Sequence[str | None]) -> str:
    """Name of a partition; its columns are spelt as the table spells them.

    >>> partition_name(["day", "k"], ["2026-01-01", None])
    'day=2026-01-01/k=__HIVE_DEFAULT_PARTITION__'
    """
    pairs = zip(columns, values, strict=True)
    return "/".join(f"{escape(name)}={NULL_NAME if value is None else escape(value)}" for name, value in pairs)


def parse_folder(name: str) -> tuple[str, str | None] | None:
    """Key and value of one folder's name; None where it is none of a partition.

    >>> parse_folder("k=a%3Db"), parse_folder("k=__HIVE_DEFAULT_PARTITION__"), parse_folder("data")
    (('k', 'a=b'), ('k', None), None)
    """
    key, equals, value = name.partition("=")
    if not equals or not key:
        return None
    return unescape(key), value_of(unescape(value))


def value_of(stored: str) -> str | None:
    """A value as a metastore keeps it, decoded already, as a reader sees it.

    >>> value_of("x"), value_of("__HIVE_DEFAULT_PARTITION__")
    ('x', None)
    """
    return None if stored in (NULL_NAME, "") else stored
