"""Filters: which manifests and files cannot hold a matching row, told by pyiceberg's own evaluators."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pyiceberg.expressions import AlwaysTrue, BooleanExpression, UnboundPredicate
from pyiceberg.expressions.parser import parse
from pyiceberg.expressions.visitors import (
    BooleanExpressionVisitor,
    _InclusiveMetricsEvaluator,
    bind,
    expression_evaluator,
    inclusive_projection,
    manifest_evaluator,
    rewrite_not,
    visit,
)
from pyiceberg.manifest import ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyparsing import ParseBaseException

from lakeopt.errors import UnknownName, UsageError, first_line
from lakeopt.model.scan import DATA
from lakeopt.tables.iceberg.metadata.manifests import CONTENT, PARTITION, RECORD_COUNT, Row
from lakeopt.tables.iceberg.metadata.partitions import Partitioning

_SYNTAX = """write filters as: origin = 'JFK' and day >= '2013-05-01' and "odd name" is not null"""


def parse_filter(text: str, schema: Schema) -> BooleanExpression:
    """Expression of a filter in pyiceberg's syntax, checked against the columns of a schema.

    :raises UsageError: it cannot be parsed, or a literal does not fit its column's type.
    :raises UnknownName: it names a column that is not there.
    """
    try:
        expression = parse(text)
    except ParseBaseException as error:  # its text is the whole grammar
        raise UsageError(
            f"not a filter: {text!r}: not understood at {_place(text, error.loc)}", hint=_SYNTAX
        ) from error
    except Exception as error:  # ValueError for LIKE patterns
        raise UsageError(f"not a filter: {text!r}: {first_line(error)}", hint=_SYNTAX) from error
    if not isinstance(expression, BooleanExpression):
        raise UsageError(f"not a filter: {text!r}", hint=_SYNTAX)
    columns = set(schema.column_names)
    for name in visit(expression, _ColumnNames()):
        if name not in columns:
            raise UnknownName("column", name, columns)
    try:
        bind(schema, rewrite_not(expression), case_sensitive=True)
    except (ValueError, TypeError) as error:
        raise UsageError(f"not a filter: {text!r}: {first_line(error)}", hint=_SYNTAX) from error
    return expression


def filter_columns(text: str, schema: Schema) -> set[str]:
    """Columns that a filter names; errors as of :func:`parse_filter`."""
    return visit(parse_filter(text, schema), _ColumnNames())


def _place(text: str, at: int) -> str:
    return f"{text[at:].split()[0]!r}" if text[at:].strip() else "its end"


class Pruning:
    """One filter on one table: what may hold a matching row."""

    def __init__(self, text: str, schema: Schema, partitioning: Partitioning) -> None:
        self._filter = parse_filter(text, schema)
        self._partitioning = partitioning
        self._schema = partitioning.schema
        self._metrics = _InclusiveMetricsEvaluator(schema, self._filter, case_sensitive=True, include_empty_files=True)
        self._projections: dict[int, BooleanExpression] = {}
        self._manifests: dict[int, Callable[[ManifestFile], bool]] = {}
        self._partitions: dict[int, Callable[[Record], bool]] = {}

    def manifest(self, manifest: ManifestFile) -> bool:
        """Whether a manifest may list a file that may hold a matching row, by its partition summaries."""
        spec_id = manifest.partition_spec_id
        if spec_id not in self._manifests:
            spec = self._partitioning.spec(spec_id)
            self._manifests[spec_id] = manifest_evaluator(spec, self._schema, self._projection(spec_id))
        return self._manifests[spec_id](manifest)

    def file(self, spec_id: int) -> Callable[[Row], bool]:
        """Whether a file (a row of a manifest of this spec) may hold a matching row.

        Data files are judged by partition and column metrics, delete files by their partition: what they delete
        from may match whatever their own metrics say.
        """
        in_partition = self.partition(spec_id)
        return lambda row: in_partition(row[PARTITION]) and (row[CONTENT] != DATA or self._metrics.eval(_metrics(row)))

    def partition(self, spec_id: int) -> Callable[[Record], bool]:
        """Whether a partition of this spec may hold a matching row."""
        if spec_id not in self._partitions:
            fields = self._partitioning.spec(spec_id).partition_type(self._schema).fields
            evaluate = expression_evaluator(Schema(*fields), self._projection(spec_id), case_sensitive=True)
            self._partitions[spec_id] = evaluate
        return self._partitions[spec_id]

    def _projection(self, spec_id: int) -> BooleanExpression:
        if spec_id not in self._projections:
            spec = self._partitioning.spec(spec_id)
            projected = inclusive_projection(self._schema, spec)(self._filter) if spec.fields else AlwaysTrue()
            self._projections[spec_id] = projected
        return self._projections[spec_id]


def _metrics(row: Row) -> Any:
    """The part of a data file that pyiceberg's evaluator looks at."""
    counts = [None if pairs is None else dict(zip(pairs[::2], pairs[1::2], strict=True)) for pairs in row[7:10]]
    return SimpleNamespace(
        record_count=row[RECORD_COUNT],
        value_counts=counts[0],
        null_value_counts=counts[1],
        nan_value_counts=counts[2],
        lower_bounds=row[10],
        upper_bounds=row[11],
    )


class _ColumnNames(BooleanExpressionVisitor[set[str]]):
    def visit_true(self) -> set[str]:
        return set()

    def visit_false(self) -> set[str]:
        return set()

    def visit_not(self, child_result: set[str]) -> set[str]:
        return child_result

    def visit_and(self, left_result: set[str], right_result: set[str]) -> set[str]:
        return left_result | right_result

    def visit_or(self, left_result: set[str], right_result: set[str]) -> set[str]:
        return left_result | right_result

    def visit_unbound_predicate(self, predicate: UnboundPredicate) -> set[str]:
        return {str(predicate.term.name)}  # type: ignore[attr-defined]

    def visit_bound_predicate(self, predicate: Any) -> set[str]:
        raise TypeError(f"a parsed filter is not bound: {predicate}")
