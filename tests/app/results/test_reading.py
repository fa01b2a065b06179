"""The guide to reading figures, as the help of the workstation quotes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.results import reading
from app.tui.screens.help import pane_topics
from core.engine import registry
from core.figures.figure import Cell
from core.figures.plots.values import yardsticks

EVERY = [(a, view) for a in map(registry.get, registry.names()) for view in a.views]


@pytest.mark.parametrize(("analysis", "view"), EVERY, ids=lambda each: getattr(each, "key", ""))
def test_help_has_the_paragraph_of_every_figure(analysis: object, view: object) -> None:
    title = analysis.title  # type: ignore[attr-defined]
    paragraph = reading.paragraph(title, view.title)  # type: ignore[attr-defined]
    assert paragraph
    assert not set("*`\n") & set(paragraph)
    topics = pane_topics(view, None, title)  # type: ignore[arg-type]
    assert paragraph in topics[0].paragraphs


def test_figures_of_one_title_have_each_their_own_paragraph() -> None:
    both = {reading.paragraph(a, "Spread over documents") for a in ("Activation", "Patterns")}
    assert len(both) == 2
    assert reading.paragraph("Activation", "No such figure") == ""


def test_every_word_of_a_readout_is_explained() -> None:
    cells = [
        Cell(1.0, 1.0, chance=0.5, chance_sd=0.1, excess=0.5, low=0.8, high=1.2, n=9),
        Cell(1.0, 1.0, chance=0.5, chance_sd=0.1, nominal=True, control=0.2),
        Cell(1.0, 1.0, q=0.01),
    ]
    for cell in cells:
        facts = yardsticks(cell)
        known = reading.words(" · ".join(facts))
        for fact in facts:
            assert any(fact.startswith(word) for word in known), fact
    assert {"sd", "z", "95 %"} <= reading.words(" ".join(yardsticks(cells[0]))).keys()
    assert "nominal" in reading.words(" ".join(yardsticks(cells[1])))
    assert reading.words("within chance 5.5") == {"chance": reading.words("chance")["chance"]}
    assert reading.words("random znq") == {}


def test_without_the_guide_there_is_the_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PLACES", (Path("/nowhere/reading.md"),))
    for made in (reading._guide, reading._figures, reading._meanings):
        made.cache_clear()
    try:
        analysis, view = EVERY[0]
        (topic,) = pane_topics(view, None, analysis.title, readout="chance 1")
        assert [words for words in topic.paragraphs if words] == [view.caption]
    finally:
        for made in (reading._guide, reading._figures, reading._meanings):
            made.cache_clear()
