"""A Hive metastore (2.3.10) out of pyspark's own jars, with an embedded Derby database; it may know an S3 server."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

from servers.process import CACHE, Server, compiled, free_port, need
from servers.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY

#: Hadoop's own S3 file system, and the SDK that it needs, out of Iceberg's bundle.
S3A_JARS = (*(CACHE / "s3a-jars").glob("*.jar"), *(CACHE / "rest-jars").glob("iceberg-aws-bundle-*.jar"))


class Hive:
    """A running metastore; ``uri`` is its Thrift address."""

    def __init__(self, folder: Path, port: int | None = None, s3: S3 | None = None) -> None:
        need("Hive metastore", shutil.which("java") and shutil.which("javac"), "install a JDK 17")
        spark = importlib.util.find_spec("pyspark")
        need("Hive metastore", spark and spark.origin, "install the extra `spark`")
        need("Hive metastore", importlib.util.find_spec("thrift"), "install the extra `hive`")
        assert spark is not None
        assert spark.origin is not None
        self.folder, self.warehouse = folder, folder / "warehouse"
        self.warehouse.mkdir()
        jars = f"{_configuration(folder, self.warehouse, s3)}:{Path(spark.origin).parent}/jars/*"
        if s3 is not None:
            jars = ":".join([jars, *map(str, S3A_JARS)])
        self._classes = compiled(folder, jars, "PrepareLocks.java", "HiveAuthUtils.java")
        done = subprocess.run(
            ["java", "-cp", self._classes, "PrepareLocks"], cwd=folder, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr[-2000:]
        port = port or free_port()
        self.uri = f"thrift://127.0.0.1:{port}"
        command = ["java", "-Xmx384m", "-cp", self._classes]
        command += ["org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", str(port)]
        self._start = lambda: Server(command, port, folder / "metastore.log", folder=folder)
        self.server = self._start()

    def start(self) -> None:
        """Start again after :meth:`stop`: the tables are still there."""
        self.server = self._start()

    def stop(self) -> None:
        """End it."""
        self.server.stop()


def _configuration(folder: Path, warehouse: Path, s3: S3 | None) -> Path:
    properties = {} if s3 is None else _s3a(s3)
    properties |= {
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore_db;create=true",
        "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
        "datanucleus.schema.autoCreateAll": "true",
        "datanucleus.connectionPoolingType": "HikariCP",
        "hive.metastore.schema.verification": "false",
        "hive.metastore.warehouse.dir": warehouse.as_uri(),
        "hive.async.log.enabled": "false",
        # Iceberg drops and moves columns, which Hive would not let happen to a table of its own.
        "hive.metastore.disallow.incompatible.col.type.changes": "false",
    }
    made = folder / "conf"
    made.mkdir()
    entries = "".join(f"<property><name>{k}</name><value>{escape(v)}</value></property>" for k, v in properties.items())
    (made / "hive-site.xml").write_text(f"<configuration>{entries}</configuration>")
    return made


def _s3a(s3: S3) -> dict[str, str]:
    """How Hadoop reaches the server."""
    return {
        "fs.s3a.endpoint": s3.endpoint,
        "fs.s3a.endpoint.region": REGION,
        "fs.s3a.access.key": ACCESS_KEY,
        "fs.s3a.secret.key": SECRET_KEY,
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
    }
