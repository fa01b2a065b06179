"""The details behind a score: its items, the base against a model, and one item as text.

Owns the table of items and the text of an item. Computes nothing that was not stored; draws
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from core.evaluation import answers
from core.evaluation.answers import Answer
from core.figures import items
from core.figures.figure import Column, Table, Text
from core.figures.items import Compared, Item
from core.figures.passages import Block, Passage, Passages, passage
from core.figures.views import Tabulation

BASE = "base"
SHOWN = 60
"""Characters that a list shows of a prompt's last paragraph, which is the item's own."""

NOT_STORED = "No prompts are stored: compute with --fresh to see them."


def of_scores(asked: Tabulation) -> Table:
    """A row for each item of a task: the base's result, the model's, and the change."""
    compared, answers = _compared(asked), _answers(asked, BASE)
    return table(asked, compared, answers, ("base", asked.choice.model))


def table(
    asked: Tabulation, compared: Compared, answers: dict[int, Answer], names: tuple[str, str]
) -> Table:
    """The items of a comparison in the chosen order, with the ends of their prompts."""
    choice = asked.choice
    shown = items.ordered(compared.items, choice.order)
    form = ".0f" if compared.binary else ".4g"
    texts = any(answer.prompt or answer.choices for answer in answers.values())
    columns = [
        Column(name="item", align="right", form="d"),
        *(Column(name=name, align="right", form=form) for name in names),
        Column(name="change", align="right", form=form, signed=True),
    ]
    if compared.binary:
        columns.append(Column(name="flip"))
    if texts:
        columns.append(Column(name="text", outside=True))
    return Table(
        title=" · ".join(["Items", choice.model, choice.task, choice.metric_of, choice.order]),
        columns=tuple(columns),
        rows=tuple(_row(item, compared, answers if texts else None) for item in shown),
        records=tuple(shown),
        items=tuple(str(item.number) for item in shown),
        note=("" if texts or not shown else f"{NOT_STORED} ") + _note(compared),
        chosen={"model": choice.model, "task": choice.task, "metric": choice.metric_of},
    )


def of_item(asked: Tabulation) -> Passages:
    """One item: its result, its prompt, and the answers of both models."""
    sides = [(model, _answers(asked, model)) for model in (BASE, asked.choice.model)]
    return text(asked, _compared(asked), sides)


def text(
    asked: Tabulation, compared: Compared, answers: Sequence[tuple[str, dict[int, Answer]]]
) -> Passages:
    """The chosen item of a comparison as text, or the first one. `answers`: the name of each
    side, and its answers by item."""
    choice = asked.choice
    ordered = items.ordered(compared.items, items.ORDERS[0])
    known = {str(item.number): item for item in ordered}
    item = known.get(choice.item, ordered[0] if ordered else None)
    blocks = [] if item is None else list(_blocks(item, compared, choice.metric_of, answers))
    known_answers = [by[item.number] for _, by in answers if item and item.number in by]
    return Passages(
        title=" · ".join([f"Item {item.number if item else ''}", choice.model, choice.task]),
        blocks=tuple(blocks),
        note=compared.absent if item is None else "" if known_answers else NOT_STORED,
        scored=known_answers[0].scored if known_answers else {},
        items=tuple(known),
        item="" if item is None else str(item.number),
        chosen={"model": choice.model, "task": choice.task, "metric": choice.metric_of},
    )


def beginning(answer: Answer) -> str:
    """The beginning of the last paragraph of an item's prompt, or of its first text."""
    whole = answer.prompt or next(iter(answer.choices), "")
    last = whole.strip().rpartition("\n\n")[2]  # few-shot examples come before it
    return " ".join(last.split())[:SHOWN]


def _compared(asked: Tabulation) -> Compared:
    base, tuned = (
        asked.arrays("items", model=model, task=asked.choice.task)
        for model in (BASE, asked.choice.model)
    )
    return items.compared(base, tuned, asked.choice.metric_of)


def _answers(asked: Tabulation, model: str) -> dict[int, Answer]:
    """A model's answers, with its own prompts or else the base's."""
    task = asked.choice.task
    prompts = asked.arrays(answers.PROMPTS, model=model, task=task)
    if prompts is None:
        prompts = asked.arrays(answers.PROMPTS, model=BASE, task=task)
    answered = asked.arrays(answers.ANSWERS, model=model, task=task)
    return answers.stored(prompts, answered)


def _row(item: Item, compared: Compared, answers: dict[int, Answer] | None) -> tuple[Text, ...]:
    cells: list[Text] = [item.number, item.before, item.after, item.change]
    if compared.binary:
        cells.append(item.flip)
    if answers is not None:
        answer = answers.get(item.number)
        cells.append(beginning(answer) if answer is not None else "")
    return tuple(cells)


def _note(compared: Compared) -> str:
    if compared.absent:
        return compared.absent
    if compared.unit:
        return f"{compared.unit.capitalize()}: lower is better."
    if compared.binary:
        return "1 is right, 0 is wrong."
    return (
        f"Values are single results; {compared.better or 'their better direction is not known'}"
        + (" is better." if compared.better else ".")
    )


def _blocks(
    item: Item, compared: Compared, metric: str, answers: Sequence[tuple[str, dict[int, Answer]]]
) -> Iterator[Block]:
    (first, before), (second, after) = answers
    values = f"{first} {_number(item.before)}, {second} {_number(item.after)}"
    marks = (item.flip,) if item.flip else ()
    yield Block("Result", (passage(metric, values, marks=marks),))
    a, b = before.get(item.number), after.get(item.number)
    known = a or b
    if known is None:
        return
    if known.prompt:
        yield Block("Prompt", (passage("", known.prompt),))
    responses = [(name, answer.said) for name, answer in ((first, a), (second, b))
            if answer is not None and answer.said is not None]  # fmt: skip
    if responses:
        target = passage("right answer", known.target)
        yield Block("Answers", (target, *(passage(name, words or "") for name, words in responses)))
    elif known.choices:
        heading = "Choices" if len(known.choices) > 1 else "Text"
        yield Block(heading, tuple(_choices(known, ((first, a), (second, b)))))


def _choices(known: Answer, sides: Sequence[tuple[str, Answer | None]]) -> Iterator[Passage]:
    """Each choice with both log-likelihoods; `chosen` has the highest of a side."""
    several = len(known.choices) > 1
    for index, choice in enumerate(known.choices):
        marks = ["gold"] if several and known.right[index] else []
        beside = []
        for name, answer in sides:
            values = answer.likelihoods if answer is not None else ()
            if index < len(values):
                beside.append(f"{name} {values[index]:.4g}")
                if several and values[index] == max(values):
                    marks.append(f"chosen by {name}")
        given = f"log-likelihood {', '.join(beside)}" if beside else ""
        label = f"{index + 1}" if several else ""
        yield passage(label, choice.strip(" ") or choice, marks=tuple(marks), beside=given)


def _number(value: float | None) -> str:
    return "undefined" if value is None or not math.isfinite(value) else f"{value:.4g}"
