"""A draft as the text of an easily edited study file, and as a file.

Owns order, comments and alignment. The draft has the values; the declarations have the descriptions
of fields. Unset fields are included as comments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.drafts import building, fields, toml
from app.drafts.building import Draft
from core.errors import StudyError
from core.files.partial import written as replaced
from core.study.places import resolved, working_folder
from core.study.study import PLACES

COMMENT = 41
"""The column of comments after short lines."""

HINTS: dict[str, dict[str, str]] = {
    "another": {"path": "runs/another", "revision": "main", "parent": "base"},
    "retrained": {"path": "runs/control", "role": "control"},
    "sft": {"path": "runs/sft", "checkpoints": "checkpoint-*"},
    "seed-1": {"path": "runs/seed-1", "group": "seeds"},
}
"""Further settings of a tuned model, as hints."""

WIDEST = 20
"""Largest common width for padding names."""


def written(draft: Draft) -> str:
    """The text of the study file: settings that differ from the defaults, and hints for the rest.

    Parses to the draft's study. Invalid texts are written as typed.
    """
    data = building.data(draft)
    blocks = [
        [*_head(building.only(draft)), f"name = {toml.value(data.get('name', ''))}"],
        ["[models]", *_base(data["models"]), *_section("models", data["models"])],
        list(_tuned(data["models"]["tuned"])),
        list(_probe(data.get("probe"))),
        *_probes(data.get("probes", {})),
        *_evaluation(data.get("evaluation")),
        *_analyses(data.get("analyses", {}), building.possible(draft)),
        list(_optional("run", data.get("run"), "device and precision")),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def save(draft: Draft, file: Path) -> None:
    """Write the study file, whole or not at all; creates missing folders. A link leads to it as
    before.

    Raises StudyError if the draft is invalid, or if the file can't be written.
    """
    here = building.checked(settled(draft, file.parent))
    try:
        text = written(here).encode()
    except UnicodeEncodeError:
        raise StudyError(
            "A name or path contains bytes that are not UTF-8, which a study file can't store.",
            hint="Rename the file or folder, or link to it by another name.",
        ) from None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(resolved(file), durable=True) as into:
            into.write(text.decode())
    except (OSError, ValueError) as error:
        # Without the system's file names: they name a temporary file.
        why = getattr(error, "strerror", None) or error
        raise StudyError(f"{file} can't be written: {why}.") from None


def settled(draft: Draft, folder: Path) -> Draft:
    """The draft for a file in `folder`, with paths below the current directory made relative to it.

    Paths in a study file are relative to the file; typed paths are relative to the current
    directory.
    """
    here = working_folder()
    if resolved(here / folder) == here:
        return draft
    values = {k: _moved(v, here) if k in _PLACES else v for k, v in draft.values.items()}
    tuned = tuple({**model, "path": _moved(model["path"], here)} for model in draft.tuned)
    probes = tuple(
        {**row, "texts": _moved(row["texts"], here)}
        if "file" in building.source_of(row["texts"])
        else row
        for row in draft.probes
    )
    return draft.model_copy(update={"values": values, "tuned": tuned, "probes": probes})


_PLACES = ("models.base.path", "models.tokenizer", *(".".join(place) for place in PLACES))


def _moved(path: str, here: Path) -> str:
    there = os.path.join(here, path)  # noqa: PTH118 - os.path accepts any name
    return there if path and not path.startswith("~") and os.path.exists(there) else path  # noqa: PTH110


def _head(only: Iterable[str]) -> Iterator[str]:
    some = ",".join(only)
    yield "# To estimate it:     tauscope plan FILE"
    yield f"# To start it:        tauscope run FILE{f' --only {some}' if some else ''}"
    if not some:
        yield "# To run a part:      tauscope run FILE --only alignment,activation"


def _base(models: Mapping[str, Any]) -> Iterator[str]:
    help = fields.field("models.base.path").help
    yield _line(f"base = {toml.value(models['base'])}", _begun(help))


def _tuned(tuned: Mapping[str, Any]) -> Iterator[str]:
    yield _line("[models.tuned]", "name = path or hub id")
    yield from _aligned({name: toml.value(model) for name, model in tuned.items()})
    given = {key for model in tuned.values() if isinstance(model, dict) for key in model}
    for name, hint in HINTS.items():
        if name not in tuned and not given & hint.keys() - {"path"}:
            yield f"# {name} = {toml.value(hint)}"


def _probe(probe: Mapping[str, Any] | None) -> Iterator[str]:
    """The section with every possible source; a comment if there is no probe."""
    given, off = probe or {}, "" if probe is not None else "# "
    yield _line(f"{off}[probe]", "texts for measuring neurons, one of:")
    for name in ("builtin", "file", "task"):
        help = f"  {_begun(fields.field(f'probe.{name}').help)}"
        if name == "builtin":
            help = f"  {', '.join(building.BUILTIN)}: built in"
        yield _setting("probe", name, given, help)
    for name in ("documents", "max_tokens", "token"):
        yield _setting("probe", name, given)


def _probes(probes: Mapping[str, Any]) -> Iterator[list[str]]:
    """A section for each further probe set; a hint if there is none."""
    for name, given in probes.items():
        yield [f"[probes.{toml.key(name)}]", *_section("probes", given)]
    if not probes:
        about = "further probe sets, under your own names"
        yield [_line("# [probes.general]", about), '# builtin = "general"']


def _evaluation(evaluation: Mapping[str, Any] | None) -> Iterator[list[str]]:
    given, off = evaluation or {}, "" if evaluation is not None else "# "
    yield list(_optional("evaluation", evaluation, "", skip=("tasks",)))
    head = _line(f"{off}[evaluation.tasks]", "domain = tasks; a model's own domain has its name")
    tasks = {name: toml.value(each) for name, each in given.get("tasks", {}).items()}
    hint = ['# medical = ["medqa_4options", "pubmedqa"]', '# general = ["hellaswag"]']
    yield [head, *(_aligned(tasks) if tasks else hint)]


def _analyses(asked: Mapping[str, Any], possible: Iterable[str]) -> Iterator[list[str]]:
    for name, given in asked.items():
        section = f"analyses.{name}"
        yield [f"[{section}]", *_section(section, given)]
    if not asked and "alignment" in possible:
        yield [
            _line("# [analyses.alignment]", "parameters of an analysis, with the default"),
            _setting("analyses.alignment", "energy", {}),
        ]


def _optional(
    section: str, given: Mapping[str, Any] | None, about: str, skip: Iterable[str] = ()
) -> Iterator[str]:
    """A section with all its fields; all are comments if the section is not set."""
    off = "" if given is not None else "# "
    yield _line(f"{off}[{section}]", about)
    for name in fields.names(section):
        if name not in skip:
            yield _setting(section, name, given or {})


def _section(section: str, given: Mapping[str, Any]) -> Iterator[str]:
    """The set fields of a section."""
    for name in fields.names(section):
        if name in given and f"{section}.{name}" not in fields.SECTIONS:
            yield _setting(section, name, given)


def _setting(section: str, name: str, given: Mapping[str, Any], help: str = "") -> str:
    """A line of a section, as a comment if it has the default."""
    value = given[name] if name in given else fields.example(section, name)
    line = f"{name} = {toml.value(value)}"
    about = help or _begun(fields.field(f"{section}.{name}").help)
    return _line(line if name in given else f"# {line}", about)


def _aligned(entries: Mapping[str, str]) -> Iterator[str]:
    names = {name: toml.key(name) for name in entries}
    width = max((len(key) for key in names.values() if len(key) <= WIDEST), default=0)
    for name, value in entries.items():
        yield f"{names[name]:{width}} = {value}"


def _line(line: str, about: str) -> str:
    return (
        f"{line:{COMMENT}}# {about}"
        if about and len(line) < COMMENT
        else (f"# {about}\n{line}" if about else line)
    )


def _begun(help: str) -> str:
    """A field's description in the form of a comment."""
    words = help.rstrip(".")
    return words if words[:2].isupper() else words[:1].lower() + words[1:]
