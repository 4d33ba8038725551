"""Iceberg's own REST test server, with SQLite behind it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from servers.process import CACHE, Server, compiled, free_port, need

JARS = CACHE / "rest-jars"


class Rest:
    """A running catalog whose tables lie below ``warehouse``; ``uri`` is its address.

    ``io`` are properties of the server's own file access (``s3.endpoint`` …).
    """

    def __init__(self, folder: Path, warehouse: str, io: Mapping[str, str] | None = None) -> None:
        need("Iceberg REST catalog", shutil.which("javac"), "install a JDK 17")
        need("Iceberg REST catalog", JARS.exists(), "install Maven and run `make services`")
        port = free_port()
        properties = {
            "uri": f"jdbc:sqlite:{folder}/rest.db",
            "warehouse": warehouse,
            "jdbc.schema-version": "V1",
            **(io or {}),
        }
        spelt = {f"CATALOG_{k.replace('-', '__').replace('.', '_').upper()}": v for k, v in properties.items()}
        self.folder, self.warehouse = folder, warehouse
        self.uri = f"http://127.0.0.1:{port}"
        classes = compiled(folder, f"{JARS}/*", "RestOnLoopback.java")
        self._command = ["java", "-Xmx256m", "-cp", classes, "org.apache.iceberg.rest.RestOnLoopback", str(port)]
        self._environment, self._port = spelt, port
        self.start()

    def start(self) -> None:
        """Start, or start again after :meth:`stop`: the tables are still there."""
        log = self.folder / "rest.log"
        self.server = Server(self._command, self._port, log, environment=self._environment)

    def stop(self) -> None:
        """End it."""
        self.server.stop()
