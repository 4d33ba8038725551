"""PostgreSQL: a cluster of its own in a temporary folder, run by a user that is not root."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2

from servers.process import Server, free_port, need


def programs() -> Path | None:
    """Folder of the newest PostgreSQL server programs: Debian keeps them out of ``PATH``."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres:
    """A running server; :meth:`database` makes an empty database and names its SQLAlchemy URI."""

    def __init__(self, folder: Path) -> None:
        binaries = programs()
        need("PostgreSQL", binaries, "install Debian's package postgresql")
        assert binaries is not None
        # Not below pytest's temporary folder: each test run that starts closes that to other users.
        self._data = Path(tempfile.mkdtemp(prefix="lakeopt-postgres-"))
        data, self._as = self._data, _unprivileged()
        if self._as:
            shutil.chown(data, "postgres", "postgres")
        options = ["-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            [*self._as, str(binaries / "initdb"), "-D", str(data), *options],
            check=True,
            capture_output=True,
            cwd="/",
        )
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        self.server = Server(
            [*self._as, str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
            + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
            port,
            folder / "postgres.log",
            folder=Path("/"),
            temporary=[data],
        )
        self._names = (f"lake{number}" for number in itertools.count())
        self._wait()

    def database(self) -> str:
        """URI of a new, empty database."""
        name = next(self._names)
        connection = self._connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.server.port}/{name}"

    def stop(self) -> None:
        """A fast shutdown: open connections are ended."""
        self.server.stop(signal.SIGINT)
        shutil.rmtree(self._data, ignore_errors=True)

    def _connect(self) -> psycopg2.extensions.connection:
        return psycopg2.connect(host="127.0.0.1", port=self.server.port, user="postgres", dbname="postgres")

    def _wait(self) -> None:
        """It listens a moment before it lets anyone in."""
        for _ in range(100):
            try:
                return self._connect().close()
            except psycopg2.OperationalError:
                time.sleep(0.1)
        self._connect().close()


def _unprivileged() -> list[str]:
    """What makes a command run as the user ``postgres`` where we are root, which PostgreSQL refuses to run as."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
