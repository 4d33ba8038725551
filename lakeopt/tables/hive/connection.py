"""Connections to a Hive metastore, which end in time where it does not answer."""

from __future__ import annotations

import select
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlparse

from lakeopt.errors import ConfigurationError, MissingExtra, Unreachable, first_line

#: Seconds that one answer is waited for, unless the catalog's property ``hive.client-timeout-seconds`` says otherwise.
TIMEOUT = 60.0
_TIMEOUT_PROPERTY = "hive.client-timeout-seconds"
#: Seconds that a connection is kept for the next call. A metastore opens its own database for each new one, which takes
#: it longer than most calls; one that is idle for long may be dropped on the way, which nobody is told of.
_KEPT = 5.0
_HINT = "is the metastore up, and are uri and credentials right?"


@dataclass(frozen=True, slots=True)
class Link:
    """One open connection: what calls are sent through, and the socket below it."""

    transport: Any
    socket: Any

    @property
    def is_quiet(self) -> bool:
        """Whether the other side has neither ended it nor sent what nobody asked for."""
        poll = select.poll()
        poll.register(self.socket.handle, select.POLLIN)
        return not poll.poll(0)


class Metastore:
    """A metastore as a catalog of pyiceberg's configuration names it: its properties ``uri``, ``ugi`` and so on."""

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self.properties = {key: str(value) for key, value in properties.items()}
        self._idle: deque[tuple[float, Link]] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def connected(self, *, raw: bool = False) -> Connection:
        """A Thrift client, closed afterwards. What the metastore answers of a name or a lock is raised as it comes.

        With ``raw`` every error is raised as the client raised it.

        :raises Unreachable: it does not answer, or answers that something went wrong in it.
        :raises MissingExtra: the extra ``hive`` is not installed.
        """
        return Connection(self, raw=raw)

    def kept(self) -> Link | None:
        """A connection of an earlier call that is fit for use, which is no longer kept; None where there is none."""
        while True:
            try:
                since, link = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _KEPT and link.is_quiet:
                return link
            link.transport.close()

    def keep(self, link: Link) -> None:
        """Keep a connection on which nothing is under way."""
        self._idle.append((time.monotonic(), link))

    def open(self) -> Link:
        """A new connection to the first address that takes one."""
        from thrift.transport.TTransport import TTransportException

        refused: Exception | None = None
        for address in self.properties.get("uri", "").split(","):
            link = self._link(address.strip())
            try:
                link.transport.open()
                return link
            except (TTransportException, OSError) as error:
                refused = error
        raise self.silent(refused or OSError("no uri")) from refused

    def _link(self, address: str) -> Link:
        from thrift.transport import TSocket, TTransport

        parts = urlparse(address)
        if not parts.hostname or not parts.port:
            raise ConfigurationError(f"catalog {self.name!r}: {address!r} is no address", hint="thrift://host:9083")
        socket = TSocket.TSocket(parts.hostname, parts.port)
        socket.setTimeout(1000 * self._timeout())
        if self.properties.get("hive.kerberos-authentication", "false").lower() != "true":
            return Link(TTransport.TBufferedTransport(socket), socket)
        service = self.properties.get("hive.kerberos-service-name", "hive")
        return Link(TTransport.TSaslClientTransport(socket, host=parts.hostname, service=service), socket)

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
        self._link: Link | None = None

    def __enter__(self) -> Any:
        try:
            from hive_metastore.ThriftHiveMetastore import Client
            from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
        except ImportError as error:
            raise MissingExtra("thrift", "hive") from error
        kept = self._metastore.kept()
        self._link = kept or self._metastore.open()
        client = Client(TBinaryProtocolAccelerated(self._link.transport))
        if kept is None and (ugi := self._metastore.properties.get("ugi")):
            try:
                client.set_ugi(*ugi.split(":"))
            except Exception as error:
                self._link.transport.close()
                self._told(error)
                raise
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._link is not None
        # A generator that is left early has asked for all that it was to ask for.
        if error is None or isinstance(error, GeneratorExit) or is_answer(error):
            self._metastore.keep(self._link)
        else:
            self._link.transport.close()
        if isinstance(error, Exception):
            self._told(error)

    def _told(self, error: Exception) -> None:
        """Raise an error in our words, unless it is to be raised as it came.

        :raises Unreachable: it is of the connection, or of the metastore's own.
        """
        if self._raw:
            return
        if _is_silence(error):
            raise self._metastore.silent(error) from error
        if _is_failure(error):
            raise self._metastore.failed(error) from error


def is_answer(error: BaseException) -> bool:
    """Whether the metastore itself said so, and not the connection to it."""
    return type(error).__module__.partition(".")[0] == "hive_metastore"


def _close_all(idle: deque[tuple[float, Link]]) -> None:
    while idle:
        idle.pop()[1].transport.close()


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
