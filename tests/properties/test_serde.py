"""Every value that lakeopt prints reads back as the same value, fits its schema, and has every format."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeopt.cli.output import Format, render
from lakeopt.errors import UsageError
from lakeopt.model.json_schema import documents, schema_of
from lakeopt.model.plan import LayoutRecommendation, RewritePlan
from lakeopt.model.profile import ColumnProfiles, CorrelationMatrix
from lakeopt.model.report import TableReport
from lakeopt.model.serde import from_data, from_json, to_data, to_json

KINDS = documents()
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Any: st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=3,
    ),
    type(None): st.none(),
}


@functools.cache
def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, from its annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in VALUES:
        return VALUES[hint]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(argument) for argument in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin in (dict, Mapping):
        return st.dictionaries(st.text(max_size=5), values(arguments[1]), max_size=2)
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        fields = {field.name: values(hints[field.name]) for field in dataclasses.fields(hint)}
        return st.fixed_dictionaries(fields).map(lambda given: hint(**given))  # type: ignore[operator]
    raise TypeError(hint)


def consistent(value: Any) -> Any:
    """The value with what its type cannot say: indexes that exist, a matrix that is square over its columns."""
    if isinstance(value, TableReport):
        parts = {"profile": consistent(value.profile), "recommendation": consistent(value.recommendation)}
        return dataclasses.replace(value, **parts)
    if isinstance(value, LayoutRecommendation) and value.chosen is not None:
        chosen = value.chosen % len(value.candidates) if value.candidates else None
        return dataclasses.replace(value, chosen=chosen)
    if isinstance(value, ColumnProfiles):
        names = tuple(dict.fromkeys(column.name for column in value.columns))
        row = next(iter(value.correlation_matrix.values), ())
        square = tuple(tuple(row[at % len(row)] if row else None for at in range(len(names))) for _ in names)
        return dataclasses.replace(value, correlation_matrix=CorrelationMatrix(names, square))
    return value


@functools.cache
def validator_of(kind: str) -> jsonschema.Draft202012Validator:
    """The schema of a kind, which is itself one."""
    schema = schema_of(KINDS[kind])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


CHECKS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", KINDS)
@CHECKS
@given(data=st.data())
def test_a_value_reads_back_as_written_and_fits_its_schema(kind: str, data: st.DataObject) -> None:
    value = data.draw(values(KINDS[kind]))
    text = to_json(value)
    assert from_json(KINDS[kind], text) == value
    validator_of(kind).validate(json.loads(text))


@pytest.mark.parametrize("kind", KINDS)
@CHECKS
@given(data=st.data(), form=st.sampled_from(Format), width=st.integers(40, 160))
def test_every_value_has_every_format(kind: str, data: st.DataObject, form: Format, width: int) -> None:
    value = consistent(data.draw(values(KINDS[kind])))
    text = render(value, form, width=width)
    if form is Format.CSV:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert all(len(row) == len(rows[0]) for row in rows if rows[0])
    elif form is Format.JSONL:
        assert all(isinstance(json.loads(line), dict) for line in text.split("\n") if line)
    elif form in (Format.TABLE, Format.MARKDOWN):
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("kind", KINDS)
@CHECKS
@given(data=st.data())
def test_a_lost_or_foreign_field_is_refused(kind: str, data: st.DataObject) -> None:
    whole = to_data(data.draw(values(KINDS[kind])))
    with pytest.raises(UsageError, match="no field 'surplus'"):
        from_data(KINDS[kind], {**whole, "surplus": 1})
    needed = [f.name for f in dataclasses.fields(KINDS[kind]) if f.default is f.default_factory is dataclasses.MISSING]  # type: ignore[arg-type]
    lost = data.draw(st.sampled_from(needed))
    with pytest.raises(UsageError, match=f"lacks the field '{lost}'"):
        from_data(KINDS[kind], {name: item for name, item in whole.items() if name != lost})
    with pytest.raises(UsageError, match="schema version 99"):
        from_data(KINDS[kind], {**whole, "schema_version": 99})


@given(st.floats())
def test_json_has_no_number_that_json_does_not_know(number: float) -> None:
    data = to_data({"number": number})
    assert data["number"] is None if not math.isfinite(number) else data["number"] == number


@given(st.text())
def test_any_text_is_a_plan_or_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        from_json(RewritePlan, text)
