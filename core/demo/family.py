"""The entry point of the embedded demo family: `build`.

Owns the order of work and the definition of finished: corpora, base, four tuned models, files, the
report last. Each finished model is saved, so a stopped or killed build resumes after it. Imports
torch only while it trains; prints nothing.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.demo import claim, corpora, files
from core.demo.corpora import DOMAINS, GENERAL, Corpus
from core.demo.recipe import FULL, VERSION, Recipe
from core.errors import FamilyError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Progress = Callable[[str, int, int], None]

BASE = "base"
REPORT = "family.json"
RECORD = "training.json"


@dataclass(frozen=True)
class DemoFamily:
    """A finished family on disk."""

    folder: Path
    study: Path
    base: Path
    tuned: Mapping[str, Path]
    seed: int
    measured: Mapping[str, Any]
    """The contents of family.json."""


def build(
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    recipe: Recipe = FULL,
) -> DemoFamily:
    """Build the family in `folder`, or return it at once if it is already finished.

    `progress(stage, done, total)` is called at every training step. An exception that it raises
    stops the build and passes through; the next call resumes from the last finished model.
    """
    folder = Path(folder).absolute()
    claim.claim(folder, {**recipe.as_data(), "seed": seed})
    finished = _finished(folder, seed, recipe)
    if finished is not None:
        return finished
    report = progress or _silent
    with claim.locked(folder, waiting=lambda: report("waiting", 0, recipe.steps)):
        finished = _finished(folder, seed, recipe)
        if finished is not None:
            return finished
        return _Builder(folder, seed, recipe, report).build()


class _Builder:
    """One build: the common data of its models, and its progress."""

    def __init__(self, folder: Path, seed: int, recipe: Recipe, progress: Progress) -> None:
        self.folder, self.seed, self.recipe, self.progress = folder, seed, recipe, progress
        self.done = 0

    def build(self) -> DemoFamily:
        self._say("writing texts", 0)
        self.corpora = write_corpora(self.seed, self.recipe)
        self.tokenizer = _tokenizer(self.corpora)
        for name in (BASE, *self.recipe.tuned):
            if not _is_model(self.folder / "models" / name):
                self._make(name)
            self.done += self._steps(name)
        self._say("writing files", 0)
        files.write(self.folder, self.corpora)
        claim.write_text(
            self.folder / REPORT,
            json.dumps(_measured(self.folder, self.seed, self.recipe), indent=2) + "\n",
        )
        family = _finished(self.folder, self.seed, self.recipe)
        if family is None:
            raise FamilyError(
                f"{self.folder} changed while the demo family was being built",
                hint="Build it again, and do not change the folder meanwhile.",
            )
        self._say("ready", 0)
        return family

    def _make(self, name: str) -> None:
        """Train one model, measure it, and move its folder into place."""
        from core.demo import checkpoints, training

        recipe, begun = self.recipe, time.monotonic()
        general = training.pack(self.corpora[GENERAL].train, self.tokenizer, prompt_weight=1.0)
        if name == BASE:
            how, corpus, model = recipe.base, general, self._untrained()
        else:
            how = recipe.tuned[name]
            corpus = training.pack(
                self.corpora[name].train, self.tokenizer, prompt_weight=how.prompt_weight
            )
            model = checkpoints.read(self.folder / "models" / BASE)
        training.train(
            model,
            corpus,
            general,
            how,
            batch=recipe.batch,
            window=recipe.window,
            # A different order for each model, else they would share their general windows.
            seed=self.seed * 100 + (BASE, *DOMAINS).index(name),
            after_step=lambda step: self._say(f"training {name}", step),
        )
        seconds = time.monotonic() - begun
        record = {
            "model": name,
            "seed": self.seed,
            "steps": how.steps,
            "seconds": round(seconds, 1),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **self._scores(name, model),
        }
        with claim.folder_in_place(self.folder / "models" / name) as partial:
            checkpoints.write(model, self.tokenizer, partial)
            claim.write_text(partial / RECORD, json.dumps(record, indent=2) + "\n")

    def _untrained(self) -> Any:
        from core.demo import checkpoints, tokeniser

        return checkpoints.new(
            self.recipe.architecture,
            vocabulary=self.tokenizer.get_vocab_size(),
            separator=tokeniser.separator_id(self.tokenizer),
            seed=self.seed,
        )

    def _scores(self, name: str, model: Any) -> dict[str, dict[str, float]]:
        from core.demo import scoring

        losses, accuracies = {}, {}
        for domain, corpus in self.corpora.items():
            self._say(f"measuring {name}", self._steps(name))
            loss = scoring.held_out_loss(model, self.tokenizer, corpus.held_out)
            losses[domain] = round(loss, 4)
            if corpus.items:
                right = scoring.accuracy(model, self.tokenizer, corpus.items)
                accuracies[domain] = round(right, 4)
        return {"held_out_loss": losses, "accuracy": accuracies}

    def _steps(self, name: str) -> int:
        return (self.recipe.base if name == BASE else self.recipe.tuned[name]).steps

    def _say(self, stage: str, step: int) -> None:
        self.progress(stage, self.done + step, self.recipe.steps)


def write_corpora(seed: int, recipe: Recipe) -> dict[str, Corpus]:
    """All texts of a family: general first, then the domains."""
    sizes = {"documents": recipe.documents, "held_out": recipe.held_out}
    return {
        GENERAL: corpora.general_corpus(seed, **sizes),
        **{
            domain: corpora.domain_corpus(domain, seed, items=recipe.items, **sizes)
            for domain in DOMAINS
        },
    }


def _tokenizer(texts: Mapping[str, Corpus]) -> Tokenizer:
    from core.demo import tokeniser

    return tokeniser.make(
        document.text for corpus in texts.values() for document in corpus.train + corpus.held_out
    )


def _finished(folder: Path, seed: int, recipe: Recipe) -> DemoFamily | None:
    """The family, if its report and all reported files exist."""
    models = {name: folder / "models" / name for name in (BASE, *recipe.tuned)}
    try:
        measured = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    texts = ("study.toml", *(f"probe/{name}.jsonl" for name in (GENERAL, *DOMAINS)), "tasks")
    if not all(map(_is_model, models.values())) or not all((folder / t).exists() for t in texts):
        return None
    base = models.pop(BASE)
    return DemoFamily(folder, folder / files.STUDY, base, models, seed, measured)


def _is_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (RECORD, "model.safetensors", "config.json"))


def _measured(folder: Path, seed: int, recipe: Recipe) -> dict[str, Any]:
    """The report: the measurements in each model's folder, and the library versions."""
    models = {}
    for name in (BASE, *recipe.tuned):
        text = (folder / "models" / name / RECORD).read_text(encoding="utf-8")
        models[name] = json.loads(text)
    base = models[BASE]
    learnt = {
        name: {
            measure: {"base": base[measure][name], "tuned": models[name][measure][name]}
            for measure in ("held_out_loss", "accuracy")
        }
        for name in recipe.tuned
    }
    return {
        "format": claim.FORMAT,
        "recipe": recipe.name,
        "version": VERSION,
        "seed": seed,
        "parameters": base["parameters"],
        "seconds": round(sum(model["seconds"] for model in models.values()), 1),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
        },
        "learnt": learnt,
        "models": models,
    }


def _silent(stage: str, done: int, total: int) -> None:
    pass
