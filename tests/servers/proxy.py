"""An HTTP proxy before a service that misbehaves on demand: answers that are lost, cut in half, late or refused."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: ``rule(method, path)``: what to do with a request. ``drop``: the service does what it is asked, its answer is lost;
#: ``half``: half of the answer's body comes; ``refuse``: 503 without asking the service; ``slow``: it comes late.
Rule = Callable[[str, str], str | None]


class Proxy:
    """Listens on a free port; ``uri`` is its address. Without a rule everything passes.

    ``skew`` is how far ahead (behind, if negative) the service's clock seems to be by the times that it says of
    objects. ``Date`` stays: a client sets its own clock by that, and the service would refuse what it then signs.
    """

    def __init__(self, target: str) -> None:
        host = urlsplit(target)
        assert host.hostname is not None
        self.rule: Rule = lambda method, path: None
        self.skew = timedelta()
        self.seen: list[tuple[str, str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, host.hostname, host.port or 80))
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def once(method: str, part: str, fate: str) -> Rule:
    """A rule for the first request of that method whose path holds ``part``."""
    left = [fate]

    def rule(asked: str, path: str) -> str | None:
        return left.pop() if left and asked == method and part in path else None

    return rule


def _handler(proxy: Proxy, host: str, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self._body()
            fate = proxy.rule(self.command, self.path)
            proxy.seen.append((self.command, self.path, fate))
            if fate == "refuse":
                return self._answer(503, [], b"")
            connection = http.client.HTTPConnection(host, port, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # the host's name too: S3 requests are signed with it
                if name.lower() != "expect":  # that we have answered ourselves
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if fate == "slow":
                time.sleep(2)
            if fate == "drop":
                self.close_connection = True
                return None
            length = response.getheader("Content-Length") or str(len(content))
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _OWN]
            if proxy.skew:
                kept = [(k, _later(v, proxy.skew) if k.lower() == "last-modified" else v) for k, v in kept]
                content = _TIME.sub(lambda found: _later_in_list(found, proxy.skew), content)
                length = str(len(content)) if content else length
            if fate == "half":
                self.close_connection, content = True, content[: len(content) // 2]
            return self._answer(response.status, kept, content, length)

        def _body(self) -> bytes:
            """The body as it came, with the frames of a chunked one."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while True:
                parts.append(self.rfile.readline())
                size = int(parts[-1].partition(b";")[0], 16)
                if not size:
                    break
                parts.append(self.rfile.read(size + 2))
            while parts[-1] != b"\r\n":  # trailers, then an empty line
                parts.append(self.rfile.readline())
            return b"".join(parts)

        def _answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


_OWN = {"content-length", "transfer-encoding", "connection"}
_TIME = re.compile(rb"(?<=<LastModified>)[^<]+")


def _later(moment: str, skew: timedelta) -> str:
    return format_datetime(parsedate_to_datetime(moment) + skew, usegmt=True)


def _later_in_list(found: re.Match[bytes], skew: timedelta) -> bytes:
    moment = datetime.fromisoformat(found[0].decode()) + skew
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
