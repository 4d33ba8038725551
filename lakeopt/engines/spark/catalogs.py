"""Which of Spark's catalogs stands for one of pyiceberg's: named by the user, or made of the same properties."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakeopt.config import CATALOG_SETTING
from lakeopt.errors import ConfigurationError
from lakeopt.model.scan import TableSource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SPARK_CATALOG = "org.apache.iceberg.spark.SparkCatalog"
#: Properties that both sides know by one name.
_SAME = ("warehouse", "uri", "prefix", "credential", "token", "scope", "oauth2-server-uri", "s3.endpoint")
_SAME_S3 = ("s3.access-key-id", "s3.secret-access-key", "s3.session-token")
_HINT = (
    "name Spark's catalog for it: --spark-conf {setting}{name}=<Spark's catalog>, or [spark.catalogs] in lakeopt.toml"
)


def spark_identifier(spark: SparkSession, source: TableSource) -> str:
    """The table's name in Spark; its catalog is made where Spark has none of that name.

    :raises ConfigurationError: pyiceberg's catalog is of a kind that cannot be told to Spark.
    """
    named = source.conf.get(CATALOG_SETTING + source.catalog) or spark.conf.get(CATALOG_SETTING + source.catalog, None)
    name = named or source.catalog
    if spark.conf.get(f"spark.sql.catalog.{name}", None) is None:
        if named is not None and named != source.catalog:
            raise ConfigurationError(
                f"Spark has no catalog {named!r}, which is to stand for {source.catalog!r}",
                hint=f"set spark.sql.catalog.{named}, in spark-defaults or by --spark-conf",
            )
        for key, value in derived(name, source.properties).items():
            spark.conf.set(key, value)
    return ".".join(f"`{part.replace('`', '``')}`" for part in (name, *source.name))


def derived(name: str, properties: Mapping[str, str]) -> dict[str, str]:
    """Settings of a catalog of Spark that is the same as pyiceberg's with these properties.

    >>> derived("lake", {"type": "rest", "uri": "http://127.0.0.1:8181"})["spark.sql.catalog.lake.type"]
    'rest'

    :raises ConfigurationError: it is of a kind that cannot be told to Spark.
    """
    kind = properties.get("type") or _kind_of(properties.get("uri", ""))
    if kind not in _KINDS:
        raise ConfigurationError(
            f"pyiceberg's catalog {name!r} ({kind or 'of no type'}) cannot be told to Spark",
            hint=_HINT.format(setting=CATALOG_SETTING, name=name),
        )
    same = {key: properties[key] for key in (*_SAME, *_SAME_S3) if properties.get(key)}
    options = same | _KINDS[kind](properties) | _storage(properties)
    prefix = f"spark.sql.catalog.{name}"
    return {prefix: _SPARK_CATALOG} | {f"{prefix}.{key}": value for key, value in options.items()}


def _kind_of(uri: str) -> str:
    """As pyiceberg infers it, where no type is given."""
    scheme = uri.partition(":")[0].partition("+")[0]
    return {"http": "rest", "https": "rest", "thrift": "hive", "sqlite": "sql", "postgresql": "sql"}.get(scheme, "")


def _sql(properties: Mapping[str, str]) -> dict[str, str]:
    """A JDBC catalog. Its tables are kept under the catalog's name, which is therefore the same on both sides.

    >>> _sql({"uri": "postgresql+psycopg2://me:pw@host:5433/lake"})["uri"]
    'jdbc:postgresql://host:5433/lake'
    """
    uri = properties.get("uri", "")
    common = {"type": "jdbc", "jdbc.schema-version": "V1"}
    if uri.startswith("sqlite:///"):
        return common | {"uri": f"jdbc:sqlite:{uri.removeprefix('sqlite:///').removeprefix('file:').partition('?')[0]}"}
    parts = urlsplit(re.sub(r"^(\w+)\+\w+:", r"\1:", uri))
    if parts.scheme not in ("postgresql", "mysql") or not parts.hostname:
        raise ConfigurationError(f"the catalog's uri cannot be told to Spark: {uri}", hint="name Spark's own catalog")
    port = f":{parts.port}" if parts.port else ""
    login = {"jdbc.user": parts.username, "jdbc.password": parts.password}
    return (
        common
        | {"uri": f"jdbc:{parts.scheme}://{parts.hostname}{port}{parts.path}"}
        | {key: value for key, value in login.items() if value}
    )


_KINDS: Mapping[str, Callable[[Mapping[str, str]], dict[str, str]]] = {
    "sql": _sql,
    "rest": lambda properties: {"type": "rest"},
    "hive": lambda properties: {"type": "hive"},
    "glue": lambda properties: {"type": "glue"},
}


def _storage(properties: Mapping[str, str]) -> dict[str, str]:
    """Iceberg's own S3 client where pyiceberg's is configured."""
    if not any(name.startswith("s3.") for name in properties):
        return {}
    options = {"io-impl": "org.apache.iceberg.aws.s3.S3FileIO"}
    if properties.get("s3.region"):
        options["client.region"] = properties["s3.region"]
    if properties.get("s3.endpoint"):
        virtual = str(properties.get("s3.force-virtual-addressing", "false")).lower() == "true"
        options["s3.path-style-access"] = str(not virtual).lower()
    return options
