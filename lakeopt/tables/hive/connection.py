"""Connections to a Hive metastore, which end in time where it does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlparse

from lakeopt.errors import ConfigurationError, MissingExtra, Unreachable, first_line

#: Seconds that one answer is waited for, unless the catalog's property ``hive.client-timeout-seconds`` says otherwise.
TIMEOUT = 60.0
_TIMEOUT_PROPERTY = "hive.client-timeout-seconds"
_HINT = "is the metastore up, and are uri and credentials right?"


class Metastore:
    """A metastore as a catalog of pyiceberg's configuration names it: its properties ``uri``, ``ugi`` and so on."""

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self.properties = {key: str(value) for key, value in properties.items()}

    def connected(self, *, raw: bool = False) -> Connection:
        """A Thrift client, closed afterwards. What the metastore answers of a name or a lock is raised as it comes.

        With ``raw`` every error is raised as the client raised it.

        :raises Unreachable: it does not answer, or answers that something went wrong in it.
        :raises MissingExtra: the extra ``hive`` is not installed.
        """
        return Connection(self, raw=raw)

    def open(self) -> Any:
        """An open transport to the first address that takes one."""
        from thrift.transport.TTransport import TTransportException

        refused: Exception | None = None
        for address in self.properties.get("uri", "").split(","):
            transport = self._transport(address.strip())
            try:
                transport.open()
                return transport
            except (TTransportException, OSError) as error:
                refused = error
        raise self.silent(refused or OSError("no uri")) from refused

    def _transport(self, address: str) -> Any:
        from thrift.transport import TSocket, TTransport

        parts = urlparse(address)
        if not parts.hostname or not parts.port:
            raise ConfigurationError(f"catalog {self.name!r}: {address!r} is no address", hint="thrift://host:9083")
        socket = TSocket.TSocket(parts.hostname, parts.port)
        socket.setTimeout(1000 * self._timeout())
        if self.properties.get("hive.kerberos-authentication", "false").lower() != "true":
            return TTransport.TBufferedTransport(socket)
        service = self.properties.get("hive.kerberos-service-name", "hive")
        return TTransport.TSaslClientTransport(socket, host=parts.hostname, service=service)

    def _timeout(self) -> float:
        text = self.properties.get(_TIMEOUT_PROPERTY, str(TIMEOUT))
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(f"catalog {self.name!r}: {_TIMEOUT_PROPERTY} is no number: {text!r}") from None

    def silent(self, error: BaseException) -> Unreachable:
        """The error for a metastore that does not answer."""
        return Unreachable(f"catalog {self.name!r} does not answer: {first_line(error)}", hint=_HINT)

    def failed(self, error: BaseException) -> Unreachable:
        """The error for a metastore that answers that something went wrong in it."""
        reason = getattr(error, "message", None) or first_line(error)
        return Unreachable(f"catalog {self.name!r} failed: {reason}", hint="see the metastore's log")


class Connection:
    """One connection, as a context. No generator: what the metastore raises takes no traceback of another frame."""

    def __init__(self, metastore: Metastore, *, raw: bool) -> None:
        self._metastore, self._raw = metastore, raw
        self._transport: Any = None

    def __enter__(self) -> Any:
        try:
            from hive_metastore.ThriftHiveMetastore import Client
            from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
        except ImportError as error:
            raise MissingExtra("thrift", "hive") from error
        self._transport = self._metastore.open()
        client = Client(TBinaryProtocolAccelerated(self._transport))
        if ugi := self._metastore.properties.get("ugi"):
            try:
                client.set_ugi(*ugi.split(":"))
            except Exception as error:
                self.__exit__(type(error), error, None)
                raise
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transport.close()
        if isinstance(error, Exception) and not self._raw:
            if _is_silence(error):
                raise self._metastore.silent(error) from error
            if _is_failure(error):
                raise self._metastore.failed(error) from error


def _is_silence(error: Exception) -> bool:
    """Whether an error is of the connection, and not what the metastore answered."""
    from thrift.protocol.TProtocol import TProtocolException
    from thrift.transport.TTransport import TTransportException

    return isinstance(error, (OSError, EOFError, TTransportException, TProtocolException))


def _is_failure(error: Exception) -> bool:
    """Whether an error is of the metastore's own, and says nothing of what it was asked for."""
    from hive_metastore.ttypes import MetaException
    from thrift.Thrift import TApplicationException

    return isinstance(error, (MetaException, TApplicationException))
