"""The scores of one loaded model on tasks, with the results of every item.

Owns the call of the harness and the conversion of its results to arrays. Knows no study and no
other model: core.statistics.comparison compares results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Literal

import numpy as np

from core import libraries
from core.errors import TaskError, TauscopeError, reason
from core.evaluation import answers, harness, sandbox
from core.evaluation.answers import Answer
from core.evaluation.examples import Example, after
from core.evaluation.items import right_choices
from core.evaluation.tasks import Task, metric_name
from core.statistics.comparison import Form, Items
from core.texts import probe
from core.texts.probe import ProbeSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one task, exactly as the harness computes it.

    `metric` carries its filter (`metric:filter`) unless that is `none`. `value` is None where it is
    not a finite number. `stderr` is the harness's, if it has a formula (means). `n` counts the
    items. `items` are their results; None if the score is not computed from one number per item
    (such as BLEU or F1), so it has no interval.
    """

    metric: str
    value: float | None
    stderr: float | None
    higher_is_better: bool | None
    n: int
    items: Items | None


class Evaluator:
    """The harness around one loaded model. Build it once for all tasks.

    `model` is a causal language model of transformers in memory (plain, wrapped by PEFT or placed
    by accelerate), `tokenizer` its tokeniser, which stays unchanged.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, batch_size: int | Literal["auto"] = "auto"
    ) -> None:
        self._tokenizer = tokenizer
        with harness.quiet():
            from core.evaluation.language_model import LanguageModel
        # Silenced again: newly imported libraries have set up their own loggers.
        with harness.quiet():
            self._model = LanguageModel(model, tokenizer, batch_size)

    def evaluate(self, task: Task, items: Iterable[int] | None = None) -> tuple[Score, ...]:
        """The scores of a task over its items, or over the items with these indices. See `ask`."""
        return _scores(task, self._results(task, items))

    def ask(
        self, task: Task, items: Iterable[int] | None = None
    ) -> tuple[tuple[Score, ...], list[Answer]]:
        """The scores of a task, with its prompts and answers, over all items or
        the items with these indices.

        The same items and settings give the same prompts for every model. Few-shot examples are
        drawn item after item, so another choice of items may draw others.

        Raises TaskError if the task doesn't fit the model or its tokeniser, or fails.
        """
        results = self._results(task, items)
        choice = task.output_type == "multiple_choice"
        right = partial(right_choices, task.handle) if choice else None
        # The task's code may print, draw and fail.
        with harness.quiet(), harness.seeded(task.seed), sandbox.templates_of(task.name):
            outputs = answers.read(results["samples"][task.name], right, partial(after, task))
        return _scores(task, results), outputs

    def shown(self, examples: Iterable[Example]) -> ProbeSet:
        """Items with their right answers, as the token ids that are scored."""
        pairs = [pair for example in examples for pair in self._model.shown(example)]
        return probe.of_pairs(pairs, self._model.max_length)

    def _results(self, task: Task, items: Iterable[int] | None) -> Mapping[str, Any]:
        """The harness's results, after a check of the tokeniser and with a note on cut items."""
        chosen = None if items is None else _chosen(task, items)
        self._check_tokeniser(task)
        results = self._ask(task, chosen)
        self._tell_cut(task, len(chosen) if chosen is not None else task.items)
        return results

    def _ask(self, task: Task, chosen: list[int] | None) -> Mapping[str, Any]:
        with harness.quiet(), harness.seeded(task.seed):
            from lm_eval import evaluator

            task.handle.set_fewshot_seed(seed=task.seed)
            self._model.begin(task.name)
            try:
                with sandbox.templates_of(task.name):
                    results: Mapping[str, Any] = evaluator.evaluate(
                        self._model,
                        {"tasks": {task.name: task.handle}},
                        limit=task.limit if chosen is None else None,
                        samples=None if chosen is None else {task.name: chosen},
                        bootstrap_iters=0,  # comparison.py computes intervals from the items.
                        apply_chat_template=task.chat_template,
                        fewshot_as_multiturn=task.chat_template,
                    )
            except TauscopeError:
                raise
            # Tasks contain code and templates, and refuse models by assertions.
            except Exception as error:
                raise TaskError(
                    f"The task '{task.name}' can't be evaluated: {reason(error)}"
                ) from error
        return results

    def _tell_cut(self, task: Task, asked: int) -> None:
        """Report items longer than the model's context."""
        if self._model.cut:
            libraries.tell(
                f"{len(self._model.cut)} of {asked} items of the task '{task.name}' are longer "
                f"than the model's context of {self._model.max_length} tokens: their prompts are "
                "cut at the beginning."
            )

    def _check_tokeniser(self, task: Task) -> None:
        tokenizer = self._tokenizer
        if tokenizer.eos_token_id is None and task.output_type == "generate_until":
            raise TaskError(
                f"The task '{task.name}' generates text, but the tokeniser has no end token to "
                "stop at.",
                hint="Give it an eos_token in tokenizer_config.json, or leave the task out.",
            )
        if tokenizer.eos_token_id is None and tokenizer.bos_token_id is None:
            raise TaskError(
                f"The task '{task.name}' can't be evaluated: the tokeniser has neither a "
                "beginning nor an end token to put before a text.",
                hint="Give it a bos_token or an eos_token in tokenizer_config.json.",
            )
        if task.chat_template and not tokenizer.chat_template:
            raise TaskError(
                f"The task '{task.name}' can't be asked as a chat: the tokeniser has no chat "
                "template.",
                hint="Set evaluation.chat_template = false.",
            )


