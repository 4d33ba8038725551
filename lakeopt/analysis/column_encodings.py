"""Which encodings of a column are worth a trial: those that its type and its readers allow, less those that lose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Lock

import pyarrow as pa

from lakeopt.analysis.rank_codes import RankCodes
from lakeopt.parquet.encode import possible_encodings

#: Kept where it came so close to the smallest once, and, to be tried once more in the end, so close.
_NEARLY, _PROMISING = 1.02, 1.25
#: Below so many different values windows judge a dictionary well.
_FEW_VALUES = 256


class ColumnEncodings:
    """Encodings by column, narrowed by what trials find. The default of its type is left to a column of which no
    encoding is allowed."""

    def __init__(
        self,
        schema: pa.Schema,
        codes: Mapping[str, RankCodes],
        allowed: Collection[str],
        count: int,
        group_rows: int,
    ) -> None:
        self._closest: dict[str, dict[str, float]] = {}
        self._lock = Lock()
        self._possible = {field.name: possible_encodings(field.type) for field in schema}
        self._allowed = {
            name: tuple(encoding for encoding in of_type if encoding in allowed) or of_type[:1]
            for name, of_type in self._possible.items()
        }
        # Windows show a dictionary too large: a whole row group shares it.
        self._protected = {
            name
            for name, column in codes.items()
            if count > group_rows and _FEW_VALUES < column.cardinality < count / 8
        }
        #: What a trial encodes.
        self.tried: Mapping[str, Sequence[str]] = self._allowed

    def learn(self, name: str, sizes: Mapping[str, float]) -> None:
        """Sizes of one column in one order by encoding."""
        smallest = max(1.0, min(sizes.values()))
        with self._lock:
            closest = self._closest.setdefault(name, {})
            for encoding, size in sizes.items():
                closest[encoding] = min(closest.get(encoding, float("inf")), size / smallest)

    def narrow(self) -> None:
        """Try no more what never came near the smallest."""
        self.tried = {name: self._within(name, _NEARLY) for name in self._allowed}

    @property
    def promising(self) -> Mapping[str, Sequence[str]]:
        """What deserves a last look on a whole row group: all but the hopeless."""
        return {name: self._within(name, _PROMISING) for name in self._allowed}

    def only(self, name: str, encodings: Collection[str]) -> Sequence[str]:
        """Those of a column's encodings that are among these, the default of its type where none is."""
        return tuple(encoding for encoding in self._allowed[name] if encoding in encodings) or self._possible[name][:1]

    def _within(self, name: str, factor: float) -> tuple[str, ...]:
        closest = self._closest.get(name, {})
        return tuple(
            encoding
            for encoding in self._allowed[name]
            if closest.get(encoding, 1.0) <= factor or (encoding == "dictionary" and name in self._protected)
        )
