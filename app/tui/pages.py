"""The pages of the builder as data: their lines, and the ways to edit them.

Functions of a draft; no widget. Names, meanings and values of fields come from app.drafts.fields.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.drafts import building, fields
from app.drafts.building import DOMAINS, PROBES, TUNED, Draft
from app.tui import completion
from app.tui.completion import Complete
from app.tui.keys import with_keys, written
from core.engine import registry
from core.texts.documents.source import SUFFIXES

STEPS = ("Models", "Probe", "Tasks", "Analyses", "Placement", "Check")
MODELS, PROBE, TASKS, ANALYSES, PLACEMENT, CHECK = range(6)

Kind = Literal["text", "options", "model", "part", "switch", "add", "fault"]

SECTIONS: tuple[tuple[str, ...], ...] = (
    ("name", "models"), ("probe", "probes"), ("evaluation",), ("analyses",), ("run",), (),
)  # fmt: skip
"""The sections of a study on each step."""

ABOUT = (
    "The base model and the models tuned from it.",
    "Probe texts. Without any, neurons are not measured and other analyses read general texts.",
    "Tasks to score. Without any there are no scores, ablation or arithmetic.",
    "The analyses to compute: all of them, unless {builder.turn-1} switches one off.",
    "Device and precision. The defaults suit most studies.",
    "The estimated cost, and the path of the study file.",
)

OPENS = "{builder.enter} opens it, {builder.drop} removes it"
BARE = "{builder.turn-1} switches it on or off."
SWITCH = "{builder.turn-1} switches it on or off, {builder.enter} opens its parameters."
FILE = "Path of the study file: {builder.write} writes it, {builder.start} also starts the run."
"""Words in braces are the ids of actions."""

NEEDS = {
    "series": "needs a series of checkpoints: step 1",
    "probe": "needs texts: step 2",
    "tasks": "needs tasks: step 3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A line of a page. `words`: its value; `otherwise`: the words without a value; `options`: its
    possible values; `on`: a switch's state, or whether a part is open; `dim`: it has no effect at
    present; `step`: for a fault, the step that corrects it."""

    key: str
    kind: Kind
    label: str
    words: str = ""
    otherwise: str = ""
    options: tuple[str, ...] = ()
    help: str = ""
    trouble: str = ""
    depth: int = 0
    on: bool = False
    dim: bool = False
    step: int = 0


def items(
    step: int, draft: Draft, faults: Mapping[str, str], opened: Collection[str] = ()
) -> tuple[Item, ...]:
    """The lines of a step; `opened` parts are followed by their fields."""
    make = (_models, _probe, _tasks, _analyses, _placement, _check)[step]
    lines = tuple(make(draft, faults, opened))
    troubles = {} if step == CHECK or draft == Draft() else _troubles(step, lines, faults)
    return tuple(replace(line, trouble=troubles.get(line.key, "")) for line in lines)


def step_of(key: str) -> int:
    """The step with the field of this key."""
    part = key.partition(".")[0]
    return next(i for i, parts in enumerate(SECTIONS) if part in parts)


def blamed(faults: Mapping[str, str], step: int) -> list[str]:
    """The keys of the faults of a step."""
    return [key for key in faults if step_of(key) == step]


def completer(key: str, draft: Draft) -> Complete | None:
    """The completer of a field."""
    name = key.rpartition(".")[2]
    if key == "file":
        return completion.files(".toml")
    if key == "probe.file" or (key.startswith(PROBES) and name == "texts"):
        return completion.files(*SUFFIXES)
    if key in ("evaluation.include", "run.offload_folder"):
        return completion.files()
    if key == "probe.task" or (key.startswith(DOMAINS) and name == "tasks"):
        return completion.words(completion.tasks(building.value(draft, "evaluation.include")))
    if key in ("analyses.arithmetic.vectors", "evaluation.reference"):
        return completion.words(model["name"] for model in draft.tuned)
    return None


def file_for(draft: Draft) -> str:
    """A name for the study file."""
    name = building.value(draft, "name")
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".-")
    return f"{safe[:80] or 'study'}.toml"


