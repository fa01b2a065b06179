"""The tokens that the top directions of an update write and read: method, section 8.

Owns the side on which each matrix meets the residual stream, and the rows and tables of its
directions. Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters
from core.errors import InputError
from core.figures import direction_tables as tables
from core.figures.figure import BASE
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Heatmap
from core.figures.kinds.tables import SortedTable
from core.models.folders import is_tokeniser
from core.texts import encoding
from core.weights.reader import SliceReader
from core.weights.totals import slice_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.weights.embeddings import EmbeddingReader
    from core.weights.linalg import Directions
    from core.weights.views import MatrixView, Pending, UpdateView
    from core.weights.vocabulary import Readout, Side, Vocabulary

NAME, VERSION = "directions", 1
SIDE_OF: dict[str, Side] = {
    **dict.fromkeys(("o", "down", "fc_out"), "write"),
    **dict.fromkeys(("q", "k", "v", "gate", "up", "fc_in", "router"), "read"),
}
"""The side on which a module meets the residual stream. A matrix whose side is of another length (a
latent query's) is left out."""

STREAMED = ("embedding", "unembedding")

_Place = tuple[str, str, int | None]
"""A model, a module and an expert; None: the module's matrices together."""


class DirectionsParameters(Parameters):
    """The numbers of directions to read, and of tokens of each."""

    top: int = Field(default=5, ge=1, le=20, description="Top directions of each matrix.")
    tokens: int = Field(default=10, ge=1, le=100, description="Tokens at each end of a direction.")
    random: int = Field(default=100, ge=2, description="Random directions, for chance.")
    experts: int = Field(
        default=4, ge=0, description="Number of experts to read of a layer, from the first."
    )
    moved: int = Field(
        default=30, ge=1, description="Number of listed tokens whose embeddings moved most."
    )


def plan(subject: Subject, parameters: DirectionsParameters) -> list[Unit]:
    """A unit for each model and layer, the base included; and one for the embeddings
    of each tuned model."""
    from core.weights.stream import choose_device
    from core.weights.vocabulary import Vocabulary

    family, first = subject.family, next(iter(subject.family.tuned), "")
    tokenizer = _tokenizer(subject)
    written = "" if tokenizer is None else encoding.fingerprint(tokenizer)
    device = choose_device(subject.study.run.device)
    options = {"vocabulary": Vocabulary(family, tokenizer, device)}
    return [
        Unit(
            key=family.key(
                NAME, VERSION, parameters, [m for m in (model,) if m != BASE], layer, tokens=written
            ),
            analysis=NAME, label=f"directions of {model}, {slice_name(layer)}", model=model,
            layer=layer, options=options, reads=(first,) if model == BASE else (),
        )
        for model in ((BASE, *family.tuned) if first else ())
        for layer in family.layers
        if (layer, model) != (None, BASE)
    ]  # fmt: skip


def further(units: Sequence[Unit], subject: Subject) -> dict[str, int]:
    """The bytes of embeddings and heads that these units read beside the pass."""
    vocabulary: Vocabulary = units[0].options["vocabulary"]
    names = {BASE, *(unit.model for unit in units if unit.layer is None)}
    return {name: vocabulary.bytes_read(subject.models[name]) for name in names}


def _tokenizer(subject: Subject) -> Any:
    """The study's tokeniser; None if there is none, so that tokens are shown by number. Without
    files, transformers would make an empty one for some types of models."""
    folder = subject.family.base.folder
    named = subject.study.models.tokenizer or folder.is_file()
    if not named and not any(map(is_tokeniser, folder.glob("*"))):
        return None
    try:
        return subject.tokenizer()
    except InputError:
        return None


def compute(units: Sequence[Unit], parameters: DirectionsParameters) -> _Reader | EmbeddingReader:
    """The reader that makes these units of one slice."""
    if units[0].layer is not None:
        return _Reader(units, parameters)
    from core.weights.embeddings import EmbeddingReader

    return EmbeddingReader(units, parameters.moved)


class _Reader(SliceReader):
    """Gathers the directions of one layer, and reads all of them out in one pass over the
    vocabulary."""

    name = NAME

    def __init__(self, units: Sequence[Unit], parameters: DirectionsParameters) -> None:
        self.units, self.parameters = units, parameters
        self.vocabulary: Vocabulary = units[0].options["vocabulary"]
        models = [unit.model for unit in units if unit.model != BASE]
        self.has_base = len(models) < len(units)
        self.updates_of = tuple(models) or units[0].reads  # the base's own need one visit
        self._found: dict[_Place, list[tuple[NDArray[Any], NDArray[Any]]]] = {}

    def wants_updates(self, module: str) -> bool:
        return module in SIDE_OF

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        """The directions [r, d] of the update and, at the first model, of W; and their shares [r]
        of the energy."""
        sent: dict[str, Callable[[], dict[str, NDArray[Any]]]] = {}
        changed = update.changed
        if self._reads(matrix.piece):
            top, side = self.parameters.top, SIDE_OF[matrix.piece.module]
            if not update.is_zero:
                sent["update"] = _stored("update", update.directions(top), side, update.delta)
            if self.has_base and update.model == self.updates_of[0]:
                sent[BASE] = _stored(BASE, matrix.directions(top), side, matrix.matrix)

        def part() -> UnitPart:
            arrays: dict[str, NDArray[Any]] = {}
            for name, stored in sent.items():
                if name == BASE or changed:
                    arrays |= stored()
            return UnitPart(arrays=arrays)

        return part

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        if not self._reads(piece):
            return
        for whose, name in ((model, "update"), (BASE, BASE)):
            for expert in {None, piece.expert}:
                directions = self._found.setdefault((whose, piece.module, expert), [])
                if name in part.arrays:
                    directions.append((part.arrays[name], part.arrays[f"{name}.share"]))

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        layer = self.units[0].layer
        read, random = self._read_out()
        for unit in self.units:
            readouts = {place: readout for place, readout in read.items() if place[0] == unit.model}
            rows = [
                _row(place, readout, random[SIDE_OF[place[1]]], layer)
                for place, readout in readouts.items()
            ]
            stacked = {module for _, module, expert in readouts if expert is not None}
            listed = {
                module if expert is None else f"{module}.{expert}": readout
                for (_, module, expert), readout in readouts.items()
                if readout is not None and (expert is not None or module not in stacked)
            }
            if unit.model == BASE:
                drawn = {side: readout[: self.parameters.top] for side, readout in random.items()}
                listed |= {
                    f"random {side}": (np.zeros(len(readout.kurtosis)), readout)
                    for side, readout in drawn.items()
                }
            arrays = self._arrays(listed)
            artifact = Artifact(name=NAME, arrays=arrays, model=unit.model, layer=layer)
            yield unit, UnitResult(rows, [artifact] if arrays else [])

    def _reads(self, piece: Piece) -> bool:
        side = SIDE_OF.get(piece.module)
        if side is None or not piece.is_matrix:
            return False
        length = piece.shape[0 if side == "write" else 1]
        few = piece.expert is None or piece.expert < self.parameters.experts
        return few and length == self.vocabulary.width(side)

    def _read_out(
        self,
    ) -> tuple[dict[_Place, tuple[NDArray[Any], Readout] | None], dict[Side, Readout]]:
        """The shares and readouts of each place, None where nothing changed; and the readouts of
        random directions of each side, the same in every layer."""
        import torch

        readouts: dict[_Place, tuple[NDArray[Any], Readout] | None] = {}
        random: dict[Side, Readout] = {}
        sides: tuple[Side, Side] = ("write", "read")
        wanted, width = self.parameters, self.vocabulary.width
        for side in sides:
            places = {p: pairs for p, pairs in self._found.items() if SIDE_OF[p[1]] == side}
            if not places:
                continue
            groups = []
            for pairs in places.values():
                directions = [each for each, _ in pairs] or [np.zeros((0, width(side)))]
                groups.append(torch.from_numpy(np.concatenate(directions)))
            random[side] = self.vocabulary.random(side, wanted.random, wanted.tokens)
            read = self.vocabulary.read_out(side, groups, wanted.tokens)
            for (place, pairs), readout in zip(places.items(), read, strict=True):
                shares = [share for _, share in pairs]
                readouts[place] = (
                    (np.concatenate(shares), readout) if len(readout.kurtosis) else None
                )
        return readouts, random

    def _arrays(self, readouts: dict[str, tuple[NDArray[Any], Readout]]) -> dict[str, NDArray[Any]]:
        """The artifact of one model: tokens are places in its `vocabulary` of texts."""
        if not readouts:
            return {}
        ids = np.unique(np.concatenate([read.tokens.ravel() for _, read in readouts.values()]))
        arrays: dict[str, NDArray[Any]] = {
            "vocabulary": np.array(self.vocabulary.texts(ids.tolist()), dtype=np.str_)
        }
        for name, (share, read) in readouts.items():
            arrays |= {
                f"{name}.share": share.astype(np.float32),
                f"{name}.kurtosis": read.kurtosis.astype(np.float32),
                f"{name}.tokens": np.searchsorted(ids, read.tokens).astype(np.int32),
                f"{name}.products": read.products,
            }
        return arrays


def _stored(
    name: str, top: Directions, side: Side, matrix: Any
) -> Callable[[], dict[str, NDArray[Any]]]:
    """The real directions [r, d] of one side, and their shares of ‖matrix‖²."""
    from core.models.transfers import down

    left, chosen = top.left[0], (top.left if side == "write" else top.right)[0]
    if matrix.device.type == "cpu":
        left, chosen = left[:, top.real[0]], chosen[:, top.real[0]]
    shares = (matrix.mT.to(left) @ left).square().sum(0) / matrix.to(left).square().sum()
    rows, shares, real = (down(each) for each in (chosen.mT.float(), shares.float(), top.real[0]))
    if len(rows) < len(real):
        return lambda: {name: rows.numpy(), f"{name}.share": shares.numpy()}
    return lambda: {name: rows[real].numpy(), f"{name}.share": shares[real].numpy()}


def _row(
    place: _Place,
    readout: tuple[NDArray[Any], Readout] | None,
    random: Readout,
    layer: int | None,
) -> Measurement:
    """The mean kurtosis of some directions, beside that of as many random ones."""
    model, module, expert = place
    value = None if readout is None else _mean(readout[1].kurtosis)
    known: dict[str, Any] = {}
    if readout is not None and value is not None:
        n = len(readout[1].kurtosis)
        spread = float(np.std(random.kurtosis, ddof=1)) / n**0.5
        known = {"n": n, "chance": _mean(random.kurtosis), "chance_sd": spread}
    return Measurement(
        metric="concentration", value=value, model=model, layer=layer, module=module,
        expert=expert, **known,
    )  # fmt: skip


def _mean(values: NDArray[np.float64]) -> float | None:
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None


def _is_tuned(model: str) -> bool:
    return model != BASE


ANALYSIS = Analysis(
    name=NAME,
    title="Directions",
    short="Drc",
    topic="directions",
    version=VERSION,
    needs="weights",
    parameters=DirectionsParameters,
    plan=plan,
    compute=compute,
    further=further,
    metrics=(
        MetricSpec(
            name="concentration",
            title="concentration on tokens",
            description="Kurtosis of the products of all tokens with a top direction of Δ, "
            "averaged over directions. 3: spread over all tokens like noise; large: concentrated "
            "on few tokens. For the base: the top directions of W. Chance: random directions.",
            has_chance=True,
            empty="nothing changed here",
        ),
        MetricSpec(
            name="embedding_move",
            title="relative move of an embedding",
            description="Mean over tokens of ‖Δe‖/‖e‖, e a token's row of the embedding or of "
            "the output head.",
            empty="the rows are zero in the base",
        ),
    ),
    views=(
        Heatmap(
            key="heat",
            title="Concentration on tokens by layer and module",
            short="Concentration",
            caption="Large: the update's top directions concentrate on few tokens; 3: they spread "
            "over all tokens like noise.",
            measures=("concentration",),
            selectors=("model",),
            only={"model": _is_tuned},
            drill="tokens",
            finding=tables.of_concentration,
        ),
        Curves(
            key="depth",
            title="Concentration by depth",
            short="By depth",
            caption="One module: one line for the Δ of each model, and one for the top directions "
            "of the base's W.",
            measures=("concentration",),
            selectors=("module",),
            only={"module": SIDE_OF.__contains__},
            drill="tokens",
            finding=tables.of_depth,
        ),
        SortedTable(
            key="tokens",
            title="Tokens that one matrix writes or reads",
            short="Tokens",
            caption="The top directions of Δ in tokens, both ends, beside W's own and random ones.",
            measures=("concentration",),
            selectors=("model", "layer", "module"),
            opens={"layer": 0},
            only={"model": _is_tuned, "module": SIDE_OF.__contains__},
            tabulate=tables.tokens,
            drill="direction_places:text",
            finding=tables.of_tokens,
        ),
        SortedTable(
            key="embeddings",
            title="Tokens that moved most",
            short="Moved tokens",
            caption="The tokens whose embeddings changed most relative to their length, with their "
            "nearest neighbours before and after.",
            measures=("embedding_move",),
            selectors=("model", "module"),
            only={"module": STREAMED.__contains__},
            tabulate=tables.moved,
            finding=tables.of_moved,
        ),
    ),
)  # fmt: skip