def _chosen(task: Task, items: Iterable[int]) -> list[int]:
    """The indices in ascending order without repetition, the order of the harness's results."""
    chosen = sorted({int(i) for i in items})
    if not chosen:
        raise TaskError(f"No items of the task '{task.name}' were chosen.")
    for index in (chosen[0], chosen[-1]):
        task.document(index)
    return chosen


# --- the harness's results as arrays ----------------------------------------------------------


def _scores(task: Task, results: Mapping[str, Any]) -> tuple[Score, ...]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in results["samples"][task.name]:
        rows.setdefault(row["filter"], []).append(row)
    scores = (
        _score(task, key, value, rows) for key, value in results["results"][task.name].items()
    )
    return tuple(score for score in scores if score is not None)


def _score(
    task: Task, key: str, value: Any, rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Score | None:
    """One entry ("metric,filter") of the harness's results as a Score; None if it is not a
    score."""
    metric, _, chain = key.rpartition(",")
    if not metric or metric.endswith("_stderr") or not isinstance(value, Real):
        return None
    mine = [row for row in rows[chain] if metric in row["metrics"]]
    aggregate = task.handle.aggregation().get(metric)
    values = [row[metric] for row in mine]
    parts, form = _parts(values, float(value), aggregate)
    name = metric_name(metric, chain)
    items = None
    if parts is not None:
        index = np.array([row["doc_id"] for row in mine], dtype=np.int64)
        items = Items(index=index, total=parts[:, 0], weight=parts[:, 1], form=form)
    return Score(
        metric=name,
        value=float(value) if math.isfinite(value) else None,
        stderr=_stderr(values, aggregate),
        higher_is_better=task.metrics.get(name, task.handle.higher_is_better().get(metric)),
        n=len(mine),
        items=items,
    )


def _parts(
    values: Sequence[Any], whole: float, aggregate: Callable[..., Any] | None
) -> tuple[np.ndarray[Any, np.dtype[np.float64]] | None, Form]:
    """Total and weight of every item (n, 2), and the form of the score over them.

    The harness's aggregations are known. A task's own aggregation is taken for a mean (of numbers,
    or over all numbers of lists) if the value agrees.
    """
    from lm_eval.api import metrics

    if aggregate in (metrics.bits_per_byte, metrics.weighted_perplexity):
        form: Form = "bits_per_byte" if aggregate is metrics.bits_per_byte else "perplexity"
        return np.array(values, dtype=np.float64).reshape(-1, 2), form
    if aggregate is metrics.brier_score:
        return _summed([[_brier(*value)] for value in values]), "mean"
    if aggregate is metrics.perplexity:
        return _summed([[value] for value in values]), "perplexity"
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    if not all(isinstance(part, Real | np.bool_) for part in (p for one in lists for p in one)):
        return None, "mean"
    if aggregate is metrics.nanmean:
        lists = [[part for part in one if not math.isnan(part)] for one in lists]
    parts = _summed(lists)
    if aggregate in (None, metrics.mean, metrics.nanmean):
        return parts, "mean"
    is_custom = getattr(aggregate, "__module__", "") != metrics.__name__
    weight = parts[:, 1].sum()
    as_mean = (
        is_custom and weight > 0 and math.isclose(parts[:, 0].sum() / weight, whole, rel_tol=1e-9)
    )
    return (parts if as_mean else None), "mean"


def _summed(lists: Sequence[Sequence[Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([[float(sum(one)), len(one)] for one in lists], dtype=np.float64)


def _brier(gold: int, probabilities: Sequence[float]) -> float:
    right = np.eye(len(probabilities))[gold]
    return float(np.square(np.asarray(probabilities) - right).sum())


def _stderr(values: Sequence[Any], aggregate: Callable[..., Any] | None) -> float | None:
    from lm_eval.api import metrics

    if aggregate is not metrics.mean or len(values) < 2:
        return None
    deviation = float(metrics.mean_stderr(values))
    return deviation if math.isfinite(deviation) else None
