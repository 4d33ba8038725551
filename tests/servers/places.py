"""Lakes of every catalog over every store, for the suites that run on all of them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from lake import Lake

SERVICES = {"postgres": "PostgreSQL", "rest": "Iceberg REST catalog", "hive": "Hive metastore", "s3": "S3 (versitygw)"}
#: A Hive metastore makes the folders of its tables itself, and 2.3 knows no S3: no recipe is proved yet.
UNPROVED = {("hive", "s3"): "Iceberg tables of a Hive metastore on S3 are unproved; Hive tables are in test_hive_on_s3"}


def marks(catalog: str, store: str) -> list[Any]:
    """The services that a pair needs."""
    return [pytest.mark.service(SERVICES[name]) for name in (catalog, store) if name in SERVICES]


def lake_at(request: pytest.FixtureRequest, root: Path, catalog: str, store: str) -> Lake:
    """A lake of that catalog over that store; its servers are started by the first that asks."""
    properties: dict[str, str] = {}
    if store == "s3":
        server = request.getfixturevalue("s3")
        properties |= {**server.properties(), "warehouse": f"s3://{server.bucket}/{uuid.uuid4().hex}"}
    if catalog == "postgres":
        properties["uri"] = request.getfixturevalue("postgres").database()
    elif catalog == "rest":
        running = request.getfixturevalue("rest" if store == "local" else "rest_on_s3")
        properties |= {"type": "rest", "uri": running.uri}
    elif catalog == "hive":
        own = {"type": "hive", "uri": request.getfixturevalue("hive").uri, "hive.hive2-compatible": "true"}
        properties |= own
    return Lake(root, properties=properties)


def new_namespace() -> str:
    """A namespace that no other test of this run has: some servers serve them all."""
    return f"n{uuid.uuid4().hex[:12]}"
