"""One key for all spellings of a location: metadata and listings name the same file in different ways.

``/x``, ``file:/x`` and ``file:///x`` are one file, and so are ``s3://b/k``, ``s3a://b/k`` and ``s3n://b/k``. Keys of
an object store are literal: ``//`` in them is kept and nothing is percent-decoded. In a local path ``//`` and ``/./``
mean ``/``; ``..`` and links are left to those who can ask the file system.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Schemes that name the same store.
_CLASSES = {"": "file", "s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss", "wasb": "abfss", "wasbs": "abfss"}
_LOCATION = r"(?s)^(?:([A-Za-z][A-Za-z0-9+.\-]*):(?://([^/]*))?)?(.*)$"
_NAMED = r"(?s)^(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*):(?://(?P<authority>[^/]*))?)?(?P<path>.*)$"
_LOCAL_HOSTS = ("", "localhost")


def location_key(location: str) -> tuple[str, str, str]:
    """Scheme class, authority and path of a location, without a slash at its end.

    >>> location_key("file:/a b//c/"), location_key("/a b/c")
    (('file', '', '/a b/c'), ('file', '', '/a b/c'))
    >>> location_key("s3a://bucket/x//y%2Fz"), location_key("s3://bucket/")
    (('s3', 'bucket', '/x//y%2Fz'), ('s3', 'bucket', ''))
    """
    match = re.match(_LOCATION, location)
    assert match is not None  # the pattern takes any text
    scheme, authority, path = (match[1] or "").lower(), match[2] or "", match[3]
    scheme = _CLASSES.get(scheme, scheme)
    if scheme == "file":
        authority = "" if authority in _LOCAL_HOSTS else authority
        path = re.sub(r"/(?:\.?/)+", "/", path).removesuffix("/.")
    return scheme, authority, path.rstrip("/")


def location_keys(locations: pa.Array | pa.ChunkedArray) -> pa.Table:
    """:func:`location_key` of many locations at once: columns ``scheme``, ``authority``, ``path``.

    >>> location_keys(pa.array(["s3n://b/k", "file:///x/./y"])).to_pylist()[1]
    {'scheme': 'file', 'authority': '', 'path': '/x/y'}
    """
    column = locations if isinstance(locations, pa.ChunkedArray) else pa.chunked_array([locations], pa.string())
    parts = pc.extract_regex(column, _NAMED)
    scheme, authority, path = (pc.struct_field(parts, name) for name in ("scheme", "authority", "path"))
    scheme = pc.utf8_lower(scheme)
    for spelling, name in _CLASSES.items():
        scheme = pc.if_else(pc.equal(scheme, spelling), name, scheme)
    local: Any = pc.equal(scheme, "file")
    if pc.any(local).as_py():
        authority = pc.if_else(pc.and_(local, pc.equal(authority, "localhost")), "", authority)
        plain = pc.replace_substring_regex(path, r"/(?:\.?/)+", "/")
        path = pc.if_else(local, pc.replace_substring_regex(plain, r"/\.$", ""), path)
    return pa.table({"scheme": scheme, "authority": authority, "path": pc.utf8_rtrim(path, "/")})


def same_place(left: str, right: str) -> bool:
    """Whether two locations name the same file or folder.

    >>> same_place("s3://b/t/", "s3a://b/t"), same_place("s3://b/t", "s3://c/t")
    (True, False)
    """
    return location_key(left) == location_key(right)


def lies_in(location: str, folder: str) -> bool:
    """Whether a location is a folder or lies anywhere below it.

    >>> lies_in("file:/wh/t/data/a", "file:///wh/t"), lies_in("/wh/t2", "/wh/t")
    (True, False)
    """
    scheme, authority, path = location_key(location)
    in_scheme, in_authority, in_path = location_key(folder)
    return (scheme, authority) == (in_scheme, in_authority) and f"{path}/".startswith(f"{in_path}/")
