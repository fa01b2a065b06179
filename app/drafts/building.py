"""Drafts of studies: everything typed so far, valid or not, and the resulting study.

Owns the draft, its changes and its faults. It has no rules of its own: core.study.study declares a
study, app.drafts.fields lists its fields, app.drafts.studyfile formats a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.drafts import fields
from core.engine import registry
from core.errors import StudyError
from core.study import intake

BUILTIN = fields.field("probe.builtin").options
SOURCE = ("builtin", "file", "task")
SOURCES = ("", *BUILTIN, "file", "task")
"""The values of a draft's `probe`: no texts, the name of a built-in set, or the field with the
source."""

TUNED, DOMAINS, PROBES = "models.tuned", "evaluation.tasks", "probes"
_LISTS = {TUNED: "tuned", DOMAINS: "domains", PROBES: "probes"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Draft(_Part):
    """All that was typed. `values`: by the key of a study file; `tuned`: each model's name and
    fields of [models.tuned]; `domains`: each domain's name and tasks; `probe`: one of SOURCES;
    `probes`: the name, texts (see `source_of`) and counts of each further probe set; `without`:
    deselected analyses."""

    values: dict[str, str] = {}
    tuned: tuple[dict[str, str], ...] = ()
    domains: tuple[dict[str, str], ...] = ()
    probe: str = ""
    probes: tuple[dict[str, str], ...] = ()
    without: tuple[str, ...] = ()


def begun(base: str | None = None, tuned: Iterable[str] = ()) -> Draft:
    """A draft of these models, each named after its name's difference from the base's."""
    draft = Draft()
    if base:
        draft = changed(draft, "models.base.path", base)
    for path in tuned:
        draft = with_model(draft, path)
    return draft


def value(draft: Draft, key: str) -> str:
    """The text in the field of this key; models and domains are addressed by number."""
    place = _place(key)
    if place is None:
        return draft.probe if key == "probe" else draft.values.get(key, "")
    rows, index, name = place
    return _rows(draft, rows)[index].get(name, "")


def changed(draft: Draft, key: str, words: str) -> Draft:
    """The draft with a new text in a field. A renamed model stays the parent of its children.

    A new base also names the study, unless the study has its own name.
    """
    place = _place(key)
    if place is not None:
        rows, index, name = place
        new = list(_rows(draft, rows))
        before = new[index].get("name", "")
        new[index] = {**new[index], name: words}
        if rows == TUNED and name == "name" and before:
            new = [{**m, "parent": words} if m.get("parent") == before else m for m in new]
        return _with_rows(draft, rows, new)
    if key == "probe":
        return draft.model_copy(update={"probe": words})
    values = {**draft.values, key: words}
    named = draft.values.get("name", "")
    if key == "models.base.path" and named in ("", called(draft.values.get(key, ""))):
        values["name"] = called(words)
    return draft.model_copy(update={"values": values})


def with_model(draft: Draft, path: str, parents: Iterable[str] = ()) -> Draft:
    """The draft with one more tuned model; its parent is set if the study has one of `parents`."""
    taken = [model["name"] for model in draft.tuned]
    model = {"name": suggested(path, value(draft, "models.base.path"), taken), "path": path}
    more = draft.model_copy(update={"tuned": (*draft.tuned, model)})
    return related(more, {path: tuple(parents)})


def related(draft: Draft, parents: Mapping[str, Sequence[str]]) -> Draft:
    """The draft with the parent of each of these models set, if the study has it and no other is
    set."""
    known = {row["path"]: row["name"] for row in draft.tuned}
    tuned = []
    for row in draft.tuned:
        named = (known[each] for each in parents.get(row["path"], ()) if each in known)
        parent = row.get("parent") or next((name for name in named if name != row["name"]), "")
        tuned.append({**row, "parent": parent} if parent else row)
    return draft.model_copy(update={"tuned": tuple(tuned)})


def with_domain(draft: Draft) -> Draft:
    """The draft with one more domain: of the first model without one, or a general one."""
    taken = {domain["name"] for domain in draft.domains}
    free = [m["name"] for m in draft.tuned if m["name"] not in taken and m.get("role") != "control"]
    name = next(iter([*free, *({"general"} - taken)]), "")
    return draft.model_copy(update={"domains": (*draft.domains, {"name": name, "tasks": ""})})


def with_probe(draft: Draft) -> Draft:
    """The draft with one more probe set: the first built-in one that it does not have, if any."""
    taken = {draft.probe, *(row["name"] for row in draft.probes)}
    name = next((name for name in ("general", *BUILTIN) if name not in taken), "")
    return draft.model_copy(update={"probes": (*draft.probes, {"name": name, "texts": name})})


def source_of(texts: str) -> dict[str, str]:
    """The source of a probe set from a line: a built-in set, `task:NAME`, or else a file."""
    kind = "builtin" if texts in BUILTIN else "task" if texts.startswith("task:") else "file"
    return {kind: texts.removeprefix("task:")}


def without(draft: Draft, key: str) -> Draft:
    """The draft without the model or domain of this key or of its field."""
    place = _place(key)
    if place is None:
        return draft
    rows, index, _ = place
    gone = _rows(draft, rows)[index].get("name")
    left = [row for i, row in enumerate(_rows(draft, rows)) if i != index]
    if rows == TUNED:
        left = [{**row, "parent": ""} if row.get("parent") == gone else row for row in left]
    return _with_rows(draft, rows, left)


def toggled(draft: Draft, analysis: str) -> Draft:
    """The draft with an analysis selected or deselected."""
    wanted = analysis in draft.without
    others = tuple(name for name in draft.without if name != analysis)
    return draft.model_copy(update={"without": others if wanted else (*others, analysis)})


def only(draft: Draft) -> tuple[str, ...]:
    """The selected analyses; empty if all possible ones are selected."""
    if not set(draft.without) & set(possible(draft)):
        return ()
    return tuple(name for name in possible(draft) if name not in draft.without)


def possible(draft: Draft) -> tuple[str, ...]:
    """The possible analyses with the draft's inputs, in their order."""
    lacking = {
        *(() if any(model.get("checkpoints") for model in draft.tuned) else ("series",)),
        *(() if draft.probe or draft.probes else ("probe",)),
        *(() if draft.domains else ("tasks",)),
    }
    return tuple(name for name in registry.names() if registry.get(name).needs not in lacking)


