"""One server process: started on a free port, waited for within bounds, stopped by its own process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

#: JVMs of tests end within minutes, mostly within seconds: compiling for long runs takes more than it gives.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


def need(service: str, present: object, how: str) -> None:
    """Skip the test, or fail it in CI, where a service is not there."""
    if present:
        return
    message = f"service {service} is missing: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether something accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


#: Waits for the end of its standard input: that comes when the tests are gone, however they went, for nobody else
#: holds the other end. Then it ends the server with the processes that it started, and removes what it wrote.
_GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.killpg(int(sys.argv[1]), signal.SIGKILL)
except ProcessLookupError:
    pass
for folder in sys.argv[2:]:
    shutil.rmtree(folder, ignore_errors=True)
"""


def compiled(folder: Path, classes: str, *sources: str) -> str:
    """The class path ``classes`` after some of ``tests/servers/java``, compiled into ``folder``."""
    into = folder / "classes"
    files = [str(Path(__file__).parent / "java" / name) for name in sources]
    options = [f"-J{option}" for option in SHORT_LIVED]
    command = ["javac", *options, "-nowarn", "-proc:none", "-cp", classes, "-d", str(into), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return f"{into}:{classes}"


class Server:
    """A command that listens on ``port``. Its output goes to ``log``; a start that fails shows the end of it.

    It does not outlive the tests, even where these are killed: then ``temporary`` folders of its own go too.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        within: float = 90,
        folder: Path | None = None,
        temporary: Sequence[Path] = (),
    ) -> None:
        self.port, self.log = port, log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                cwd=folder or log.parent,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the tests is not meant for it
            )
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(self._process.pid), *map(str, temporary)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + within
        while not answers(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the process, and wait for it."""
        if self._process.poll() is None:
            self._process.send_signal(sign)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(15)
        self._guard.kill()
        self._guard.communicate()
