"""Folders without readable weights: their contents and a remedy, in words.

Owns the file names of an adapter, a tokeniser, a trainer's output and a folder of models; other
signs are data in core.models.signs. Looks at names only: opens no file and imports no torch. The
choice of a model's weight files is in core.models.headers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from core.errors import CheckpointError
from core.files import regular
from core.models.signs import SIGNS

ADAPTER = "adapter_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of a model's weight files. An index of shards has such a name plus ".index.json"."""

GGUF = ".gguf"
"""Extensions of files that hold a whole model."""

FACTORS = ("adapter_model.safetensors", "adapter_model.bin")
"""The files that hold an adapter's weights."""

_OF_WEIGHTS = (".safetensors", ".bin", ".index.json", GGUF)
_CHECKPOINT = re.compile(r"checkpoint-(\d+)/")
_TOKENISER = re.compile(
    r"tokenizer\.json|tokenizer\.model|tokenizer_config\.json|vocab\.(json|txt)|spiece\.model"
    r"|merges\.txt|special_tokens_map\.json"
)
_NAMED = 4  # names in one hint
_SEARCHED = 200  # folders that are searched for candidates


def without_weights(folder: Path) -> CheckpointError:
    """The error for a folder that holds no weights to read: its contents and a remedy."""
    names = _listed(folder)
    if not names:
        return _bare(folder)
    for name in sorted(names):
        if name.endswith(_OF_WEIGHTS) and is_dangling(folder / name):
            return of_link(folder / name)
    if ADAPTER in names and not names & set(FACTORS):
        return without_factors(folder)
    checkpoints = _checkpoints(names)
    if checkpoints:
        return _output(folder, checkpoints)
    for sign in SIGNS:
        match = next((name for name in sorted(names) if sign.name.fullmatch(name)), None)
        if match is not None:
            fields = {"folder": folder, "found": match.rstrip("/")}
            title = f"{folder} {sign.title.format(**fields)}"
            return CheckpointError(title, hint=sign.hint.format(**fields))
    return _plain(folder, names)


def _bare(folder: Path) -> CheckpointError:
    """The error for a folder without visible names."""
    try:
        state = "holds only hidden files" if any(folder.iterdir()) else "is empty"
    except OSError as error:
        return CheckpointError(f"{folder} can't be read: {error.strerror}.")
    return CheckpointError(
        f"{folder} {state}.", hint="Name the folder that holds config.json and the weights."
    )


def is_dangling(file: Path) -> bool:
    """Is this a link to a file that does not exist?"""
    return file.is_symlink() and not file.exists()


def of_link(file: Path) -> CheckpointError:
    """The error for a link to a missing file, as a cleaned or partly copied cache has them."""
    return CheckpointError(
        f"{file.parent} holds {file.name}, a link to a missing file.",
        hint="Download the model again, or copy its folder with the files that its links name.",
    )


def without_factors(folder: Path) -> CheckpointError:
    """The error for a folder with an adapter's settings and without its weights."""
    return CheckpointError(
        f"{folder} holds {ADAPTER} but not the adapter's weights, {FACTORS[0]}.",
        hint="Save the adapter again with save_pretrained, or copy the missing file there.",
    )


def of_file(file: Path) -> CheckpointError:
    """The error for a file in place of a model's folder."""
    hint = "Name the directory that holds config.json and the weights."
    if (file.parent / "config.json").is_file():
        hint = f"Name its directory, {file.parent}."
    return CheckpointError(f"{file} is a file, not a model's directory.", hint=hint)


def refuse_pipes(folder: Path) -> None:
    """Raise CheckpointError if a folder holds a pipe or a device. A library that opens one waits
    forever."""
    with contextlib.suppress(OSError, ValueError):
        for path in regular.pipes(folder.iterdir()):
            raise CheckpointError(
                f"{path} is a pipe or a device, not a file.", hint="Take it out of the folder."
            )


def is_adapter(folder: Path) -> bool:
    """Does this folder hold an adapter, with or without a config.json?

    As in transformers, an adapter's weights take precedence over a whole model's.
    """
    names = _listed(folder)
    return ADAPTER in names and bool(names & set(FACTORS) or not _has_weights(names))


