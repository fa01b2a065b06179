"""The page stands alone, says what the figures say, and obeys nobody's names."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.render.data.folder import export
from app.render.data.numbers import LISTED, numbers
from app.render.data.sentences import on_chance
from app.render.html import bars, curves, grids, scatters
from app.render.html.document import _page
from app.render.html.figure import section
from app.render.html.markup import Markup, escaped, tag
from app.render.html.overview import anchor_of
from app.results import overview
from app.results.figures import Shown, analyses_of, shown, shown_together
from core.engine import registry
from core.figures.figure import Column, Point, Table
from core.figures.kinds.tables import SortedTable
from core.figures.plots import resolution
from core.figures.views import Choice
from storage import runs
from storage.database import Database
from tests.app.render import figures
from tests.app.render.conftest import NAME

VOID = {"meta"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
READER = shutil.which("pdftotext")


class Page(HTMLParser):
    """What is on a page: its text, the elements that are open where, and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.titles: list[str] = []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.stack.append(name)
        if self.stack[-2:] == ["g", "title"]:
            self.titles.append("")

    def handle_endtag(self, name: str) -> None:
        assert self.stack.pop() == name

    def handle_data(self, text: str) -> None:
        if self.stack[-2:] == ["g", "title"]:
            self.titles[-1] += text
        elif self.stack and self.stack[-1] != "style":
            self.text += text


