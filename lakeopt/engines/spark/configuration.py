"""What Spark is told before it starts: the user's own configuration, and Iceberg's runtime for its version."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakeopt.errors import ConfigurationError, MissingExtra, Refused

#: A folder with jars for Spark: Iceberg's runtime, and what catalogs and storages need beside it.
JARS_VARIABLE = "LAKEOPT_SPARK_JARS"
#: Version of Iceberg that a hint names where none is there.
_ICEBERG = "1.12.0"
_RUNTIME = re.compile(r"iceberg-spark-runtime-(?P<spark>\d+\.\d+)_(?P<scala>\d+\.\d+)(?P<rest>[-:][\w.:-]*)?")
_JAR_SETTINGS = (
    "spark.jars",
    "spark.jars.packages",
    "spark.driver.extraClassPath",
    "spark.submit.pyFiles",
    "spark.yarn.dist.jars",
)
#: Least Java that each major version of Spark runs on.
_LEAST_JAVA = {"3": 8, "4": 17}


@dataclass(frozen=True, slots=True)
class Installation:
    """The Spark that will run: where it is, and the versions that a runtime jar must be made for."""

    home: Path
    spark: str
    scala: str

    @classmethod
    def find(cls) -> Installation:
        """The installation of ``SPARK_HOME``, else that of the package.

        :raises MissingExtra: pyspark is not installed.
        :raises ConfigurationError: ``SPARK_HOME`` is of another version than pyspark.
        """
        try:
            import pyspark
            from pyspark.find_spark_home import _find_spark_home
        except ImportError as error:
            raise MissingExtra("pyspark", "spark") from error
        home = Path(_find_spark_home())  # type: ignore[no-untyped-call]
        version = ".".join(pyspark.__version__.split(".")[:2])
        core = next(iter(sorted((home / "jars").glob("spark-core_*.jar"))), None)
        found = re.match(r"spark-core_(\d+\.\d+)-(\d+\.\d+)", core.name) if core is not None else None
        if found is None:
            raise ConfigurationError(f"no Spark in {home}", hint="set SPARK_HOME to a Spark, or unset it")
        if found[2] != version:
            raise ConfigurationError(
                f"Spark in {home} is {found[2]}, the package pyspark is {version}",
                hint=f"unset SPARK_HOME, or install pyspark {found[2]}",
            )
        return cls(home, version, found[1])

    @property
    def runtime(self) -> str:
        """How the name of a runtime jar for it begins."""
        return f"iceberg-spark-runtime-{self.spark}_{self.scala}"


def refuse_connect(conf: Mapping[str, str]) -> None:
    """Refuse Spark Connect, which offers no way to what a rewrite needs.

    :raises Refused: ``SPARK_REMOTE`` or ``spark.remote`` is set.
    """
    remote = os.environ.get("SPARK_REMOTE") or conf.get("spark.remote")
    if remote or conf.get("spark.api.mode") == "connect" or os.environ.get("SPARK_CONNECT_MODE_ENABLED"):
        raise Refused(
            "Spark Connect offers no way to Iceberg's staged rewrites, which are called in the driver's own JVM",
            hint="unset SPARK_REMOTE and name the cluster by --spark-conf spark.master=…",
        )


def given(conf: Mapping[str, str]) -> dict[str, str]:
    """What the user says of Spark: ``conf``, before ``PYSPARK_SUBMIT_ARGS``, before ``spark-defaults.conf``."""
    home = os.environ.get("SPARK_CONF_DIR")
    places = [Path(home)] if home else [Path(os.environ["SPARK_HOME"], "conf")] if "SPARK_HOME" in os.environ else []
    defaults = next((place / "spark-defaults.conf" for place in places), None)
    read = parse_defaults(defaults.read_text()) if defaults is not None and defaults.exists() else {}
    return {**read, **parse_arguments(os.environ.get("PYSPARK_SUBMIT_ARGS", "")), **conf}


def parse_defaults(text: str) -> dict[str, str]:
    """The settings of a ``spark-defaults.conf``.

    >>> parse_defaults("# a\\nspark.master  local[2]\\nspark.jars=a.jar\\n")
    {'spark.master': 'local[2]', 'spark.jars': 'a.jar'}
    """
    lines = (line.strip() for line in text.splitlines())
    pairs = (re.split(r"\s*[=:\s]\s*", line, maxsplit=1) for line in lines if line and line[0] not in "#!")
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def parse_arguments(text: str) -> dict[str, str]:
    """The settings among arguments of ``spark-submit``.

    >>> parse_arguments("--master yarn --conf spark.jars=a.jar --packages x:y:1 pyspark-shell")
    {'spark.master': 'yarn', 'spark.jars': 'a.jar', 'spark.jars.packages': 'x:y:1'}
    """
    names = {"--master": "spark.master", "--jars": "spark.jars", "--packages": "spark.jars.packages"}
    names["--driver-class-path"] = "spark.driver.extraClassPath"
    words = shlex.split(text)
    found: dict[str, str] = {}
    for word, value in itertools.pairwise(words):
        if word == "--conf" and "=" in value:
            name, _, rest = value.partition("=")
            found[name] = rest
        elif word in names:
            found[names[word]] = value
    return found


def jar_settings(installation: Installation, conf: Mapping[str, str]) -> dict[str, str]:
    """What makes Iceberg's runtime known to Spark, where the user's settings do not.

    :raises ConfigurationError: there is none, or only one for another version.
    """
    texts = [conf[name] for name in _JAR_SETTINGS if name in conf]
    texts += [jar.name for jar in (installation.home / "jars").glob("iceberg-spark-runtime-*.jar")]
    folder = os.environ.get(JARS_VARIABLE)
    jars = sorted(Path(folder).expanduser().absolute().glob("*.jar")) if folder else []
    named = [found for text in texts for found in _RUNTIME.finditer(text)]
    if any(_fits(found, installation) for found in named):
        return _joined(conf, [jar for jar in jars if not _RUNTIME.match(jar.name)])
    held = [(jar, found) for jar in jars if (found := _RUNTIME.match(jar.name)) is not None]
    if any(_fits(found, installation) for _, found in held):
        others = {jar for jar, found in held if not _fits(found, installation)}
        return _joined(conf, [jar for jar in jars if jar not in others])
    others_named = sorted({found[0] for found in named} | {jar.name for jar, _ in held})
    what = f"{others_named[0]} is for another Spark than {installation.spark}" if others_named else None
    if what is None and any("iceberg" in text for text in texts):
        return _joined(conf, jars)  # a jar of the user's own naming; the session says whether it holds the runtime
    raise ConfigurationError(
        what or f"Iceberg's runtime for Spark {installation.spark} is not there",
        hint=f"--spark-conf spark.jars.packages=org.apache.iceberg:{installation.runtime}:{_ICEBERG}, or set "
        f"{JARS_VARIABLE} to a folder with {installation.runtime}-{_ICEBERG}.jar",
    )


def _fits(found: re.Match[str], installation: Installation) -> bool:
    return (found["spark"], found["scala"]) == (installation.spark, installation.scala)


def _joined(conf: Mapping[str, str], jars: list[Path]) -> dict[str, str]:
    paths = [path for path in (conf.get("spark.jars", ""), ",".join(map(str, jars))) if path]
    return {"spark.jars": ",".join(paths)} if jars else {}


def require_java(installation: Installation) -> None:
    """Refuse to start Spark on no Java, or on one that is too old for it.

    :raises ConfigurationError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    least = _LEAST_JAVA.get(installation.spark.partition(".")[0], 17)
    hint = f"install a JDK {max(least, 17)} and set JAVA_HOME to it"
    if java is None or not Path(java).exists():
        raise ConfigurationError(
            f"Spark needs Java, and there is none{f' in JAVA_HOME ({home})' if home else ''}", hint=hint
        )
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    if found is not None and int(found[1]) < least:
        raise ConfigurationError(f"Spark {installation.spark} needs Java {least}, {java} is {found[1]}", hint=hint)
