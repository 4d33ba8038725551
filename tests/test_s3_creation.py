"""What obstore is told of a bucket: what pyiceberg's properties and AWS's environment mean to pyarrow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from lakeopt.errors import Refused
from lakeopt.tables.iceberg.s3_creation import create_on_s3, store_options

KEYS = {"s3.access-key-id": "k", "s3.secret-access-key": "s"}


@pytest.fixture(autouse=True)
def no_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("properties", "environment", "told"),
    [
        ({}, {}, {"virtual_hosted_style_request": True, "skip_signature": False}),
        ({"s3.endpoint": "http://h:1"}, {}, {"endpoint": "http://h:1", "virtual_hosted_style_request": False}),
        ({"s3.endpoint": "h:1"}, {"AWS_ENDPOINT_URL": "http://no"}, {"endpoint": "https://h:1"}),
        ({"s3.endpoint": "https://h", "s3.force-virtual-addressing": "true"}, {}, {"endpoint": "https://lake.h"}),
        ({}, {"AWS_ENDPOINT_URL": "http://b", "AWS_ENDPOINT_URL_S3": "http://a"}, {"aws_endpoint_url_s3": "http://a"}),
        ({"client.region": "r"}, {}, {"region": "r"}),
        ({"s3.anonymous": "true"}, {}, {"skip_signature": True}),
    ],
)
def test_where_and_how_it_asks(properties: dict[str, str], environment: dict[str, str], told: dict[str, Any]) -> None:
    config = store_options(properties, environment, "lake", None)["config"]
    assert told.items() <= config.items()


def test_the_bucket_s_own_region_goes_before_the_one_that_was_given() -> None:
    assert store_options({"s3.region": "given"}, {}, "lake", "found")["config"]["region"] == "found"


def test_timeouts_proxy_and_plain_http() -> None:
    properties = {"s3.request-timeout": "2.5", "s3.connect-timeout": "1", "s3.proxy-uri": "http://p"}
    client = store_options({**properties, "s3.endpoint": "http://h"}, {}, "lake", None)["client_options"]
    assert client["timeout"] == timedelta(seconds=2.5)
    assert client["connect_timeout"] == timedelta(seconds=1)
    assert (client["proxy_url"], client["allow_http"]) == ("http://p", True)
    assert not store_options({"s3.endpoint": "https://h"}, {}, "lake", None)["client_options"]["allow_http"]


def test_keys_of_the_properties_go_without_a_token_of_the_environment() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "other", "AWS_SESSION_TOKEN": "other"}
    given = store_options(KEYS, environment, "lake", None)["credential_provider"]()
    assert (given["access_key_id"], given["secret_access_key"], given["token"]) == ("k", "s", None)
    given = store_options({**KEYS, "client.session-token": "t"}, {}, "lake", None)["credential_provider"]()
    assert given["token"] == "t"
    for properties, own in (({}, environment), ({}, {}), ({**KEYS, "s3.anonymous": "true"}, {})):
        assert "credential_provider" not in store_options(properties, own, "lake", None)


@pytest.mark.parametrize("name", ["s3.role-arn", "client.role-arn", "s3.signer"])
def test_credentials_that_it_cannot_make_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="assumed role"):
        store_options({**KEYS, name: "x"}, {}, "lake", None)


def test_a_key_that_it_would_spell_otherwise_is_refused() -> None:
    with pytest.raises(Refused, match=r"s3://lake/a//b: .*empty path segment"):
        create_on_s3({**KEYS, "s3.endpoint": "http://127.0.0.1:1"}, fs.LocalFileSystem(), "lake/a//b", b"")
