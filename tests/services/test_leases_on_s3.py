"""Exclusive creation on real S3 servers: of many that create one object at once, one does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lake import Lake
from pyiceberg.io.pyarrow import PyArrowFileIO
from servers.places import lake_at, new_namespace
from servers.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY

import lakeopt
from lakeopt.errors import Notice, Refused
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.exclusive_create import create_exclusively

_PARTS = {"s3.access-key-id", "s3.secret-access-key", "s3.region"}
#: Waits for a line, then creates what it is told to as often as it is told to; says how often it was the first.
_RACER = """
import json, sys
from pyiceberg.io.pyarrow import PyArrowFileIO
from lakeopt.tables.iceberg.exclusive_create import create_exclusively
properties, places, body = json.loads(sys.argv[1])
io = PyArrowFileIO(properties)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([create_exclusively(io, place, body.encode()) for place in places]))
"""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.service(name)) for name in ("s3", "moto")])
def server(request: pytest.FixtureRequest) -> S3:
    found: S3 = request.getfixturevalue(request.param)
    return found


def place_on(server: S3) -> str:
    return f"s3://{server.bucket}/{new_namespace()}/leases/key/0001.json"


def create(server: S3, place: str, body: bytes, **changed: str) -> bool:
    properties = {key: value for key, value in {**server.properties(), **changed}.items() if value}
    return create_exclusively(PyArrowFileIO(properties), place, body)


def read(server: S3, place: str) -> bytes:
    with PyArrowFileIO(dict(server.properties())).new_input(place).open() as source:
        return source.read()


def test_of_many_threads_one_creates_the_object(server: S3) -> None:
    place = place_on(server)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create(server, place, b"%d" % number), range(8)))
    assert made.count(True) == 1
    assert read(server, place) == b"%d" % made.index(True)
    assert not create(server, place.replace("s3:", "s3a:"), b"again")


@pytest.mark.fault
@pytest.mark.slow
def test_of_two_processes_one_creates_each_object(server: S3) -> None:
    places = [place_on(server) for _ in range(20)]
    racers = []
    for body in "ab":
        task = json.dumps([dict(server.properties()), places, body])
        command = [sys.executable, "-W", "ignore", "-c", _RACER, task]
        racers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    first, second = (json.loads(racer.communicate(timeout=60)[0]) for racer in racers)
    assert [left + right for left, right in zip(first, second, strict=True)] == [1] * len(places)
    assert [read(server, place) for place in places] == [b"a" if won else b"b" for won in first]


def test_keys_are_spelt_as_the_table_reads_them(server: S3) -> None:
    place = place_on(server).replace("key", "ü b+c%20&=*")
    assert create(server, place, b"1")
    assert read(server, place) == b"1"
    assert not create(server, place, b"2")


@pytest.mark.service("s3")
@pytest.mark.parametrize("profile", ["default", "other"])
def test_credentials_of_a_profile_and_of_the_environment(
    s3: S3, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    own = tmp_path / "credentials"
    own.write_text(f"[{profile}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(own))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", profile)
    without = dict.fromkeys(_PARTS, "") | {"s3.region": REGION}
    assert create(s3, place_on(s3), b"1", **without)
    own.write_text(f"[{profile}]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = y\n")
    with pytest.raises(Refused, match=f"no credentials of role_arn in AWS's profile '{profile}'"):
        create(s3, place_on(s3), b"1", **without)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    assert create(s3, place_on(s3), b"1", **without)


@pytest.mark.service("s3")
def test_what_the_environment_says_gives_way_to_the_properties(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "somebody-else")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert create(s3, place_on(s3), b"1")
    with pytest.raises(OSError, match="403"):
        create(s3, place_on(s3), b"1", **{"s3.secret-access-key": "wrong"})


@pytest.mark.service("s3")
def test_other_stores_are_refused_by_name() -> None:
    with pytest.raises(Refused, match="gs://bucket/key"):
        create_exclusively(PyArrowFileIO({"gcs.oauth2.token": "x"}), "gs://bucket/key", b"")


@pytest.mark.slow
@pytest.mark.service("s3")
def test_a_run_without_the_extra_says_how_to_get_it(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake: Lake = lake_at(request, tmp_path / "lake", "sqlite", "s3")
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    table = lake.flights(f"{new_namespace()}.flights", days=2)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "obstore" else found(name))
    with pytest.warns(Notice, match=r"^no leases: .*'obstore' is not installed.*pip install 'lakeopt\[s3\]'"):
        result = lakeopt.rewrite("lake." + ".".join(table.name()), sort_by=(SortField("dest"),))
    assert result.groups_done == 1
