"""The whole page and the order of its sections.

Owns the outline. It loads nothing from outside, and its policy forbids browsers to do so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import app
from app.bench.trials import HEAD, Outcome, outcomes
from app.render.data.origin import facts
from app.render.html import colours, overview
from app.render.html.figure import anchor, headline, section
from app.render.html.markup import Markup, tag
from app.results import workers
from app.results.figures import Shown, analyses_of, shown_together
from app.results.overview import read
from core.engine.registry import Analysis
from core.files.partial import written
from core.sizes import counted
from storage import runs
from storage.database import Database
from storage.runs import RunSummary
from storage.trials import trials

_HEAD = Markup(
    '<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<meta name="color-scheme" content="light dark">\n'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
)

_CHANCE = (
    "The chance level stands beside each figure where it is known, because many of these measures "
    "are far from zero for an update of random directions. A value within two standard deviations "
    "of chance, or not significant after correction for the number of tests, has no colour and is "
    "followed by ~. "
)
_CONTROLS = "Controls are grey, with their names in brackets. "
_READING = "Whiskers and shaded bands around a line are 95 % intervals."
_POINTING = (
    " Rest the pointer on a mark to read its exact value; the numbers behind each figure fold out "
    "below it."
)

Part = tuple[Analysis, list[tuple[Shown, ...]]]


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """Write the page; return its path."""
    path = folder / "report.html"
    parts = [(each, list(shown_together(db, run, each))) for each in analyses_of(run)]
    with written(path) as file:
        file.write("<!doctype html>\n")
        file.write(_page(run.name, _body(db, run, [part for part in parts if part[1]])))
    return [path]


def _page(title: str, body: Iterator[Markup]) -> Markup:
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    sheet = tag("style", Markup(f"\n{colours.style()}\n{style}"))
    head = tag("head", _HEAD, tag("title", f"{title} · tauscope"), Markup("\n"), sheet)
    return tag("html", head, Markup("\n"), tag("body", *body), Markup("\n"), lang="en")


def _body(db: Database, run: RunSummary, parts: Sequence[Part]) -> Iterator[Markup]:
    warnings = workers.doubts(db, run.id)
    trial_results = outcomes(trials(db, run.id))
    yield tag("header", *_heading(db, run))
    further = {"warnings": warnings, "bench": trial_results}
    below = [name for name, entries in further.items() if entries]
    yield tag("nav", *_contents(parts, [*below, "origin"]), aria_label="Contents")
    inside = [_overview(db, run, parts)]
    inside += [_analysis(run, analysis, views) for analysis, views in parts]
    if warnings:
        items = [tag("li", tag("b", w.subject), " ", w.message, dir="auto") for w in warnings]
        heading = tag("h2", "Warnings")
        inside.append(tag("section", heading, tag("ul", *items, class_="doubts"), id="warnings"))
    inside += _bench(trial_results)
    inside.append(_origin(db, run))
    yield tag("main", *inside)
    yield tag("footer", f"Written by tauscope {app.__version__}.")


def _bench(results: Sequence[Outcome]) -> Iterator[Markup]:
    """The trials kept from the bench, if there are any."""
    parts = [tag("h2", "Bench")] * bool(results)
    for each in results:
        parts += [tag("h3", f"Trial {each.id}"), tag("pre", each.prompt, dir="auto")]
        parts += [tag("p", each.settings, class_="quiet")] * bool(each.settings)
        head = tag("tr", *(tag("th", name) for name in HEAD))
        rows = [tag("tr", *(tag("td", word) for word in row.words)) for row in each.rows]
        parts.append(tag("table", head, *rows))
    if parts:
        yield tag("section", *parts, id="bench")


def _heading(db: Database, run: RunSummary) -> Iterator[Markup]:
    models = runs.study_of(db, run.id).models
    yield tag("h1", run.name, dir="auto")
    names = [f"({name})" if name in run.controls else name for name in run.models]
    yield tag(
        "p", "What fine-tuning did to ", tag("b", str(models.base.path)), ", seen in ",
        ", ".join(names), ".", class_="lede",
    )  # fmt: skip
    state = f"Run {run.id}, {run.status}: {run.done} of {counted(run.total, 'unit')}. "
    yield tag("p", state, run.created.strftime("%d %B %Y."), class_="quiet")
    if run.error_title:
        yield tag("p", tag("b", "Error: "), f"{run.error_title} {run.error_hint}", class_="doubt")


def _contents(parts: Sequence[Part], below: Sequence[str]) -> Iterator[Markup]:
    entries = [tag("li", _link("overview", "Overview"))]
    for analysis, views in parts:
        inner = [tag("li", _link(anchor(v[0]), v[0].view.title)) for v in views]
        entries.append(tag("li", _link(analysis.name, analysis.title), tag("ul", *inner)))
    entries += [tag("li", _link(name, name.capitalize())) for name in below]
    yield tag("ul", *entries)


def _overview(db: Database, run: RunSummary, parts: Sequence[Part]) -> Markup:
    """The cards and the most important findings; the sentence of each figure folds out below."""
    anchors = {anchor(view[0]) for _, views in parts for view in views}
    items = [
        tag("li", _link(anchor(shown), shown.heading), " ", tag("span", shown.finding))
        for _, views in parts
        for shown in map(headline, views)
        if shown.finding
    ]
    further = tag("summary", "Every figure in one sentence")
    return tag(
        "section",
        tag("h2", "Overview"),
        *overview.parts(read(db, run), anchors),
        tag("details", further, tag("ul", *items, class_="findings")),
        tag("p", _reading(run, parts), tag("span", _POINTING, class_="screen"), class_="quiet"),
        id="overview",
    )


def _reading(run: RunSummary, parts: Sequence[Part]) -> str:
    """How to read the figures that this run has."""
    figures = (shown.figure for _, views in parts for view in views for shown in view)
    drawn = (cell for figure in figures for cell in figure.measured())
    chance = _CHANCE if any(cell.chance is not None for cell in drawn) else ""
    return f"{chance}{_CONTROLS if run.controls else ''}{_READING}"


def _analysis(run: RunSummary, analysis: Analysis, views: Sequence[tuple[Shown, ...]]) -> Markup:
    inside = [section(view, run.controls) for view in views]
    return tag("section", tag("h2", analysis.title), *inside, id=analysis.name)


def _origin(db: Database, run: RunSummary) -> Markup:
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", words, dir="auto"))
        for name, words in facts(db, run)
    ]
    table = tag("div", tag("table", tag("tbody", *rows), class_="origin"), class_="scroll")
    return tag("section", tag("h2", "Origin"), table, id="origin")


def _link(target: str, words: str) -> Markup:
    return tag("a", words, href=f"#{target}")
