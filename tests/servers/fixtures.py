"""Fixtures of the services: one server of each kind a test run, started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.process import need


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running PostgreSQL: ``postgres.database()`` is the URI of a new, empty database."""
    try:
        from servers.postgres import Postgres
    except ImportError:
        need("PostgreSQL", False, "install the extra `test`")
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    try:
        yield server
    finally:
        server.stop()