def data(draft: Draft) -> dict[str, Any]:
    """The data of the draft's study file, without defaults."""
    content: dict[str, Any] = fields.overrides("", {"name": draft.values.get("name", "")})
    base = fields.overrides("models.base", _of(draft.values, "models.base"))
    content["models"] = {
        "base": _short(base) if base else "",
        "tuned": {m["name"]: _short(fields.overrides(TUNED, m)) for m in draft.tuned},
        **fields.overrides("models", _of(draft.values, "models")),
    }
    if draft.probe:
        content["probe"] = {**_source(draft), **fields.overrides("probe", _asked(draft))}
    for row in draft.probes:
        entry = {**source_of(row["texts"]), **fields.overrides("probes", row)}
        content.setdefault("probes", {})[row["name"]] = {k: v for k, v in entry.items() if v != ""}
    if draft.domains:
        content["evaluation"] = {
            **fields.overrides("evaluation", _of(draft.values, "evaluation")),
            "tasks": {d["name"]: fields.parts(d["tasks"]) for d in draft.domains},
        }
    asked = {
        name: fields.overrides(f"analyses.{name}", _of(draft.values, f"analyses.{name}"))
        for name in registry.names()
    }
    content["analyses"] = {name: parameters for name, parameters in asked.items() if parameters}
    content["run"] = fields.overrides("run", _of(draft.values, "run"))
    return {key: part for key, part in content.items() if part or key not in ("analyses", "run")}


def checked(draft: Draft) -> Draft:
    """The same draft. Raises StudyError naming the key of the first fault."""
    for key, words in faults(draft).items():
        raise StudyError(f"{_named(draft, key)}: {words}")
    return draft


