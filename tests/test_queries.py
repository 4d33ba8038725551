from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.workload import Query
from lakeopt.tables.iceberg.identifiers import join_identifier
from lakeopt.workflows.queries import bind, parse_queries, read_queries, tables_read

BODIES = [
    "SELECT 1 FROM t",
    "SELECT ';' AS \"semi;colon\" FROM t -- a; comment",
    "WITH c AS (SELECT * FROM t)\n/* ; */ SELECT * FROM c",
    "SELECT 'it''s — ünïcode; 🛫' FROM t",
]
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.sampled_from(BODIES), st.integers(1, 9)), min_size=1, unique_by=lambda q: q[0]))
def test_named_queries_are_read_as_they_were_written(parts: list[tuple[str, str, int]]) -> None:
    text = "".join(f"-- name: {name}\n-- weight: {weight}\n{body}\n;\n\n" for name, body, weight in parts)
    read = parse_queries(text).queries
    assert [(query.name, query.weight) for query in read] == [(name, weight) for name, _, weight in parts]
    for query, (_, body, _) in zip(read, parts, strict=True):
        assert body.startswith(query.sql)
        assert body.removeprefix(query.sql).strip() in ("", "-- a; comment")


@settings(deadline=None)
@given(st.lists(st.sampled_from(BODIES), min_size=1, max_size=6))
def test_unnamed_statements_are_parted_at_semicolons_outside_strings_and_comments(bodies: list[str]) -> None:
    read = parse_queries("\n;\n".join(bodies)).queries
    assert [query.name for query in read] == [f"query-{number}" for number in range(1, len(bodies) + 1)]
    assert all(body.startswith(query.sql) for query, body in zip(read, bodies, strict=True))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "holds no query"),
        ("-- only a comment", None, "holds no query"),
        ("SELECT 1;\n-- name: a\nSELECT 2", 1, "before the first"),
        ("-- name: a\nDELETE FROM t", 1, "not a SELECT"),
        ("-- name: a\nSELECT 1 FROM t;\n\n-- name: b\nCREATE TABLE x AS SELECT 1", 4, "not a SELECT"),
        ("-- name: a\nSELECT 1; SELECT 2", 1, "2 statements"),
        ("-- name: a\n-- name: b\nSELECT 1", 1, "no statement"),
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", 1, "two queries are named 'a'"),
        ("-- name:\nSELECT 1", 1, "without a name"),
        ("-- name: a\n-- weight: often\nSELECT 1", 2, "not a weight: 'often'"),
        ("-- name: a\n-- weight: -1\nSELECT 1", 2, "not a weight"),
        ("-- name: a\n-- weight: inf\nSELECT 1", 2, "not a weight"),
        ("-- name: a\n-- weight: 1\n-- weight: 1\nSELECT 1", 3, "two weights"),
        ("\n\nSELECT 1;\n\nfoo bar baz", 5, "not SQL"),
        ("-- name: a\nSELECT 1\n\n-- name: b\n\nSELECT (1", 6, "not SQL"),
        ("-- name: a\nSELECT 'open", 1, "left open|not SQL"),
    ],
)
def test_faults_are_named_with_their_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_queries(text, source="q.sql")
    assert str(caught.value).startswith("q.sql:" if line is None else f"q.sql:{line}:")


def test_a_file_is_read_with_its_byte_order_mark_and_named_when_it_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "q.sql"
    path.write_bytes(b"\xef\xbb\xbf-- name: a\r\nSELECT 1 FROM t;\r\n")
    assert read_queries(path).queries == (Query("a", "SELECT 1 FROM t"),)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_queries(path)
    with pytest.raises(UsageError, match="absent"):
        read_queries(tmp_path / "absent.sql")


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("FROM t", [("t",)]),
        ("SELECT * FROM t AS a JOIN t AS b USING (x)", [("t",)]),
        ("WITH t AS (SELECT 1 AS x FROM flights) SELECT * FROM t", [("flights",)]),
        ("SELECT (SELECT max(x) FROM demo.flights) FROM t", [("demo", "flights"), ("t",)]),
        ('SELECT * FROM "my lake".demo."a b"', [("my lake", "demo", "a b")]),
        ("SELECT * FROM t UNION ALL SELECT * FROM u", [("t",), ("u",)]),
    ],
)
def test_tables_are_those_of_every_scope_but_ctes(sql: str, read: list[tuple[str, ...]]) -> None:
    assert sorted(tables_read(Query("q", sql))) == sorted(read)


@pytest.mark.parametrize("name", ["t", "T", "flights", "demo.flights", "lake.demo.flights", '"Lake".DEMO."flights"'])
def test_the_table_is_known_by_any_tail_of_its_identifier(name: str) -> None:
    assert len(bind(Query("q", f"SELECT 1 FROM {name}"), ["lake.demo.flights"])) == 1


@pytest.mark.parametrize("name", ["flihgts", "lake.flights", "other.demo.flights", "'x.parquet'"])
def test_another_table_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="no table for query 'q'"):
        bind(Query("q", f"SELECT 1 FROM {name}"), ["lake.demo.flights"])


def test_a_query_must_read_the_table() -> None:
    with pytest.raises(UsageError, match="reads no table"):
        bind(Query("q", "SELECT 1"), ["lake.demo.flights"])


@pytest.mark.parametrize("name", ['"q1.2026"', '"a.b"."q1.2026"', 'lake."A.B"."Q1.2026"', '"say ""so"""'])
def test_parts_of_an_identifier_may_hold_dots_and_quotes(name: str) -> None:
    identifiers = [join_identifier(("lake", "a.b", "q1.2026")), join_identifier(("lake", "a", 'say "so"'))]
    assert len(bind(Query("q", f"SELECT 1 FROM {name}"), identifiers)) == 1


@pytest.mark.parametrize("name", ['"demo.flights"', 'b."q1.2026"', '"2026"', '"lake.demo".flights'])
def test_a_dot_in_a_name_parts_nothing(name: str) -> None:
    with pytest.raises(UnknownName, match="no table for query 'q'"):
        bind(Query("q", f"SELECT 1 FROM {name}"), ["lake.demo.flights", 'lake."a.b"."q1.2026"'])
