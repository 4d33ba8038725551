"""Servers of the tests end with the tests, however these end, and take connections of this machine only."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from servers.process import answers, free_port

#: The server is a child of the shell: what listens is a grandchild of the process that is killed.
TESTS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from servers.process import Server
folder, port = Path(sys.argv[2]), int(sys.argv[3])
serve = f"{sys.executable} -S -m http.server --bind 127.0.0.1 {port} & wait"
server = Server(["sh", "-c", serve], port, folder / "log", temporary=[folder / "data"])
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""


def test_a_server_ends_with_killed_tests(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    port = free_port()
    command = [sys.executable, "-c", TESTS, str(Path(__file__).parent), str(tmp_path), str(port)]
    tests = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    assert tests.stdout.readline() == "ready\n"
    assert answers(port)
    tests.kill()
    tests.communicate()
    deadline = time.monotonic() + 60
    while (answers(port) or (tmp_path / "data").exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not answers(port)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("postgres", marks=pytest.mark.service("PostgreSQL")),
        pytest.param("rest", marks=pytest.mark.service("Iceberg REST catalog")),
        pytest.param("hive", marks=pytest.mark.service("Hive metastore")),
        pytest.param("s3", marks=pytest.mark.service("S3 (versitygw)")),
        pytest.param("moto", marks=pytest.mark.service("S3 (moto)")),
    ],
)
def test_a_server_listens_on_the_loopback_interface_only(name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(name).server
    process = psutil.Process(server.pid)
    listening = []
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that served a connection ended with it
            listening += [held.laddr for held in one.net_connections("inet") if held.status == psutil.CONN_LISTEN]
    assert server.port in {address.port for address in listening}
    assert {address.ip.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}
