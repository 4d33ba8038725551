"""Catalogs exactly as pyiceberg is configured: find, load and list them, and say what went wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyiceberg import exceptions
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.table import Table
from pyiceberg.utils.config import Config

from lakeopt.config import Settings
from lakeopt.errors import ConfigurationError, DataFileError, LakeoptError, UnknownName, Unreachable, first_line
from lakeopt.parquet.footers import unreachable
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier

#: Libraries below pyiceberg's catalogs whose own errors mean that the catalog did not answer.
_TRANSPORTS = frozenset({"sqlalchemy", "sqlite3", "psycopg2", "requests", "urllib3", "thrift", "botocore", "google"})
#: Errors that a Hive metastore answered with; they cannot be raised again, so that each has to become one of ours.
_METASTORE = "hive_metastore"
_REFUSALS = (exceptions.RESTError, exceptions.OAuthError)
#: What damaged or unknown metadata makes pyiceberg raise.
UNREADABLE = (exceptions.ValidationError, ValueError, KeyError, EOFError)
_ABSENT = (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError, exceptions.NoSuchIcebergTableError)


def configured_catalogs() -> dict[str, Mapping[str, Any]]:
    """Properties of every catalog in pyiceberg's configuration files and environment, read afresh.

    :raises ConfigurationError: pyiceberg cannot read its configuration.
    """
    try:
        config = Config()
        return {name: config.get_catalog_config(name) or {} for name in config.get_known_catalogs()}
    except Exception as error:  # strictyaml and pyiceberg raise types of their own
        raise ConfigurationError(f"pyiceberg's configuration cannot be read: {first_line(error)}") from error


def default_catalog(settings: Settings) -> str:
    """The catalog of a name that says none: lakeopt's setting, pyiceberg's default, or the only one there is.

    :raises ConfigurationError: none is configured, or several are and none is the default.
    :raises UnknownName: the setting names a catalog that is not configured.
    """
    known = configured_catalogs()
    if settings.catalog is not None:
        if settings.catalog.lower() not in known:
            raise UnknownName("catalog", settings.catalog, known)
        return settings.catalog
    preferred = Config().get_default_catalog_name().lower()
    if preferred in known:
        return preferred
    if len(known) == 1:
        return next(iter(known))
    if not known:
        raise ConfigurationError(
            "no catalog is configured",
            hint="describe one in .pyiceberg.yaml or set PYICEBERG_CATALOG__LAKE__URI and …__WAREHOUSE",
        )
    raise ConfigurationError(
        f"several catalogs are configured: {', '.join(sorted(known))}",
        hint="write catalog.namespace.table, or set LAKEOPT_CATALOG",
    )


def connect(name: str) -> Catalog:
    """The catalog of that name, in the caller's spelling: SQL catalogs keep their tables under it.

    :raises UnknownName: it is not configured.
    :raises ConfigurationError: its properties are wrong.
    :raises Unreachable: it does not answer.
    """
    known = configured_catalogs()
    if name.lower() not in known:
        raise UnknownName("catalog", name, known)
    properties = known[name.lower()]
    _require_file(name, str(properties.get("uri", "")))
    with answering(name):
        try:
            return load_catalog(name, **properties)
        except (ValueError, exceptions.NoSuchPropertyException, exceptions.NotInstalledError) as error:
            raise ConfigurationError(
                f"catalog {name!r}: {first_line(error)}", hint="see pyiceberg's catalog page"
            ) from error


def _require_file(name: str, uri: str) -> None:
    """SQLite makes an empty database out of a mistyped path; a reader must not."""
    path = uri.partition("sqlite:///")[2].partition("?")[0].removeprefix("file:")  # sqlite:///file:x?uri=true
    if uri.startswith("sqlite:///") and path not in ("", ":memory:") and not Path(path).exists():
        raise Unreachable(f"catalog {name!r} is not there: no file {path}", hint="check the catalog's uri")


@contextmanager
def answering(name: str) -> Iterator[None]:
    """Turns what a silent catalog makes its library raise into :class:`Unreachable`; the rest passes."""
    try:
        yield
    except (LakeoptError, *_ABSENT):
        raise
    except Exception as error:
        root = type(error).__module__.partition(".")[0]
        if type(error).__name__ in ("ArgumentError", "NoSuchModuleError"):
            raise ConfigurationError(
                f"catalog {name!r}: {first_line(error)}", hint="check the catalog's uri"
            ) from error
        if root == _METASTORE:
            reason = getattr(error, "message", None) or first_line(error)
            raise Unreachable(f"catalog {name!r} failed: {reason}", hint="see the metastore's log") from error
        if away := unreachable(f"catalog {name!r}", error):
            raise away from error
        if isinstance(error, (OSError, *_REFUSALS)) or root in _TRANSPORTS:
            hint = "is the service up, and are uri and credentials right?"
            raise Unreachable(f"catalog {name!r} does not answer: {first_line(error)}", hint=hint) from error
        raise


def load(catalog: Catalog, identifier: Identifier) -> Table:
    """The table of that name, as the catalog has it now.

    :raises UnknownName: no such namespace or table; the hint names close ones.
    :raises DataFileError: the catalog points at metadata that is missing or cannot be read.
    :raises Unreachable: the catalog does not answer.
    """
    with answering(catalog.name):
        try:
            return catalog.load_table(identifier)
        except _ABSENT as error:
            raise _unknown(catalog, identifier) from error
        except (FileNotFoundError, *UNREADABLE) as error:
            raise _unreadable(catalog, identifier, error) from error


def _unknown(catalog: Catalog, identifier: Identifier) -> UnknownName:
    namespaces = list(walk_namespaces(catalog))
    namespace = identifier[:-1]
    if namespace not in namespaces:
        return unknown_namespace(namespace, namespaces, may_name_catalog=len(namespace) > 1)
    tables = catalog.list_tables(namespace)
    return UnknownName("table", join_identifier(identifier), map(join_identifier, tables))


def unknown_namespace(
    namespace: Identifier, known: Collection[Identifier], *, may_name_catalog: bool = True
) -> UnknownName:
    """The error for a namespace that is none of the known ones; its first part may be meant as a catalog."""
    if may_name_catalog and not any(one[0] == namespace[0] for one in known):
        names = [*configured_catalogs(), *(join_identifier(one[:1]) for one in known)]
        return UnknownName("catalog or namespace", join_identifier(namespace[:1]), names)
    return UnknownName("namespace", join_identifier(namespace), map(join_identifier, known))


def _unreadable(catalog: Catalog, identifier: Identifier, error: Exception) -> DataFileError:
    location = _metadata_location(catalog, identifier)
    name = join_identifier(identifier)
    if isinstance(error, FileNotFoundError):
        what = f"metadata file is missing: {location}" if location else f"metadata file is missing: {first_line(error)}"
        return DataFileError(f"{name}: {what}", hint="restore the file, or register an older metadata file")
    return DataFileError(
        f"{name}: metadata file cannot be read: {location or ''}: {metadata_reason(error)}",
        hint="the file is damaged, or of a format version that pyiceberg does not read",
    )


def _metadata_location(catalog: Catalog, identifier: Identifier) -> str | None:
    """Where the catalog says the metadata is; None where only the catalog's service knows."""
    if not isinstance(catalog, SqlCatalog):
        return None
    from sqlalchemy import select

    columns = IcebergTables
    query = select(columns.metadata_location).where(
        columns.catalog_name == catalog.name,
        columns.table_namespace == ".".join(identifier[:-1]),
        columns.table_name == identifier[-1],
    )
    with catalog.engine.connect() as connection:
        return connection.execute(query).scalar()


def walk_namespaces(catalog: Catalog, under: Identifier = ()) -> Iterator[Identifier]:
    """Every namespace below one, sorted, parents first."""
    for namespace in sorted(set(map(tuple, catalog.list_namespaces(under)))):
        # The SQL catalog matches children by prefix of the text, so that db finds what lies in db2.
        if namespace[: len(under)] == under and len(namespace) == len(under) + 1:
            yield namespace
            yield from walk_namespaces(catalog, namespace)


def metadata_reason(error: BaseException) -> str:
    """What is wrong with a metadata file, without the frame that pydantic puts around it."""
    lines = str(error).strip().splitlines()
    framed = len(lines) > 1 and "validation error" in lines[0]
    said = next((line for line in lines[1:] if line.startswith("  ")), lines[0]) if framed else first_line(error)
    return said.partition(" [type=")[0].strip()
