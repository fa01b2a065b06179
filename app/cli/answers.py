"""A draft from the options of a command: the builder without a screen. Writes nothing."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from app.drafts import building, fields
from app.drafts.building import DOMAINS, TUNED, Draft
from core.engine import registry
from core.errors import StudyError, did_you_mean
from core.study.places import expanded, looks_local

_BY_OPTION = ("models.base.path", "probe.builtin", "probe.file", "probe.task")


def draft(
    base: str,
    tuned: Iterable[str],
    *,
    probes: Iterable[str] = (),
    tasks: Iterable[str] = (),
    settings: Iterable[str] = (),
    only: str = "",
) -> Draft:
    """The draft of a valid study with these answers.

    `tuned` are `path` or `name=path`; `probes` a built-in set, `task:name` or a file, with `name=`
    before it for all but the first; `tasks` `domain=a,b`; `settings` `key=value` with the key of a
    study file; `only` names of analyses. Raises StudyError for an unknown name or key, and for an
    invalid study.
    """
    made = building.changed(Draft(), "models.base.path", base)
    for given in tuned:
        made = _with_model(made, given)
    for given in probes:
        made = _with_probe(made, given)
    for given in tasks:
        domain, words = _pair(given, "--task")
        made = building.with_domain(made)
        section = f"{DOMAINS}.{len(made.domains) - 1}"
        made = building.changed(
            building.changed(made, f"{section}.name", domain), f"{section}.tasks", words
        )
    for given in settings:
        key, words = _pair(given, "--set")
        made = building.changed(made, _known(key), words)
    return building.checked(made.model_copy(update={"without": _left_out(only)}))


def absent(draft: Draft) -> list[str]:
    """The local paths in the draft that do not exist."""
    paths = [draft.values.get(key, "") for key in ("models.base.path", "models.tokenizer")]
    paths += [model["path"] for model in draft.tuned]
    places = [path for path in paths if looks_local(path)]
    places += [draft.values.get("probe.file", "") if draft.probe == "file" else ""]
    places += [building.source_of(row["texts"]).get("file", "") for row in draft.probes]
    places += [draft.values.get("evaluation.include", "")]
    # os.path returns False for a name that is too long.
    return [p for p in places if p and not os.path.exists(expanded(p))]  # noqa: PTH110


def _with_model(made: Draft, given: str) -> Draft:
    name, sign, path = given.partition("=")
    named = bool(sign) and "/" not in name
    made = building.with_model(made, path if named else given)
    key = f"{TUNED}.{len(made.tuned) - 1}.name"
    return building.changed(made, key, name) if named else made


def _with_probe(made: Draft, given: str) -> Draft:
    name, sign, texts = given.partition("=")
    if not (sign and "/" not in name):
        name, texts = "", given
    near = difflib.get_close_matches(texts, building.BUILTIN, n=1)
    if texts not in building.BUILTIN and near and not os.path.exists(expanded(texts)):  # noqa: PTH110
        raise StudyError(
            f"No built-in set of texts and no file is called '{texts}'.",
            hint=did_you_mean(texts, building.BUILTIN),
        )
    if name:
        return made.model_copy(update={"probes": (*made.probes, {"name": name, "texts": texts})})
    if made.probe:
        raise StudyError(f"--probe {given}: a second probe set needs a name.", hint="NAME=TEXTS.")
    ((kind, words),) = building.source_of(texts).items()
    made = building.changed(made, "probe", words if kind == "builtin" else kind)
    return made if kind == "builtin" else building.changed(made, f"probe.{kind}", words)


def _pair(given: str, option: str) -> tuple[str, str]:
    name, sign, words = given.partition("=")
    if not (sign and name.strip()):
        raise StudyError(f"{option} takes NAME=VALUE, not '{given}'.")
    return name.strip(), words.strip()


def _known(key: str) -> str:
    known = [each for each in fields.settable() if each not in _BY_OPTION]
    if key not in known:
        raise StudyError(f"A study has no key '{key}'.", hint=did_you_mean(key, known))
    return key


def _left_out(only: str) -> tuple[str, ...]:
    wanted, known = fields.parts(only), registry.names()
    for name in wanted:
        if name not in known:
            raise StudyError(f"There is no analysis '{name}'.", hint=did_you_mean(name, known))
    return tuple(name for name in known if wanted and name not in wanted)
