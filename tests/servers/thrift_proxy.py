"""A proxy before a metastore that misbehaves on demand: requests that never arrive, and answers that are lost."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

#: ``rule(call)``: what to do with a request of that name. ``drop``: the service does what it is asked, its answer is
#: lost; ``cut``: the connection ends before the service hears of it; ``hang``: nothing is ever answered; ``fail``: the
#: answer is that something went wrong, and the service is not asked.
Rule = Callable[[str], str | None]


class ThriftProxy:
    """Listens on a free port; ``uri`` is its address. Without a rule everything passes; ``seen`` has the calls, and
    ``connections`` says over how many connections they came.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self.rule: Rule = lambda call: None
        self.seen: list[str] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"thrift://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._target) as service:
            lost = threading.Event()
            threading.Thread(target=self._answers, args=(service, client, lost), daemon=True).start()
            while request := client.recv(1 << 20):
                call = _name(request)
                self.seen += [call] if call else []
                fate = self.rule(call) if call else None
                if fate == "cut":
                    return
                if fate == "fail":
                    client.sendall(_failure(request))
                    continue
                if fate == "hang":
                    threading.Event().wait(30)
                    return
                if fate == "drop":
                    lost.set()
                service.sendall(request)

    def _answers(self, service: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while answer := service.recv(1 << 20):
                if lost.is_set():
                    break
                client.sendall(answer)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def once(call: str, fate: str) -> Rule:
    """A rule for the first request whose name begins so."""
    left = [fate]
    return lambda asked: left.pop() if left and asked.startswith(call) else None


def _failure(request: bytes) -> bytes:
    """The answer to a call whose handler raised what the call does not declare (``TApplicationException``)."""
    (length,) = struct.unpack(">I", request[4:8])
    name_and_number, message = request[4 : 12 + length], b"Internal error"
    text = b"\x0b" + struct.pack(">hI", 1, len(message)) + message
    return b"\x80\x01\x00\x03" + name_and_number + text + b"\x08" + struct.pack(">hi", 2, 6) + b"\x00"


def _name(request: bytes) -> str:
    """Name of a call in Thrift's strict binary form; empty where the bytes go on with an earlier one."""
    if len(request) < 8 or request[:3] != b"\x80\x01\x00":
        return ""
    (length,) = struct.unpack(">I", request[4:8])
    return request[8 : 8 + length].decode(errors="replace")
