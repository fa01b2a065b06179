"""Points as text and back, grids, and restrictions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudyError
from core.models.pieces import Piece
from core.vectors.arithmetic import (
    BASE,
    EVERYTHING,
    ArithmeticPoint,
    grid,
    lines,
    make,
    parse,
    restrict,
    shortest,
)

KNOWN = ("medical", "maths", "code", "a.b-c_1")

_values = st.floats(allow_nan=False, allow_infinity=False)
_densities = st.floats(0, 1, exclude_min=True)


@st.composite
def _points(draw: st.DrawFn) -> ArithmeticPoint:
    method: Any = draw(
        st.sampled_from(
            [
                "plain",
                "removal",
                "transfer",
                "ties",
                "dare",
                "dare_ties",
                "della",
                "della_linear",
                "breadcrumbs",
                "sce",
                "iso_c",
                "tsv_m",
            ]
        )
    )
    most = 1 if method == "removal" else len(KNOWN)
    least = 1 if method == "removal" else 0
    named = draw(st.lists(st.sampled_from(KNOWN), unique=True, min_size=least, max_size=most))
    density = draw(_densities)
    return make(
        {name: draw(_values) for name in named}, KNOWN, method,
        start=draw(st.sampled_from(KNOWN)) if method == "transfer" else None,
        density=density, seed=draw(st.integers(0, 2**53 - 1)),
        epsilon=draw(st.floats(0, 0.4)) * min(density, 1 - density),
        gamma=draw(st.floats(0, 0.99)) * (1 - density),
    )  # fmt: skip


@given(_points())
def test_a_setting_is_read_as_the_same_point(point: ArithmeticPoint) -> None:
    assert parse(point.setting, KNOWN) == point
    assert parse(f" {point.setting.replace(',', ' , ').replace('=', ' = ')} ", KNOWN) == point


@given(_values)
def test_numbers_are_short_and_exact(value: float) -> None:
    text = shortest(value)
    assert float(text) == value
    assert len(text) <= len(repr(value))
    assert "+" not in text


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("maths=1.0, medical=0.50", "medical=0.5,maths=1"),
        ("medical=0,maths=1e0", "maths=1"),
        ("medical=-0.0", "base"), ("base", "base"),
        ("medical=-1", "medical=-1"),
        ("removal:medical=1", "removal:medical=1"), ("removal:medical=0", "medical=1"),
        ("transfer:maths+medical=1", "transfer:maths+medical=1"),
        ("transfer:maths+medical=0", "maths=1"),
        ("ties(density=0.2):maths=1,medical=1", "ties(density=0.2):medical=1,maths=1"),
        ("ties:medical=1", "ties(density=0.2):medical=1"),
        ("dare(seed=3):medical=1", "dare(density=0.2,seed=3):medical=1"),
        ("dare_ties(density=1):medical=1", "dare_ties(density=1,seed=0):medical=1"),
        ("ties:medical=0", "base"),
        ("della:maths=1", "della(density=0.2,epsilon=0.15,seed=0):maths=1"),
        ("breadcrumbs:maths=1", "breadcrumbs(density=0.2,gamma=0.01):maths=1"),
        ("sce(density=1):maths=1,medical=1", "sce(density=1):medical=1,maths=1"),
        ("iso_c: maths=1, medical=2", "iso_c:medical=2,maths=1"),
        ("tsv_m:maths=1", "tsv_m:maths=1"),
        ("medical=0.00001", "medical=1e-5"), ("medical=1e22", "medical=1e22"),
    ],
)  # fmt: skip
def test_canonical_forms(text: str, setting: str) -> None:
    assert parse(text, KNOWN).setting == setting


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("medicl=1", "'medicl' is not a tuned model"), ("medical=x", "'x' is not a number"),
        ("medical=", "'' is not a number"), ("medical=nan", "must be finite"),
        ("medical=inf", "must be finite"), ("medical=1,medical=2", "names 'medical' twice"),
        ("", "not a point"), ("  ", "not a point"), ("medical", "not written as name=number"),
        ("tie:medical=1", "no method 'tie'"), ("ties(", "not a point"),
        ("ties(densty=1):medical=1", "no option 'densty'"),
        ("ties(density=0):medical=1", "above 0"), ("ties(density=nan):medical=1", "above 0"),
        ("ties(density=1.5):medical=1", "at most 1"), ("ties(seed=1):medical=1", "no option"),
        ("dare(seed=0.5):medical=1", "whole number"), ("dare(seed=-1):medical=1", "whole number"),
        ("removal:medical=1,maths=1", "takes one vector"),
        ("transfer:medical=1", "its starting model"), ("transfer:mats+medical=1", "'mats'"),
        ("medical=1:maths=2", "no method"), ("base=1", "'base' is not a tuned model"),
        ("removal(density=1):medical=1", "no option"), ("iso_c(seed=1):medical=1", "no option"),
        ("della(density=0.1):medical=1", "does not fit"),
        ("della(density=0.9):medical=1", "does not fit"),
        ("della(epsilon=nan):medical=1", "does not fit"),
        ("breadcrumbs(density=1):medical=1", "does not fit"),
        ("breadcrumbs(gamma=-1):medical=1", "does not fit"),
    ],
)  # fmt: skip
def test_what_is_no_point_is_said(text: str, words: str) -> None:
    with pytest.raises(StudyError) as error:
        parse(text, KNOWN)
    assert words in error.value.title


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(StudyError) as error:
        parse("medicl=1", KNOWN)
    assert "'medical'" in error.value.hint


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("medical=0.5,maths=-1", {"medical": 0.5, "maths": -1}),
        ("removal:medical=1", {}), ("removal:medical=0.25", {"medical": 0.75}),
        ("transfer:maths+medical=2", {"maths": 1, "medical": 2}),
        ("transfer:maths+maths=-1", {}), ("base", {}),
    ],
)  # fmt: skip
def test_every_point_is_a_sum_over_the_base(text: str, terms: dict[str, float]) -> None:
    assert dict(parse(text, KNOWN).terms) == terms


def test_a_point_names_the_models_it_needs() -> None:
    assert parse("removal:medical=1", KNOWN).vectors == ("medical",)
    assert parse("transfer:maths+medical=1", KNOWN).vectors == ("maths", "medical")
    assert parse("transfer:maths+medical=1", KNOWN).start == "maths"
    assert BASE.vectors == ()


def test_lines_and_a_full_grid() -> None:
    settings = [p.setting for p in grid(["medical", "maths"], [0, 0.5, 1], known=KNOWN)]
    assert settings == [
        "base", "medical=0.5", "medical=1", "maths=0.5", "maths=1", "medical=0.5,maths=0.5",
        "medical=0.5,maths=1", "medical=1,maths=0.5", "medical=1,maths=1",
    ]  # fmt: skip
    assert [p.setting for p in lines(KNOWN[:3], [1, 1.0], KNOWN)] == [
        "medical=1", "maths=1", "code=1"
    ]  # fmt: skip


def test_a_grid_takes_negations_removals_and_named_points_once() -> None:
    points = grid(
        ["medical"], [0.0, 1.0], ["code=1,medical=1", "medical=1.0", "removal:medical=1"],
        known=KNOWN, negation=[1], removal=[0.5, 1],
    )  # fmt: skip
    assert [p.setting for p in points] == [
        "base", "medical=1", "medical=-1", "removal:medical=0.5", "removal:medical=1",
        "medical=1,code=1",
    ]  # fmt: skip


def test_a_grid_of_three_is_refused_with_a_way_out() -> None:
    with pytest.raises(StudyError) as error:
        grid(KNOWN[:3], [0, 1], known=KNOWN)
    assert 'points = ["medical=0.5,maths=0.5,code=0.5"]' in error.value.hint
    with pytest.raises(StudyError, match="'math'"):
        grid(["math"], [0, 1], known=KNOWN)


@given(st.lists(st.sampled_from(KNOWN), unique=True, max_size=2), st.lists(_values, max_size=4))
def test_no_grid_holds_a_point_twice(vectors: list[str], coefficients: list[float]) -> None:
    points = grid(vectors, coefficients, known=KNOWN, removal=[1])
    assert len({p.setting for p in points}) == len(points)
    assert all(math.isfinite(value) for p in points for _, value in p.terms)


def _piece(module: str, layer: int | None) -> Piece:
    return Piece(tensor=f"{layer}.{module}", module=module, layer=layer, expert=None, shape=(2, 2),
                 rows=((0, 2),))  # fmt: skip


PIECES = [
    _piece(module, layer)
    for layer in (*range(4), None)
    for module in ("q", "gate", "router", "norm", "embedding")
]


@pytest.mark.parametrize(
    ("text", "canonical", "admits"),
    [
        ("", "", lambda m, i: True),
        ("attention", "attention", lambda m, i: m == "q"),
        ("mlp", "mlp", lambda m, i: m in ("gate", "router")),
        ("mlp, attention", "attention,mlp", lambda m, i: m in ("q", "gate", "router")),
        ("0-1,3", "0-1,3", lambda m, i: i in (0, 1, 3)),
        ("2,1,1-1", "1-2", lambda m, i: i in (1, 2)),
        ("3,attention", "attention,3", lambda m, i: m == "q" and i == 3),
    ],
)  # fmt: skip
def test_restrictions(text: str, canonical: str, admits: Any) -> None:
    restriction = restrict(text)
    assert restriction.text == canonical
    assert restrict(restriction.text) == restriction
    assert restriction.tensors(PIECES) == {p.tensor for p in PIECES if admits(p.module, p.layer)}
    assert (restriction == EVERYTHING) == (not text)


@pytest.mark.parametrize("text", ["atention", "3-1", "-1", "1.5", "0--3", "99999999999"])
def test_what_restricts_nothing_is_said(text: str) -> None:
    with pytest.raises(StudyError, match="not a group or a layer"):
        restrict(text)


def test_layers_that_the_model_lacks_are_said() -> None:
    with pytest.raises(StudyError, match="names layer 4") as error:
        restrict("0-4").tensors(PIECES)
    assert "0 to 3" in error.value.hint
