"""Exclusive creation on S3: ``If-None-Match: *``, which pyarrow does not send and obstore does.

The object goes where the table's own FileIO would put it: pyiceberg's properties mean here what they mean there, and
what they leave open is looked for where AWS's SDK, which pyarrow reads with, looks for it.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyarrow import fs
from pyiceberg.utils.properties import property_as_bool

from lakeopt.errors import MissingExtra, Refused, first_line

SCHEMES = ("s3", "s3a", "s3n")

#: What the SDK would make credentials of and obstore would not.
_UNREAD = ("role_arn", "credential_process", "sso_session", "sso_start_url")

Properties = dict[str, Any]


def create_on_s3(properties: Properties, filesystem: fs.FileSystem, path: str, body: bytes) -> bool:
    """Write an object of a bucket if its name is free; False where it is taken. ``path`` begins with the bucket.

    :raises Refused: a key or credentials that obstore cannot use.
    :raises MissingExtra: obstore is not installed.
    :raises OSError: the storage cannot be written.
    """
    if importlib.util.find_spec("obstore") is None:
        raise MissingExtra("obstore", "s3")
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import S3Store

    bucket, _, key = path.partition("/")
    region = getattr(filesystem, "region", None)  # as it was found out for the bucket
    options = store_options(properties, os.environ, bucket, region)
    try:
        obstore.put(S3Store(bucket, **options), key, body, mode="create")
    except AlreadyExistsError:
        return False
    except BaseError as error:
        raise OSError(first_line(error)) from error
    except ValueError as error:
        raise Refused(f"nothing can be created exclusively at s3://{path}: {first_line(error)}") from error
    return True


def store_options(properties: Properties, environment: Mapping[str, str], bucket: str, region: str | None) -> Any:
    """What obstore's ``S3Store`` is to be told of a bucket: all that it would otherwise take from elsewhere.

    :raises Refused: credentials that it cannot make.
    """
    anonymous = property_as_bool(properties, "s3.anonymous", False)
    endpoint = properties.get("s3.endpoint") or next(
        (environment[name] for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if environment.get(name)), None
    )
    virtual = property_as_bool(properties, "s3.force-virtual-addressing", False) or endpoint is None
    config: dict[str, Any] = {"skip_signature": anonymous, "virtual_hosted_style_request": virtual}
    if endpoint is not None:
        scheme, _, host = endpoint.rpartition("://")
        url = f"{scheme or 'https'}://{bucket + '.' if virtual else ''}{host}"
        config |= {"endpoint": url, "aws_endpoint_url_s3": url}
    if region := region or _first(properties, "s3.region", "client.region"):
        config["region"] = region
    client: dict[str, Any] = {"allow_http": endpoint is not None and endpoint.startswith("http://")}
    if proxy := properties.get("s3.proxy-uri"):
        client["proxy_url"] = proxy
    for name, option in (("s3.connect-timeout", "connect_timeout"), ("s3.request-timeout", "timeout")):
        if seconds := properties.get(name):
            client[option] = timedelta(seconds=float(seconds))
    options: dict[str, Any] = {"config": config, "client_options": client}
    # Handed over as one, so that no session token of the environment comes beside keys of the properties.
    if not anonymous and (credential := _credential(properties, environment)) is not None:
        options["credential_provider"] = lambda: credential
    return options


def _credential(properties: Properties, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Keys of the properties, else of a profile that they or the environment name; None leaves the rest to obstore.

    It looks itself at keys in the environment, which go before any profile but one of the properties, at web
    identities, and at what containers and machines are given.
    """
    if _first(properties, "s3.role-arn", "client.role-arn") or properties.get("s3.signer"):
        raise Refused("leases on S3 know neither an assumed role nor a remote signer")
    names = (("s3.access-key-id", "client.access-key-id"), ("s3.secret-access-key", "client.secret-access-key"))
    key, secret = (_first(properties, *both) for both in names)
    if key and secret:
        return _keys(key, secret, _first(properties, "s3.session-token", "client.session-token"))
    profile = _first(properties, "s3.profile-name", "client.profile-name")
    if profile is None and environment.get("AWS_ACCESS_KEY_ID"):
        return None
    return _of_profile(profile or environment.get("AWS_PROFILE") or "default", environment)


def _of_profile(profile: str, environment: Mapping[str, str]) -> dict[str, Any] | None:
    held: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    ):
        own = configparser.RawConfigParser()
        try:
            own.read(environment.get(variable) or Path.home() / ".aws" / file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise Refused(f"AWS's {file} file cannot be read: {first_line(error)}") from error
        held |= dict(own[section]) if own.has_section(section) else {}
    if "aws_access_key_id" in held and "aws_secret_access_key" in held:
        return _keys(held["aws_access_key_id"], held["aws_secret_access_key"], held.get("aws_session_token"))
    if unread := next((name for name in _UNREAD if name in held), None):
        raise Refused(f"leases on S3 make no credentials of {unread} in AWS's profile {profile!r}")
    return None


def _keys(key: str, secret: str, token: str | None) -> dict[str, Any]:
    return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}


def _first(properties: Properties, *names: str) -> str | None:
    return next((str(properties[name]) for name in names if properties.get(name)), None)
