"""The trade-off as a plot: what each candidate takes against what the queries scan of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeopt.figures import percent
from lakeopt.report.markup import Markup, tag

# In units of a narrow screen's pixels: wider ones enlarge the drawing, text and all.
_WIDTH, _HEIGHT = 360, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 42


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate: its number in the table, what it is, and its two ratios."""

    number: int
    name: str
    bytes_ratio: float
    scanned_ratio: float


@dataclass(frozen=True, slots=True)
class _Axis:
    """From a ratio to a place on the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, ratio: float) -> float:
        return self.start + (ratio - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        step = next(
            step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if (self.high - self.low) / step <= 5
        )
        first = round(self.low / step)
        marks = [number * step for number in range(first, first + 7)]
        return [mark for mark in marks if self.low - 1e-9 <= mark <= self.high + 1e-9]


def on_frontier(points: Sequence[Point]) -> list[Point]:
    """Points that no other one beats in both bytes and scanned bytes, from fewest bytes on."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.bytes_ratio, point.scanned_ratio)):
        if not best or point.scanned_ratio < best[-1].scanned_ratio:
            best.append(point)
    return best


def frontier(points: Sequence[Point], chosen: int | None) -> Markup:
    """Candidates by bytes (across) and scanned bytes (up), the frontier as a line, the chosen one marked.

    ``chosen`` is the number of a point.
    """
    across = _axis([point.bytes_ratio for point in points], _LEFT, _WIDTH - _RIGHT)
    up = _axis([point.scanned_ratio for point in points], _HEIGHT - _BOTTOM, _TOP)
    best = on_frontier(points)
    steps = [f"{'M' if place == 0 else 'V'}{_at(across, up, place, point)}" for place, point in enumerate(best)]
    named = sorted({point.number: point for point in best}.keys() | ({chosen} if chosen else set()))
    drawn = [_dot(point, across, up, point in best, point.number == chosen) for point in points]
    numbers = [_number(point, across, up) for point in points if point.number in named]
    best_text = ", ".join(str(point.number) for point in best)
    description = f"{len(points)} candidates. On the frontier: number {best_text} of the table below. " + (
        f"Chosen: number {chosen}." if chosen else "None is chosen: leave the table alone."
    )
    return tag(
        "svg",
        tag("title", "Bytes against scanned bytes of each candidate", id="frontier-name"),
        tag("desc", description, id="frontier-description"),
        *_scale(across, up),
        tag("path", d=" ".join(steps), class_="frontier"),
        *drawn,
        *numbers,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_labelledby="frontier-name frontier-description",
        class_="plot",
    )


def _at(across: _Axis, up: _Axis, place: int, point: Point) -> str:
    """Where the line goes to a point: up or down first, then across, for between two points nothing is known."""
    x, y = across(point.bytes_ratio), up(point.scanned_ratio)
    return f"{x:.1f} {y:.1f}" if place == 0 else f"{y:.1f}H{x:.1f}"


def _axis(ratios: Sequence[float], start: float, end: float) -> _Axis:
    low, high = min(ratios), max(ratios)
    room = max((high - low) * 0.08, 0.01)
    return _Axis(max(0.0, low - room), high + room, start, end)


def _scale(across: _Axis, up: _Axis) -> list[Markup]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    lines = []
    for mark in across.ticks():
        x = f"{across(mark):.1f}"
        lines.append(tag("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="rule"))
        lines.append(tag("text", percent(mark), x=x, y=bottom + 15, text_anchor="middle"))
    for mark in up.ticks():
        y = f"{up(mark):.1f}"
        lines.append(tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="rule"))
        lines.append(tag("text", percent(mark), x=_LEFT - 6, y=f"{up(mark) + 4:.1f}", text_anchor="end"))
    middle = (_TOP + bottom) / 2
    lines.append(
        tag("text", "bytes stored, of arrival order", x=(_LEFT + right) / 2, y=_HEIGHT - 8, text_anchor="middle")
    )
    turned = f"rotate(-90 10 {middle})"
    lines.append(tag("text", "bytes that queries scan", x=10, y=middle, text_anchor="middle", transform=turned))
    return lines


def _dot(point: Point, across: _Axis, up: _Axis, best: bool, chosen: bool) -> Markup:
    x, y = f"{across(point.bytes_ratio):.1f}", f"{up(point.scanned_ratio):.1f}"
    ratios = f"{percent(point.bytes_ratio)} of the bytes, {percent(point.scanned_ratio)} scanned"
    title = f"{point.number}: {point.name}, {ratios}"
    ring = tag("circle", cx=x, cy=y, r=9, class_="ring") if chosen else None
    dot = tag("g", tag("circle", cx=x, cy=y, r=4.5), class_="dot best" if best else "dot")
    return tag("g", tag("title", title), ring, dot)


def _number(point: Point, across: _Axis, up: _Axis) -> Markup:
    x, y = across(point.bytes_ratio), up(point.scanned_ratio)
    inside = x > _WIDTH - _RIGHT - 30
    place = {"x": f"{x - 12 if inside else x + 12:.1f}", "y": f"{y - 6:.1f}"}
    return tag("text", str(point.number), class_="number", text_anchor="end" if inside else "start", **place)
