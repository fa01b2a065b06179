"""The details behind a drop: the ablated neurons by layer, each control, the broken items.

Owns these figures of one ablated selection. Computes nothing that was not stored, but for the
scores of single items; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from core.evaluation import answers
from core.evaluation.answers import Answer
from core.figures import item_findings, item_tables, items
from core.figures.figure import Table
from core.figures.items import LOST, WON, Compared
from core.figures.passages import Block, Passage, Passages, passage
from core.figures.views import Tabulation
from core.sizes import counted
from core.statistics import comparison
from core.statistics.comparison import Items

NO_NEURONS = "The run has no ablated neurons by layer: compute with --fresh to see them."
EVALUATION = "evaluation"


def summary(asked: Tabulation) -> Passages:
    """A selection as text: its neurons by layer, and its drop beside its controls' drops."""
    choice = asked.choice
    chosen = asked.arrays(
        f"chosen.{choice.setting}", model=choice.model, reference=choice.reference, task=choice.task
    )
    drops = list(_drops(asked))
    layers = [] if chosen is None else list(_layers(chosen))
    blocks = [Block("Drops", tuple(drops)), Block("Neurons by layer", tuple(layers))]
    return Passages(
        title=" · ".join([f"Behind {choice.setting}", choice.reference, choice.model, choice.task]),
        blocks=tuple(block for block in blocks if block.passages),
        note=NO_NEURONS if drops and chosen is None else "",
        chosen=_chosen(asked),
    )


def broken(asked: Tabulation) -> Table:
    """A row for each scored item: the whole model's result, the ablated one's, and the change."""
    answers = _answers(asked)
    compared = _compared(asked, asked.choice.setting)
    return item_tables.table(asked, compared, answers, ("whole", "ablated"))


def item(asked: Tabulation) -> Passages:
    """One item of the ablated model as text, with the whole model's answers to it."""
    compared = _compared(asked, asked.choice.setting)
    return item_tables.text(asked, compared, (("whole", _answers(asked)), ("ablated", {})))


def of_broken(figure: Table) -> str:
    """The number of items that the ablation broke, and the ones that changed most."""
    return item_findings.of_items(figure)


def _drops(asked: Tabulation) -> Iterator[Passage]:
    setting = asked.choice.setting
    prefix = f"random-{setting}-seed"
    controls = [s for s in asked.catalogue.values("setting") if str(s).startswith(prefix)]
    for name in (setting, *map(str, controls)):
        compared = _compared(asked, name)
        if compared.absent:
            continue
        before, after = (_score(asked, each) for each in ("", name))
        lost = None
        if compared.better:
            lost = comparison.percent_lost(
                before, after, higher_is_better=compared.better == "higher"
            )
        label = name if name == setting else f"random neurons, seed {name.removeprefix(prefix)}"
        facts = "" if lost is None else f"drop {lost:.3g} %"
        yield passage(label, f"{before:.4g} → {after:.4g}; {_flips(compared)}", beside=facts)


def _flips(compared: Compared) -> str:
    if compared.binary:
        return f"{counted(compared.flips(LOST), 'item')} {LOST}, {compared.flips(WON)} {WON}"
    known = [each.gain for each in compared.items if each.gain is not None]
    worse, better = (sum(way * gain > 0 for gain in known) for way in (-1, 1))
    ways = ("worse", "better") if compared.better else ("lower", "higher")
    return f"{counted(worse, 'item')} {ways[0]}, {better} {ways[1]}"


def _layers(chosen: Any) -> Iterator[Passage]:
    """The layers with ablated neurons; the best of each by number."""
    for layer, width, count, best in zip(
        chosen["layer"], chosen["width"], chosen["count"], chosen["best"], strict=True
    ):
        known = [str(int(each)) for each in best if each >= 0]
        if count:
            more = ", …" if count > len(known) else ""
            yield passage(f"layer {layer}", ", ".join(known) + more, beside=f"{count} of {width}")


def _compared(asked: Tabulation, setting: str) -> Compared:
    return items.compared(
        _arrays(asked, ""), _arrays(asked, setting), asked.choice.metric_of
    )  # fmt: skip


def _arrays(asked: Tabulation, setting: str) -> items.Arrays | None:
    """The results of single items under an ablation, or of the whole model."""
    choice = asked.choice
    if not setting:
        return asked.arrays("items", model=choice.model, task=choice.task)
    return asked.arrays(
        f"items.{setting}", model=choice.model, reference=choice.reference, task=choice.task
    )


def _score(asked: Tabulation, setting: str) -> float:
    """The score over all items, NaN where it is undefined."""
    arrays, metric = _arrays(asked, setting), asked.choice.metric_of
    assert arrays is not None, "asked for only where items were compared"
    index, total, weight = (arrays[f"{metric}|{name}"] for name in ("index", "total", "weight"))
    form: Any = str(arrays[f"{metric}|form"])
    value = Items(index=index, total=total, weight=weight, form=form).value()
    return float("nan") if value is None else value


def _answers(asked: Tabulation) -> dict[int, Answer]:
    """The whole model's answers in the run's evaluation, which has the prompts."""
    arrays: Sequence[items.Arrays | None] = [
        asked.arrays(name, model=model, task=asked.choice.task, analysis=EVALUATION)
        for name, model in (
            (answers.PROMPTS, asked.choice.model),
            (answers.PROMPTS, item_tables.BASE),
            (answers.ANSWERS, asked.choice.model),
        )
    ]
    prompts, base, answered = arrays
    return answers.stored(prompts if prompts is not None else base, answered)


def _chosen(asked: Tabulation) -> dict[str, str]:
    choice = asked.choice
    return {"model": choice.model, "task": choice.task, "metric": choice.metric_of}