def _models(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    picks = f"{written('builder.enter')} picks one"
    yield replace(_field(draft, "models.base.path", label="base", otherwise=picks), kind="model")
    for index, model in enumerate(draft.tuned):
        key = f"{TUNED}.{index}"
        more = [f"from {model['parent']}"] if model.get("parent") else []
        more += ["control"] if model.get("role") == "control" else []
        more += [f"at {model['revision']}"] if model.get("revision") else []
        yield Item(
            key=key, kind="part", label=model["name"], words=model["path"],
            otherwise=", ".join(more), on=key in opened, help=with_keys(OPENS),
        )  # fmt: skip
        if key in opened:
            yield from _model(draft, index)
    yield Item(
        key="add", kind="add", label="add a tuned model",
        help="Choose a model from the list, or type its hub id or path.",
    )  # fmt: skip
    yield _field(draft, "name", label="study name", otherwise="named after the base")
    yield from _more(draft, opened, "models.base.revision", "models.tokenizer",
                     "models.trust_remote_code")  # fmt: skip


def _model(draft: Draft, index: int) -> Iterator[Item]:
    key, names = f"{TUNED}.{index}", [model["name"] for model in draft.tuned]
    others = names[:index] + names[index + 1 :]  # one may have this name while another is typed
    name = Item(
        key=f"{key}.name", kind="text", label="name", words=names[index], depth=1,
        help="Its name in every figure: letters, digits, '.', '_' and '-'.",
    )  # fmt: skip
    yield name
    yield replace(_of_row(draft, key, "path"), kind="model")
    if others:
        yield replace(_of_row(draft, key, "parent"), kind="options", options=("base", *others))
    yield _of_row(draft, key, "role")
    for field in ("revision", "checkpoints", "group"):
        yield _of_row(draft, key, field)


def _of_row(draft: Draft, key: str, name: str) -> Item:
    made = _field(draft, f"{TUNED}.{name}", depth=1)
    words = building.value(draft, f"{key}.{name}")
    otherwise = "base" if name == "parent" else made.otherwise
    return replace(made, key=f"{key}.{name}", words=words, otherwise=otherwise)


def _probe(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    helps = {
        "": "No texts: neurons are not measured.",
        "file": "A file of your own.",
        "task": "The items of a task, from the harness or your own.",
    }
    yield Item(
        key="probe", kind="options", label="texts", words=draft.probe or "none",
        options=("none", *building.SOURCES[1:]),
        help=helps.get(draft.probe, fields.field("probe.builtin").help),
    )  # fmt: skip
    if draft.probe in ("file", "task"):
        yield _field(draft, f"probe.{draft.probe}")
    for name in ("documents", "max_tokens", "token") if draft.probe else ():
        yield _field(draft, f"probe.{name}")
    for index, row in enumerate(draft.probes):
        key = f"{PROBES}.{index}"
        yield Item(
            key=key, kind="part", label=row["name"], words=row["texts"], on=key in opened,
            otherwise="" if row["texts"] else "no texts yet", help=with_keys(OPENS),
        )  # fmt: skip
        if key in opened:
            yield from _further_probe(draft, key)
    yield Item(
        key="add", kind="add", label="add a probe set",
        help="For analyses of outputs and states. Neurons are measured on the first set.",
    )  # fmt: skip


def _further_probe(draft: Draft, key: str) -> Iterator[Item]:
    for name, help in (
        ("name", "Its name in every figure: letters, digits, '.', '_' and '-'."),
        ("texts", "A built-in set, task:NAME, or a file."),
    ):
        words = building.value(draft, f"{key}.{name}")
        yield Item(key=f"{key}.{name}", kind="text", label=name, words=words, depth=1, help=help)
    for name in ("documents", "max_tokens"):
        made = _field(draft, f"{PROBES}.{name}", depth=1)
        yield replace(made, key=f"{key}.{name}", words=building.value(draft, f"{key}.{name}"))


def _tasks(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    for index, domain in enumerate(draft.domains):
        key = f"{DOMAINS}.{index}"
        yield Item(
            key=key, kind="part", label=domain["name"], words=domain["tasks"], on=key in opened,
            otherwise="" if domain["tasks"] else "no tasks yet",
            help=with_keys(OPENS),
        )  # fmt: skip
        if key in opened:
            yield Item(
                key=f"{key}.name", kind="text", label="domain", words=domain["name"], depth=1,
                help="A domain with the name of a model is that model's own.",
            )  # fmt: skip
            yield Item(
                key=f"{key}.tasks", kind="text", label="tasks", words=domain["tasks"], depth=1,
                otherwise="such as medqa_4options, pubmedqa",
                help="Names of tasks of the harness, or of your own tasks in the folder below.",
            )  # fmt: skip
    yield Item(
        key="add", kind="add", label="add a domain", help="A domain is a name and its tasks."
    )
    yield _field(draft, "evaluation.include", label="own tasks")
    yield _field(draft, "evaluation.limit")
    yield from _more(draft, opened, "evaluation.reference", "evaluation.fewshot",
                     "evaluation.chat_template", "models.template",
                     "evaluation.bootstrap", "evaluation.trust_task_code")  # fmt: skip


def _analyses(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    possible = building.possible(draft)
    for name in registry.names():
        analysis, key = registry.get(name), f"analyses.{name}"
        parameters = fields.names(key)
        given = [f"{n.replace('_', ' ')} {v}" for n in parameters
                if (v := draft.values.get(f"{key}.{n}"))]  # fmt: skip
        yield Item(
            key=key, kind="switch", label=analysis.title, on=name not in draft.without,
            words=", ".join(given), dim=name not in possible,
            otherwise=about(name) if name in possible else NEEDS[analysis.needs],
            help=f"{about(name)}\n{with_keys(SWITCH if parameters else BARE)}",
        )  # fmt: skip
        if key in opened:
            for each in parameters:
                yield _field(draft, f"{key}.{each}", depth=1)


def _placement(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    for name in fields.names("run"):
        yield _field(draft, f"run.{name}")


def _check(draft: Draft, faults: Mapping[str, str], opened: Collection[str]) -> Iterator[Item]:
    for key, words in faults.items():
        step = step_of(key)
        yield Item(
            key=key, kind="fault", label=f"{step + 1} {STEPS[step]}", step=step,
            words=f"{_shown(draft, key)}{words}", help=f"{written('builder.enter')} goes there",
        )  # fmt: skip
    if not faults:
        yield Item(
            key="file", kind="text", label="study file", words=draft.values.get("file", ""),
            otherwise=file_for(draft),
            help=with_keys(FILE),
        )  # fmt: skip


def about(name: str) -> str:
    """The purpose of an analysis: the first paragraph of its module."""
    paragraph = (sys.modules[registry.get(name).plan.__module__].__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split()).partition(": method")[0].rstrip(".") + "."


def found(file: Path) -> str | None:
    """The content of an existing file; None if no file would be overwritten."""
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    except (OSError, ValueError):
        return None


def filled(draft: Draft, step: int) -> bool:
    """Has a step any content?"""
    if step == MODELS:
        return bool(draft.tuned)
    if step in (PROBE, TASKS):
        return bool(draft.probe or draft.probes if step == PROBE else draft.domains)
    sections = SECTIONS[step]
    given = any(words and key.partition(".")[0] in sections for key, words in draft.values.items())
    return given or (step == ANALYSES and bool(draft.without))


def _more(draft: Draft, opened: Collection[str], *keys: str) -> Iterator[Item]:
    """Seldom needed fields, behind a line of their own."""
    given = [key for key in keys if draft.values.get(key)]
    labels = ", ".join(_label(key) for key in (given or keys))
    is_open = "more" in opened
    yield Item(
        key="more", kind="part", label="more", otherwise="" if is_open else labels, on=is_open,
        help="Rarely needed settings.",
    )  # fmt: skip
    if is_open:
        for key in keys:
            yield _field(draft, key, label=_label(key), depth=1)


def _label(key: str) -> str:
    return "base revision" if key == "models.base.revision" else fields.field(key).label


def _field(draft: Draft, key: str, *, label: str = "", otherwise: str = "", depth: int = 0) -> Item:
    field = fields.field(key)
    held = field.otherwise or (f"such as {field.example}" if field.example else "not given")
    return Item(
        key=key, kind="options" if field.options else "text", label=label or field.label,
        words=draft.values.get(key, ""), otherwise=otherwise or held, options=field.options,
        help=field.help, depth=depth,
    )  # fmt: skip


def _troubles(step: int, lines: Sequence[Item], faults: Mapping[str, str]) -> dict[str, str]:
    """The faults of a step by line: each at the nearest line to its field, and the first one per
    line."""
    by_line: dict[str, str] = {}
    for key in blamed(faults, step):
        near = [line.key for line in lines if f"{key}.".startswith(f"{line.key}.")]
        by_line.setdefault(max(near, key=len) if near else _rest(key, lines), faults[key])
    return by_line


def _rest(key: str, lines: Sequence[Item]) -> str:
    """The line for a fault without a line of its own: the one that adds parts, or the folded
    fields."""
    keys = [line.key for line in lines]
    sign = "add" if key in (TUNED, DOMAINS, *fields.SECTIONS) else "more"
    return sign if sign in keys else keys[0]


def _shown(draft: Draft, key: str) -> str:
    """The name of a field in the words of its page."""
    part, _, name = key.rpartition(".")
    if part.startswith((TUNED, DOMAINS, PROBES)) and part not in (TUNED, DOMAINS, PROBES):
        return f"{building.value(draft, f'{part}.name') or 'unnamed'}: {name}: "
    if key == "models.base.path":
        return "base: "
    return f"{name.replace('_', ' ')}: " if part else f"{key}: "