@pytest.fixture(scope="module")
def report(db: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    export(db, "latest", folder, ["html"])
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(db: Database) -> list[Shown]:
    run = runs.find_run(db, "latest")
    return [
        each
        for analysis in analyses_of(run)
        for together in shown_together(db, run, analysis)
        for each in together
    ]


def test_nothing_is_asked_for(page: Page) -> None:
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}
    marks = {given["id"] for _, given in page.tags if "id" in given}
    for _, given in page.tags:
        assert not {"src", "srcset", "action", "xlink:href"} & set(given)
        assert not [key for key in given if key.startswith("on")]
        if "href" in given:
            assert (given["href"] or "").removeprefix("#") in marks
    policy = [given.get("content") for _, given in page.tags if given.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_style_asks_for_nothing_either(report: Path) -> None:
    style = re.search(r"<style>(.*?)</style>", report.read_text(encoding="utf-8"), re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|@font-face|https?:", style[1])
    assert "prefers-color-scheme: dark" in style[1]
    assert "@media print" in style[1]


def test_every_figure_has_finding_chance_and_method(page: Page, drawn: list[Shown]) -> None:
    assert NAME in page.text
    assert len([1 for name, _ in page.tags if name == "figure"]) == len(drawn)
    for each in drawn:
        assert each.finding
        assert each.finding in page.text
        assert each.view.title in page.text
        if not isinstance(each.figure, Table):
            assert each.analysis.metric(each.figure.measure).description in page.text
    assert page.text.count("Chance") >= len({(d.analysis.name, d.view.key) for d in drawn})
    assert "Chance alone would give 0, give or take" in page.text
    assert "No chance level is known for this measure." in page.text
    assert "control (control)" in page.text


def test_a_tested_value_is_judged_by_its_corrected_p() -> None:
    """Far from chance by its spread, and yet not beyond it."""
    tests = tuple(figures.cell(9.0, chance=1.0, chance_sd=1.0, q=q) for q in (0.2, 0.01))
    figure = replace(figures.heatmap(1), rows=("0",), columns=("q", "k"), cells=(tests,))
    analysis = registry.get("ablation")
    drops = Shown(analysis, analysis.views[0], Choice(measure="drop_percent"), figure, "")
    words = on_chance([drops])
    assert "1 of 2 values does not differ from chance: not significant at q < 0.05." in words
    alone = tuple(replace(cell, q=None) for cell in tests)
    bare = replace(drops, figure=replace(figure, cells=(alone,)))
    assert "All 2 values differ from chance." in on_chance([bare])


def test_what_a_pointer_reads_is_what_was_measured(page: Page, drawn: list[Shown]) -> None:
    shown = []
    for title in page.titles:
        value = re.search(r": (\S+?)(;|$)", title)
        assert value is not None, title
        shown.append(value[1])
    measured = [
        "undefined" if cell.shown is None else f"{cell.shown:.6g}"
        for each in drawn
        for cell in each.figure.measured()
        # A curve has no point where nothing can be drawn.
        if cell.shown is not None or each.view.kind != "curves"
    ]
    assert sorted(shown) == sorted(measured)
    assert any("chance 0 (sd " in title for title in page.titles)
    assert any("; 95 % " in title for title in page.titles)


def test_origin_and_numbers_are_there(page: Page, db: Database) -> None:
    run = runs.find_run(db, "latest")
    known = runs.provenance(db, run.id)
    assert known["models"]["medical"]["fingerprint"][:16] in page.text
    assert f"torch {known['environment']['versions']['torch']}" in page.text
    assert run.id in page.text
    folded = [given for name, given in page.tags if name == "details"]
    assert folded
    assert all("open" not in given for given in folded)


DRAWINGS: dict[str, tuple[Callable[..., Any], Callable[..., Iterator[Markup]]]] = {
    "curves": (figures.lines, lambda figure: curves.draw(resolution.curves(figure))),
    "matrix": (figures.matrix, lambda figure: grids.draw(resolution.grid(figure))),
    "bars": (figures.bars, lambda figure: bars.draw(resolution.bars(figure))),
    "scatter": (figures.scatter, lambda figure: scatters.draw(resolution.scatter(figure))),
}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_charts_are_well_formed_whatever_the_names(kind: str) -> None:
    make, draw = DRAWINGS[kind]
    text = "".join(draw(make(figures.ODD_NAMES)))
    root = ElementTree.fromstring(f"<div>{text}</div>")
    words = " ".join(root.itertext())
    assert "<script>x</script>&\\x1b[1m" in words
    assert "نموذج" in words
    assert "\x1b" not in text
    assert "<script" not in text
    assert not [e for e in root.iter() if e.tag == "script"]


def _drawn(kind: str) -> ElementTree.Element:
    make, draw = DRAWINGS[kind]
    return ElementTree.fromstring(f"<div>{''.join(draw(make()))}</div>")


def test_curves_are_drawn_to_scale() -> None:
    root = _drawn("curves")
    panels = [svg for svg in root.iter("svg") if svg.get("role") == "img"]
    assert len(panels) == 2
    ticks = {
        text.text: float(text.get("y", "")) - 4
        for text in panels[0].iter("text")
        if text.get("text-anchor") == "end" and text.text != "layer"
    }
    zero, one = ticks["0.0"], ticks["2.0"]
    for group in panels[0].iter("g"):
        title = group.find("title")
        if title is not None and title.text is not None:
            value = float(title.text.split(": ")[1].split(";")[0])
            target = group.findall("circle")[-1]
            assert target.get("class") == "target"
            place = zero + (one - zero) * value / 2
            assert float(target.get("cy", "")) == pytest.approx(place, abs=0.11)


def test_bars_are_drawn_to_scale() -> None:
    root = _drawn("bars")
    wide = {
        title.text.split(": ")[1].split(";")[0]: float(box.get("width", ""))
        for group in root.iter("g")
        if (title := group.find("title")) is not None and title.text
        for box in group.findall("rect")
        if (box.get("class") or "").startswith("full")
    }
    assert wide["0.2"] / wide["0.1"] == pytest.approx(2, rel=0.01)
    assert wide["-0.2"] == pytest.approx(wide["0.2"], abs=0.11)


def test_points_are_drawn_to_scale() -> None:
    root = _drawn("scatter")
    places = {}
    for group in root.iter("g"):
        title = group.find("title")
        if title is not None and title.text:
            target = group.findall("circle")[-1]
            places[title.text[0]] = float(target.get("cx", "")), float(target.get("cy", ""))
    assert set(places) == {"a", "b", "c"}
    (ax, ay), (bx, by), (cx, cy) = (places[name] for name in "abc")
    assert bx - ax == pytest.approx(cx - bx, abs=0.2)
    assert ay - by == pytest.approx(2 * (ay - cy), abs=0.3)
    assert "★ b" in {text.text for text in root.iter("text")}


def test_a_table_is_listed_openly() -> None:
    tables = list(numbers(figures.table()))
    assert len(tables) == 1
    assert tables[0].head == ("layer", "neuron", "score", "token")
    assert tables[0].rows[0] == ("0", (("7", ""), ("+0.500", ""), ("␣the", "")))
    assert tables[0].rows[1][1][1] == ("", "")
    assert len(tables[0].rows) == LISTED
    assert tables[0].texts == {0, 1, 2, 3}
    assert tables[0].note == "of medical The table lists the first 50 of 62 rows."


def test_a_table_needs_no_folding(db: Database) -> None:
    view = SortedTable(key="n", title="Neurons", caption="All.", finding=lambda table: "")
    shown = Shown(registry.get("alignment"), view, Choice(measure=""), figures.table(), "")
    page = Page(section([shown], frozenset()))
    names = [name for name, _ in page.tags]
    assert "table" in names
    assert not {"svg", "details"} & set(names)
    assert "<b>" in page.text
    assert "Chance" not in page.text


def test_a_table_begins_with_its_results_and_says_once_what_its_rows_share() -> None:
    names = ("task", "n", "low", "drop")
    rows = (("real_a_text", 50, 1.0, 2.0), ("real_b_text", 50, 3.0, 4.0))
    table = Table(title="T", columns=tuple(Column(name=name) for name in names), rows=rows,
                  results=("drop",))  # fmt: skip
    view = SortedTable(key="n", title="Drops", caption="All.", finding=lambda table: "")
    shown = Shown(registry.get("alignment"), view, Choice(measure=""), table, "")
    text = re.sub(r"<[^>]+>", "|", section([shown], frozenset()))
    assert re.findall(r"\|(task|n|low|drop)\|", text) == ["task", "drop", "low"]
    assert "All rows: n 50 · task real_*." in text


def test_no_line_of_a_legend_is_longer_than_the_picture() -> None:
    why = "own neurons only: " * 12
    made = replace(figures.matrix(), rows=("a",), columns=("x",), note=why,
                   cells=((figures.cell(1.0),),))  # fmt: skip
    (svg,) = grids.draw(resolution.grid(made))
    root = ElementTree.fromstring(svg)
    wide = float(root.get("viewBox", "").split()[2])
    lines = [text.text or "" for text in root.iter("text") if "own neurons" in (text.text or "")]
    assert len(lines) > 1
    assert max(len(line) for line in lines) * grids.REMARK <= wide


def test_cells_within_chance_have_no_colour() -> None:
    grid = figures.matrix()
    root = ElementTree.fromstring(f"<div>{''.join(grids.draw(resolution.grid(grid)))}</div>")
    fills = {}
    for group in root.iter("g"):
        title, box = group.find("title"), group.find("rect")
        assert title is not None
        assert box is not None
        fills[title.text.partition(";")[0] if title.text else ""] = box.get("class")
    assert fills["medical and maths: 0.015"] == "blank"
    assert fills["maths and medical: undefined"] == "blank"
    assert fills["medical and retrained: -0.666667"] == "d0"
    assert fills["retrained and medical: 0.666667"] == "d64"


def test_a_dense_picture_shows_cells_within_chance_grey() -> None:
    """Its cells have no room for the sign; what was not measured has no cell."""
    near, far = (figures.cell(value, chance=0.0, chance_sd=0.1) for value in (0.1, 0.9))
    made = replace(figures.matrix(), rows=tuple(map(str, range(200))), columns=("x", "y", "z"),
                   cells=((near, None, far),) * 200)  # fmt: skip
    page = "".join(grids.draw(resolution.grid(made)))
    root = ElementTree.fromstring(f"<div>{page}</div>")
    classes = [box.get("class") or "" for group in root.iter("g") for box in group.iter("rect")]
    assert classes.count("null") == classes.count("d64") == 200
    assert "grey: within chance" in page


def test_better_and_worse_are_told_on_the_page_by_colour_and_sign() -> None:
    cells = ((figures.cell(-2.0, better="lower"), figures.cell(1.0, better="lower")),)
    made = replace(figures.matrix(), rows=("a",), columns=("x", "y"), cells=cells)
    (svg,) = grids.draw(resolution.grid(replace(made, column_name="task")))
    root = ElementTree.fromstring(svg)
    fills = [box.get("class") for box in root.findall("g/rect")]
    assert fills == ["b64", "b16"]
    texts = [text.text for text in root.iter("text")]
    assert {"−2✓", "+1✗", "better −2", "+1 worse"} <= set(texts)
    assert any("lower is better, ✓ better, ✗ worse" in (text or "") for text in texts)
    bar = "".join(bars.draw(resolution.bars(made)))
    assert "−2✓" in bar
    assert "<span>lower is better</span>" in bar


def test_text_is_escaped_and_markup_is_not() -> None:
    assert escaped('<b a="x">&\x1b') == "&lt;b a=&quot;x&quot;&gt;&amp;\\x1b"
    made = tag("p", "<i>", tag("b", "&"), class_='a"b', data_x=1.25, id=None)
    assert made == '<p class="a&quot;b" data-x="1.2">&lt;i&gt;<b>&amp;</b></p>'
    assert escaped("a\u202eb") == "a\\u202eb"


def _browse(page: Path, folder: Path, scheme: int) -> str:
    """What a browser says of a page that it has drawn: errors, and requests that were refused."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            "--window-size=390,800", f"--blink-settings=preferredColorScheme={scheme}",
            f"--screenshot={folder / 'x.png'}", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (folder / "x.png").exists(), done.stderr
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_has_nothing_to_say(report: Path, tmp_path: Path) -> None:
    grounds = []
    for scheme in (0, 1):
        assert _browse(report, tmp_path, scheme) == ""
        with Image.open(tmp_path / "x.png") as image:
            grounds.append(int(np.asarray(image.convert("RGB"), int)[2, 2].sum()))
    assert grounds[0] < 150 < 700 < grounds[1]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_policy_forbids_every_request(report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8")
    added = "<img src='https://example.org/x.png'><script>1</script>"
    (tmp_path / "x.html").write_text(text.replace("<main>", f"<main>{added}"), encoding="utf-8")
    messages = _browse(tmp_path / "x.html", tmp_path, 1)
    assert "https://example.org/x.png" in messages
    assert "script-src" in messages


@pytest.mark.skipif(CHROMIUM is None or READER is None, reason="chromium or pdftotext is missing")
@pytest.mark.parametrize("columns", [6, 15, 26])
def test_every_column_of_every_table_is_printed(columns: int, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    assert READER is not None
    view = SortedTable(key="n", title="Neurons", caption="All.", finding=lambda table: "")
    names = [f"head{n}" for n in range(columns)]
    row = tuple(f"real_words_{n}_end" if n % 4 == 0 else 10_000.0 + n for n in range(columns))
    figure = Table(
        title="",
        columns=tuple(Column(name=name, align="right" if n % 4 else "left", form=".1f")
                      for n, name in enumerate(names)),
        rows=(row,),
    )  # fmt: skip
    shown = Shown(registry.get("alignment"), view, Choice(measure=""), figure, "")
    made = tmp_path / "x.html"
    parts = iter([section([shown, shown], frozenset())])
    made.write_text(f"<!doctype html>{_page('x', parts)}", encoding="utf-8")
    subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
            f"--print-to-pdf={tmp_path / 'x.pdf'}", made.as_uri(),
        ],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [READER, str(tmp_path / "x.pdf"), "-"], capture_output=True, text=True, check=True
    )
    words = done.stdout.split()
    for n, name in enumerate(names):
        assert words.count(name) == 2
        assert n % 4 == 0 or words.count(f"{10_000 + n}.0") == 2


def test_a_view_is_set_by_what_it_holds() -> None:
    """Tables have no room beside them in print, and their texts may be broken; numbers not."""
    view = SortedTable(key="n", title="Neurons", caption="All.", finding=lambda table: "")
    shown = Shown(registry.get("alignment"), view, Choice(measure=""), figures.table(), "")
    page = Page(section([shown], frozenset()))
    kinds = [given.get("class") for name, given in page.tags if name == "section"]
    assert kinds == ["view listing"]
    assert ("div", {"class": "scroll", "style": "--columns: 4"}) in page.tags


def test_the_base_lies_upon_what_else_is_at_its_place() -> None:
    same = figures.cell(0.5)
    points = [
        Point("base", "base", same, same),
        Point("removal:a=1", "removal", same, figures.cell(0.5, mark=True)),
        Point("a=1", "one vector", figures.cell(1.0), same),
    ]
    figure = replace(figures.scatter(), points=tuple(points))
    names = [point.name for point in resolution.scatter(figure).upwards]
    assert names == ["a=1", "removal:a=1", "base"]


def test_both_reports_state_the_same_finding(db: Database, page: Page, tmp_path: Path) -> None:
    run = runs.find_run(db, "latest")
    stated = [f for of in analyses_of(run) for f in shown(db, run, of) if f.finding]
    assert stated
    listed = page.text.partition("Findings")[2]
    for each in stated:
        assert f"{each.heading} {each.finding}" in listed


def test_the_first_page_has_a_card_a_model_and_its_findings_lead_to_their_figures(
    db: Database, page: Page
) -> None:
    contents = overview.read(db, runs.find_run(db, "latest"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    begins = [a.get("id") for _, a in page.tags if a.get("id")]
    assert begins[0] == "overview"
    cards = [a for name, a in page.tags if a.get("class") == "card"]
    assert len(cards) == len(contents.cards) > 0
    assert contents.findings
    for finding in contents.findings:
        assert finding.sentence in page.text
        assert anchor_of(finding.candidate.figure) in ids
