"""Figures of text, resolved and painted: wrapped, shaded, and harmless in every form."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from app.render.data.clippings import as_csv, as_markdown, clipping
from app.render.html import passages as html
from app.render.print import passages as paper
from app.render.print.sheet import save, styled
from app.render.terminal import passages
from app.render.terminal.chart import draw
from app.render.terminal.palette import on
from core.evaluation import answers
from core.figures import item_tables
from core.figures.figure import Table
from core.figures.kinds.passages import PassageView
from core.figures.layout import no_arrays
from core.figures.passages import Block, Passage, Passages, Token, passage
from core.figures.plots.resolution import passages as resolved
from core.figures.views import Catalogue, Choice, Tabulation
from tests import pretend


@pytest.fixture
def figure() -> Passages:
    """A shaded text, and hostile ones under hostile names."""
    asked = Tabulation(
        choice=Choice(measure="neurons", model="medical", item="second"),
        catalogue=Catalogue(), rows=(), arrays=no_arrays,
    )  # fmt: skip
    return pretend.document(asked)


def test_tokens_are_shaded_on_one_scale_and_the_strongest_are_listed(figure: Passages) -> None:
    plot = resolved(figure)
    shaded = plot.blocks[0].passages[0]
    lengths = [3, 8, 4, 8, 1]
    assert [shade.tone for shade in shaded.shades] == [(n - 1) / 7 for n in lengths]
    first = "patient 2.000 · a fever 2.000 · has 1.000 · the 0.750 · . 0.250"
    assert shaded.listed == first
    assert shaded.words == "gold, chosen  loss 1.25"
    assert plot.notes[0] == "Shade: activation, 0.250 to 2.000."
    assert plot.blocks[1].passages[0].shades[0].tone is None
    assert plot.item == "second"


@pytest.mark.parametrize("width", [24, 40, 80, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_text_is_wrapped_and_never_wider(figure: Passages, width: int, colour: bool) -> None:
    wide = Block("宽" * 70, (passage("宽" * 70, "宽 " * 90 + "ж" * 300),))
    made = Passages(title="T", blocks=(*figure.blocks, wide), note="said " * 60)
    rows = draw(made, "text", width=width, height=10_000, colour=False).split("\n")
    assert max(map(cell_len, rows)) <= width
    words = " ".join(" ".join(rows).split())
    assert words.count("word") == 300, "nothing is lost where a row breaks"
    assert "".join(words.split()).count("ж") == 300
    assert ("\x1b[" in draw(made, "text", width=width, height=99, colour=colour)) == colour


def test_line_breaks_act_and_nothing_else_does(figure: Passages) -> None:
    text = draw(figure, "text", width=80, height=10_000, colour=False)
    rows = text.split("\n")
    assert rows[2:4] == ["document  gold, chosen  loss 1.25", "  the patient"]
    assert rows[4] == "  has a fever."
    assert not {"\x1b", "\u202e", "\t", "\r"} & set(text)
    assert "\\x1b[31mred [red]x[/red] <script>" in text


def test_a_short_print_says_what_it_leaves_out(figure: Passages) -> None:
    rows = draw(figure, "text", width=40, height=12, colour=False).split("\n")
    whole = draw(figure, "text", width=40, height=10_000, colour=False).split("\n")
    assert len(rows) == 12
    assert rows[-1] == f"… and {len(whole) - 11} more lines"
    assert rows[:-1] == whole[:11]


def test_outside_text_is_no_markup_in_a_page_and_no_formula_in_a_sheet(figure: Passages) -> None:
    page = "".join(html.draw(resolved(figure)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert 'title="activation 2.000"' in page
    assert page.count("<mark") == 5
    assert "<br>has" in page
    clip = clipping(figure)
    rows = list(csv.reader(io.StringIO(as_csv(clip))))
    assert rows[0] == ["part", "label", "known", "text", "strongest tokens"]
    assert [row[0] for row in rows[1:]] == ["Text", "'=cmd", "'=cmd"]
    assert rows[2][1] == "'=cmd"
    assert "\x1b" not in "".join(rows[2])
    assert "\\<script" not in as_markdown(clip)
    assert "&lt;script&gt;" in as_markdown(clip)


def test_paper_holds_the_rows_of_the_terminal(figure: Passages, tmp_path: Path) -> None:
    with styled():
        drawn = paper.draw(resolved(figure))
        save(drawn, tmp_path / "text.svg", "svg")
    words = " ".join(text.get_text() for text in drawn.texts)
    assert "has" in words
    assert "\\x1b[31mred" in words
    assert "activation, 0.250 to 2.000" in words
    grounds = [text.get_bbox_patch() for text in drawn.texts]
    assert len([ground for ground in grounds if ground is not None]) == 5
    width, height = drawn.get_size_inches()
    assert all(0 < text.get_position()[1] < 1 for text in drawn.texts)
    assert (width, height) == pytest.approx((7.0, height))


def test_a_long_text_is_wrapped_at_once() -> None:
    """The cost of a row does not grow with the text after it."""
    long = Passages(title="", blocks=(Block("", (passage("", "a word " * 30_000),)),))
    assert len(passages.lines(resolved(long), 80, on("dark"))) > 2_000


def test_a_text_without_values_has_no_scale() -> None:
    bare = Passages(title="", blocks=(Block("", (Passage("", (Token("a"),)),)),))
    plot = resolved(bare)
    assert plot.scale is None
    assert plot.notes == ()
    assert not bare.is_empty
    assert Passages(title="", blocks=(Block("none", ()),)).is_empty
    assert PassageView.kind == "text"


def test_narrowed_tables_keep_the_items_of_their_rows() -> None:
    from core.figures.figure import Column

    columns = (Column(name="task"), Column(name="item"))
    table = Table(title="", columns=columns, rows=(("a", 1), ("b", 2)), items=("1", "2"))
    assert table.narrowed({"task": "b"}).items == ("2",)


def test_prompts_of_tasks_and_answers_of_models_act_nowhere() -> None:
    evil = "=cmd \x1b[31m [red]x[/red] <script>alert(1)</script>"
    asked = [answers.Answer(0, evil, (evil, "b"), (True, False), (-1.0, -2.0))]
    prompts, answered = answers.artifacts(asked, prompts=True, model="base", task="t")
    items = {"acc|index": np.arange(1), "acc|total": np.ones(1), "acc|weight": np.ones(1)}
    known = {"prompts": prompts.arrays, "answers": answered.arrays,
             "items": {**items, "acc|form": np.array("mean")}}  # fmt: skip
    choice = Choice(measure="difference", model="m", task="t", metric_of="acc", item="0")
    tabulation = Tabulation(choice=choice, catalogue=Catalogue(), rows=(),
                            arrays=lambda name, **_: known.get(name))  # fmt: skip
    table, text = item_tables.of_scores(tabulation), item_tables.of_item(tabulation)
    for made, kind in ((table, "table"), (text, "text")):
        shown = draw(made, kind, width=200, height=99, colour=False)
        assert "\x1b" not in shown
        assert "[red]x[/red]" in shown
        rows = [cell for row in csv.reader(io.StringIO(as_csv(clipping(made)))) for cell in row]
        assert any("cmd" in cell for cell in rows)
        assert not [cell for cell in rows if cell.lstrip().startswith("=")]
    page = "".join(map(str, html.draw(resolved(text))))
    assert "alert(1)" in page
    assert "<script" not in page
