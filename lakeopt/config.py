"""Settings from ``lakeopt.toml`` and the environment. Catalogs are pyiceberg's own and are not configured here."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeopt.errors import ConfigurationError, UnknownName

#: Folder below the warehouse where journal, marks and leases live unless ``state_dir`` says otherwise.
STATE_FOLDER = "_lakeopt"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set once: ``state_dir`` (location of journal, marks and leases), defaults of options.

    ``memory`` is a size as text; it and ``threads`` are None where the machine decides (half its memory, all cores).
    Prices say what a rewrite that lakeopt chose itself has to gain: a GB stored for a month, a machine for an hour, in
    one currency; data is kept for ``keep_days`` and read ``reads_per_day`` times a day. ``spark`` are settings of the
    Spark engine by Spark's own names: those of ``[spark.conf]``, and ``[spark.catalogs]``, which says by pyiceberg's
    name of a catalog what Spark calls it. The engine ``auto`` takes Spark for tables above the size ``spark_above``.
    """

    state_dir: str | None = None
    memory: str | None = None
    threads: int | None = None
    catalog: str | None = None
    storage_price: float = 0.023
    compute_price: float = 0.10
    keep_days: float = 365.0
    reads_per_day: float = 1.0
    spark: Mapping[str, str] = field(default_factory=dict)
    spark_above: str | None = None


#: A setting of Spark that says what Spark calls a catalog of pyiceberg: this and pyiceberg's name for it.
CATALOG_SETTING = "spark.lakeopt.catalog."
#: Settings that are numbers, and what each of them is.
_NUMBERS: Mapping[str, type] = {
    "threads": int,
    **dict.fromkeys(("storage_price", "compute_price", "keep_days", "reads_per_day"), float),
}


def load_settings(start: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of ``lakeopt.toml`` in a folder (or ``LAKEOPT_CONFIG``), overridden by ``LAKEOPT_*`` variables.

    :raises ConfigurationError: the file cannot be read, or has a value of the wrong type.
    :raises UnknownName: the file has a key that lakeopt does not know (did you mean).
    """
    environment = os.environ if environment is None else environment
    named = environment.get("LAKEOPT_CONFIG")
    path = Path(named) if named else (start or Path.cwd()) / "lakeopt.toml"
    values: dict[str, Any] = _read(path) if named or path.exists() else {}
    for key in Settings.__dataclass_fields__.keys() - {"spark"}:
        if (text := environment.get(f"LAKEOPT_{key.upper()}")) is not None:
            values[key] = _number(key, text) if key in _NUMBERS else text
    for key in _NUMBERS.keys() & values.keys():
        if not 0 <= float(values[key]) < math.inf:
            raise ConfigurationError(f"{key} cannot be {values[key]}", hint="see 'Configuration' in the README")
    return Settings(**values)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}", hint="see 'Configuration' in the README") from error
    for key, value in data.items():
        if key not in Settings.__dataclass_fields__:
            raise UnknownName(f"setting in {path}", key, Settings.__dataclass_fields__)
        if key == "spark":
            data[key] = _spark(path, value)
            continue
        wanted = _NUMBERS.get(key, str)
        if not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
            raise ConfigurationError(f"{path}: {key} must be {wanted.__name__}, not {type(value).__name__}")
    return data


def _spark(path: Path, sections: Any) -> dict[str, str]:
    """Spark's settings from the sections ``conf`` and ``catalogs``."""
    prefixes = {"conf": "", "catalogs": CATALOG_SETTING}
    if not isinstance(sections, dict) or not all(isinstance(section, dict) for section in sections.values()):
        raise ConfigurationError(f"{path}: spark has the sections [spark.conf] and [spark.catalogs]")
    found: dict[str, str] = {}
    for section, values in sections.items():
        if section not in prefixes:
            raise UnknownName(f"section of spark in {path}", section, prefixes)
        for name, value in values.items():
            if isinstance(value, dict | list):
                raise ConfigurationError(f"{path}: [spark.{section}] {name} must be text", hint="quote names with dots")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[prefixes[section] + name] = text
    return found


def _number(key: str, text: str) -> float:
    try:
        return _NUMBERS[key](text)  # type: ignore[no-any-return]
    except ValueError:
        kind = "whole number" if _NUMBERS[key] is int else "number"
        raise ConfigurationError(f"LAKEOPT_{key.upper()} must be a {kind}, not {text!r}") from None