def is_gguf(place: Path) -> bool:
    """Is this a GGUF file, by its name?"""
    return place.suffix == GGUF and place.is_file()


def gguf_in(folder: Path) -> Path | None:
    """The one GGUF file of a folder; None if it has none, or has other weights.

    Raises CheckpointError if there are several.
    """
    names = _listed(folder)
    files = sorted(name for name in names if name.endswith(GGUF))
    if not files or _has_weights(names) or is_adapter(folder):
        return None
    if len(files) > 1:
        raise _several(folder, files)
    return folder / files[0]


def is_tokeniser(file: Path) -> bool:
    """Is this a file of a tokeniser?"""
    return bool(_TOKENISER.fullmatch(file.name))


def holds_weights(folder: Path) -> bool:
    """Does the folder have files, or an index, with the names of a model's weights?"""
    return _has_weights(_listed(folder))


def _has_weights(names: Collection[str]) -> bool:
    return any(name in names or f"{name}.index.json" in names for name in WEIGHTS)


def _listed(folder: Path) -> set[str]:
    """The visible names in a folder; names of subfolders end in a slash."""
    try:
        return {
            f"{each.name}/" if each.is_dir() else each.name
            for each in folder.iterdir()
            if not each.name.startswith(".")
        }
    except OSError:
        return set()


def _checkpoints(names: Collection[str]) -> list[str]:
    """A trainer's checkpoints among these names, newest first."""
    numbered = [(int(match[1]), name) for name in names if (match := _CHECKPOINT.fullmatch(name))]
    return [name.rstrip("/") for _, name in sorted(numbered, reverse=True)]


def _output(folder: Path, checkpoints: Sequence[str]) -> CheckpointError:
    """The error for a trainer's output folder; the newest checkpoint's if none is readable."""
    newest = next((name for name in checkpoints if _is_model(folder / name)), None)
    if newest is None:
        return without_weights(folder / checkpoints[0])
    count = f"{len(checkpoints)} checkpoints" if len(checkpoints) > 1 else "one checkpoint"
    return CheckpointError(
        f"{folder} holds {count} of a training run and no weights of its own.",
        hint=f"Name the newest, {folder / newest}.",
    )


def _is_model(folder: Path) -> bool:
    names = _listed(folder)
    adapter = ADAPTER in names and bool(names & set(FACTORS))
    return adapter or ("config.json" in names and _has_weights(names))


def _several(folder: Path, files: Sequence[str]) -> CheckpointError:
    """The error for a folder with several GGUF files, often one model in several types."""
    return CheckpointError(
        f"{folder} holds {len(files)} GGUF files: {_few(files)}.",
        hint=f"Name one of them, {folder / files[0]}.",
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _plain(folder: Path, names: set[str]) -> CheckpointError:
    """The error for a folder without any sign: models below it, or the missing files."""
    candidates = _candidates(folder, names)
    if candidates:
        which = "Name it:" if len(candidates) == 1 else "Name one of them:"
        return CheckpointError(
            f"{folder} holds no weights; {_models(len(candidates))} below it.",
            hint=f"{which} {_few([str(path) for path in candidates])}.",
        )
    tokeniser = any(map(_TOKENISER.fullmatch, names))
    held = [
        words
        for words, is_there in (
            ("a model's settings", "config.json" in names), ("a tokeniser", tokeniser)
        )
        if is_there
    ]  # fmt: skip
    title = f"holds {' and '.join(held)} but no weights." if held else "holds no weights."
    return CheckpointError(
        f"{folder} {title}",
        hint="Expected model.safetensors, pytorch_model.bin, or an index of shards of either.",
    )


def _models(count: int) -> str:
    return "there is a model" if count == 1 else f"there are {count} models"


def _candidates(folder: Path, names: set[str]) -> list[Path]:
    """The models one or two levels below a folder; the number of searched folders is limited."""
    candidates: list[Path] = []
    looked, level = 0, [folder / name for name in sorted(names) if name.endswith("/")]
    for _ in range(2):
        below: list[Path] = []
        for each in level:
            looked += 1
            if looked > _SEARCHED:
                return candidates
            if _is_model(each):
                candidates.append(each)
            else:
                below += [each / name for name in sorted(_listed(each)) if name.endswith("/")]
        level = below
    return candidates
