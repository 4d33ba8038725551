"""Fixtures of the services: one server of each kind a test run, started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from servers.chromium import Chromium
from servers.hive import S3A_JARS, Hive
from servers.process import free_port, need
from servers.rest import Rest
from servers.s3 import S3, Moto

if TYPE_CHECKING:
    from servers.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL: ``postgres.database()`` is the URI of a new, empty database."""
    try:
        from servers.postgres import Postgres
    except ImportError:
        need("PostgreSQL", False, "install the extra `test`")
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """A running REST catalog over local files."""
    folder = tmp_path_factory.mktemp("rest")
    server = Rest(folder, (folder / "warehouse").as_uri())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A running S3 server with the empty bucket ``lake``."""
    server = S3(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rest_on_s3(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> Iterator[Rest]:
    """A running REST catalog whose tables lie on the S3 server."""
    io = {
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.path-style-access": "true",
        "client.region": "us-east-1",
        **{key: value for key, value in s3.properties().items() if key != "s3.region"},
    }
    server = Rest(tmp_path_factory.mktemp("rest-on-s3"), f"s3://{s3.bucket}/rest", io)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """moto's S3 server with the empty bucket ``lake``: its keys may hold ``//`` and ``%2F``."""
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def hive_port() -> int:
    """The port that the metastore has, or will have: Spark must know it before one is started."""
    return free_port()


@pytest.fixture(scope="session")
def hive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hive_port: int) -> Iterator[Hive]:
    """A running Hive metastore over local files, and over those of the S3 server where this machine has one."""
    s3 = request.getfixturevalue("s3") if len(S3A_JARS) == 3 and S3.program() else None
    server = Hive(tmp_path_factory.mktemp("hive"), hive_port, s3)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A running headless Chromium."""
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.stop()