def faults(draft: Draft) -> dict[str, str]:
    """All faults of a draft, by the keys of `value`, or by a section's key if no single field is at
    fault."""
    by_key = {_numbered(draft, key): words for key, words in intake.faults(data(draft)).items()}
    for key in by_key.keys() & {"name", "models.base.path"}:
        by_key[key] = by_key[key] if value(draft, key) else "is needed"
    if not value(draft, "models.base.path"):
        by_key.pop("name", None)  # it will get the base's name
    if by_key.pop(TUNED, "") and not draft.tuned:  # otherwise one without a name: see below
        by_key[TUNED] = "at least one is needed"
    by_key.pop(PROBES, "")  # one without a name: see below
    if "probe" in by_key:
        by_key[f"probe.{draft.probe}"] = "is needed"
        del by_key["probe"]
    if "" in by_key:  # a fault among distant sections: it begins with the key
        key, _, words = by_key.pop("").partition(": ")
        by_key[key] = words
    for rows, noun in ((TUNED, "model"), (DOMAINS, "domain"), (PROBES, "probe set")):
        names = [row["name"] for row in _rows(draft, rows)]
        for index, name in enumerate(names):
            if name in names[:index]:
                by_key[f"{rows}.{index}.name"] = f"another {noun} has this name"
            elif not name:
                by_key[f"{rows}.{index}.name"] = "needs a name"
    for index, domain in enumerate(draft.domains):
        if not fields.parts(domain["tasks"]):
            by_key.setdefault(f"{DOMAINS}.{index}.tasks", "needs at least one task")
    for index, row in enumerate(draft.probes):
        if not source_of(row["texts"]).get("task", row["texts"]):
            by_key[f"{PROBES}.{index}.texts"] = "is needed"
            if row["name"] and by_key.get(key := f"{PROBES}.{index}.name", "").startswith(
                "needs one"
            ):
                del by_key[key]
    return by_key


def suggested(path: str, base: str, taken: Iterable[str]) -> str:
    """A name for a tuned model: its name's difference from the base's, in lower case.

    `Qwen/Qwen2.5-7B-Instruct` of `Qwen/Qwen2.5-7B` is `instruct`.
    """
    name, known = called(path), {part.casefold() for part in _words(called(base))}
    added = [part for part in _words(name) if part.casefold() not in known]
    return intake.free_name(("-".join(added) or name).lower(), set(taken))


def called(path: str) -> str:
    """The last part of a hub id or path; for a snapshot in a cache, of its repository."""
    cached = re.search(r"models--([^/]+)/snapshots/", path)
    return (cached[1].split("--")[-1] if cached else path.rstrip("/").rpartition("/")[2]) or path


def _words(name: str) -> list[str]:
    return [part for part in re.split(r"[-_\s]+", name) if part]


def _short(model: dict[str, Any]) -> Any:
    """A model, abbreviated to its path if only that is set."""
    return model["path"] if model.keys() == {"path"} else model


def _source(draft: Draft) -> dict[str, str]:
    if draft.probe in BUILTIN:
        return {"builtin": draft.probe}
    typed = draft.values.get(f"probe.{draft.probe}", "")
    return {draft.probe: typed} if typed else {}


def _asked(draft: Draft) -> dict[str, str]:
    """The probe's settings besides its source; settings of other sources are left out."""
    return {k: v for k, v in _of(draft.values, "probe").items() if k not in SOURCE}


def _of(values: Mapping[str, str], section: str) -> dict[str, str]:
    keys = {key: key.rpartition(".") for key in values}
    return {name: values[key] for key, (part, _, name) in keys.items() if part == section}


def _place(key: str) -> tuple[str, int, str] | None:
    """The rows of a key, the row's number, and its field."""
    match = re.fullmatch(rf"({'|'.join(map(re.escape, _LISTS))})\.(\d+)(?:\.(\w+))?", key)
    return (match[1], int(match[2]), match[3] or "") if match else None


def _rows(draft: Draft, rows: str) -> tuple[dict[str, str], ...]:
    entries: tuple[dict[str, str], ...] = getattr(draft, _LISTS[rows])
    return entries


def _with_rows(draft: Draft, rows: str, new: Iterable[dict[str, str]]) -> Draft:
    return draft.model_copy(update={_LISTS[rows]: tuple(new)})


def _named(draft: Draft, key: str) -> str:
    """A draft's key as a file's key: names replace numbers."""
    place = _place(key)
    if place is None:
        return key
    rows, index, field = place
    name = _rows(draft, rows)[index]["name"]
    whole = rows == DOMAINS or field in ("name", "texts")  # the name itself is the key in the file
    return ".".join(part for part in (rows, name, "" if whole else field) if part)


def _numbered(draft: Draft, key: str) -> str:
    """A file's key as a draft's key: numbers replace names."""
    for rows, plain in ((TUNED, "name"), (DOMAINS, "tasks"), (PROBES, "name")):
        named = sorted(enumerate(_rows(draft, rows)), key=lambda row: -len(row[1]["name"]))
        for number, row in named:
            prefix = f"{rows}.{row['name']}"
            if key == prefix:
                return f"{rows}.{number}.{plain}"
            if key.startswith(f"{prefix}."):
                rest = key.removeprefix(f"{prefix}.")
                rest = plain if rows == DOMAINS else "texts" if rest in SOURCE else rest
                return f"{rows}.{number}.{rest}"
    return key
