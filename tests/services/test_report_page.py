"""The page of a report in a real browser: both widths, light and dark, print, keyboard and screen reader."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from servers.chromium import Chromium

from lakeopt.model.profile import CorrelationMatrix
from lakeopt.model.report import StoredBytes, StoredColumn, StoredPartition, TableReport
from lakeopt.model.result import BenchReport
from lakeopt.model.serde import from_json
from lakeopt.report.page import page

pytestmark = pytest.mark.service("Chromium")

GOLDEN = Path(__file__).parents[1] / "golden"
SECTIONS = ("bytes", "findings", "columns", "layouts", "overlap", "queries", "history")
HOSTILE = '"><img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(1)</script>'
#: Contrast of each text with the first painted ground behind it (WCAG 2, "contrast ratio"), the worst first.
CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = c => c / 255 <= .03928 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(linear)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['title', 'desc'].includes(e.localName)) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgb(e.closest('svg') ? style.fill : style.color)), light(ground(e))];
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0])[0];
})()
"""


@pytest.fixture(scope="module")
def report() -> TableReport:
    """A report with every part, 120 columns and a name that would do harm if it were not text."""
    value = from_json(TableReport, (GOLDEN / "table_report.json").read_text(encoding="utf-8"))
    bench = from_json(BenchReport, (GOLDEN / "bench_report.json").read_text(encoding="utf-8"))
    names = (HOSTILE, *(f"column_number_{number}" for number in range(119)))
    columns = tuple(StoredColumn(name, "string", 120 - place) for place, name in enumerate(names))
    levels = tuple(tuple((row * column % 21) / 20 - 0.1 for column in range(21)) for row in range(21))
    assert value.profile is not None
    profile = dataclasses.replace(value.profile, correlation_matrix=CorrelationMatrix(names[:21], levels))
    partitions = tuple(StoredPartition(f'{{"day": "{HOSTILE[2:9]}{day}"}}', 0, 1, 1, day + 1) for day in range(60))
    return dataclasses.replace(value, bench=bench, profile=profile, stored=StoredBytes(columns, partitions, 0))


@pytest.fixture(scope="module")
def address(report: TableReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page(report), encoding="utf-8")
    return file.as_uri()


def test_it_is_readable_at_both_widths_in_light_and_dark(chromium: Chromium, address: str, report: TableReport) -> None:
    written = ET.fromstring(page(report).partition("\n")[2])
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            chromium.open(address, width=width, scheme=scheme)
            assert chromium.requests() == [address]
            assert chromium.complaints() == []
            # The page itself is never scrolled sideways; the browser made of it what was written.
            assert chromium.value("document.documentElement.scrollWidth") == width
            assert chromium.value("document.querySelectorAll('*').length") == len(list(written.iter()))
            assert chromium.value("[...document.querySelectorAll('section')].every(s => s.clientHeight > 40)")
            ground = chromium.value("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(246, 247, 249)") == (scheme == "light")
            contrast, text = chromium.value(CONTRAST)
            assert contrast >= 4.5, text


def test_the_keyboard_reaches_everything_in_order(chromium: Chromium, address: str) -> None:
    chromium.open(address, width=1280)
    wanted = chromium.value("document.querySelectorAll('a[href], summary, [tabindex=\"0\"]').length")
    here = "(e => e === document.body ? null : [...document.querySelectorAll('*')].indexOf(e))(document.activeElement)"
    reached = []
    for _ in range(wanted + 2):
        chromium.press("Tab")
        if (place := chromium.value(here)) is None:
            break
        reached.append(place)
        if len(reached) == 1:
            assert chromium.value("document.activeElement.textContent") == "Skip to the content"
            assert chromium.value("document.activeElement.getBoundingClientRect().left >= 0")
    visible = chromium.value(
        "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
    )
    assert reached == sorted(set(reached))
    assert len(reached) == visible


def test_a_screen_reader_meets_landmarks_headings_and_named_plots(chromium: Chromium, address: str) -> None:
    chromium.open(address, width=390)
    assert len(chromium.named("main")) == 1
    assert chromium.named("navigation") == ["Contents"]
    assert len(chromium.named("banner")) == 1
    assert len(chromium.named("contentinfo")) == 1
    regions = chromium.named("region")
    assert len(regions) >= len(SECTIONS)
    assert all(regions)
    plots = [name for role in ("image", "img", "graphics-document") for name in chromium.named(role)]
    assert len(plots) == 3
    assert any(name.startswith("Treemap of 120 columns") and HOSTILE in name for name in plots)
    assert {"Where the bytes lie", "Which order shrinks what", "What lakeopt did"} <= set(chromium.named("heading"))


def test_it_prints_light_without_its_navigation(chromium: Chromium, address: str) -> None:
    chromium.open(address, width=1280, scheme="dark", media="print")
    assert chromium.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    contrast, text = chromium.value(CONTRAST)
    assert contrast >= 4.5, text
