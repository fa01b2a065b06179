"""The line that says what of a run is to be seen: what it means, and what is said of nonsense."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudyError
from core.figures.filters import (
    ALL,
    LAST,
    Filter,
    completed,
    ended,
    of_terms,
    offered,
    read,
)

NAMES = {
    "model": ("base", "medical", "medical-2", "Maths", "small"),
    "layer": tuple(range(80)),
    "module": ("q", "k", "o", "gate", "down", "attention", "mlp", "all"),
}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", ALL),
        ("  ", ALL),
        ("model: layer:", ALL),
        ("model:medical", Filter(model=("medical",))),
        ("model:medical,maths", Filter(model=("medical", "Maths"))),
        ("model:maths model:base", Filter(model=("base", "Maths"))),
        ("model:med", Filter(model=("medical", "medical-2"))),
        ("layer:10-20", Filter(layer=((10, 20),))),
        ("layer:3,70-", Filter(layer=((3, 3), (70, LAST)))),
        ("layer:-5", Filter(layer=((0, 5),))),
        ("layer:70-200", Filter(layer=((70, 200),))),
        ("module:k,q", Filter(module=("q", "k"))),
        ("module:o", Filter(module=("o",))),
        ("medical", Filter(model=("medical",))),
        ("base,maths,q", Filter(model=("base", "Maths"), module=("q",))),
        ("MATHS", Filter(model=("Maths",))),
        ("all", Filter(module=("all",))),
        ("al", Filter(model=("medical", "medical-2", "small"))),
        ("gat", Filter(module=("gate",))),
        (
            "med layer:1-2 module:q,k",
            Filter(model=("medical", "medical-2"), layer=((1, 2),), module=("q", "k")),
        ),
    ],
)
def test_a_line_means_what_it_says(line: str, wanted: Filter) -> None:
    assert read(line, NAMES) == wanted


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model:medcal", "No model is called 'medcal'. Did you mean 'medical'?"),
        ("medcal", "No model and no module is called 'medcal'. Did you mean 'medical'?"),
        ("layers:1", "'layers:' is not a filter. Did you mean 'layer'?"),
        ("module:medical", "No module is called 'medical'."),
        ("layer:x", "'x' is no layer. Write a number, or a range like 10-20."),
        ("layer:-", "'-' is no layer. Write a number, or a range like 10-20."),
        ("layer:1-2-3", "'1-2-3' is no layer."),
        ("layer:٣", "'٣' is no layer."),
        ("layer:20-10", "'20-10' runs backwards. Did you mean 10-20?"),
        ("layer:80-90", "There is no layer '80-90'. There are layers 0 to 79."),
        (":x", "':' is not a filter."),
    ],
)
def test_nonsense_is_said_to_be_so(line: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        read(line, NAMES)
    assert f"{caught.value.title} {caught.value.hint}".startswith(message)


def test_what_is_not_measured_yet_may_be_asked_for() -> None:
    """Layers come in while a run is under way; a range of them is no nonsense before."""
    assert read("layer:10-20", {"model": ("a",)}) == Filter(layer=((10, 20),))
    with pytest.raises(StudyError, match="There are no modules"):
        read("module:q", {"model": ("a",)})


filters = st.builds(
    Filter,
    model=st.sets(st.sampled_from(NAMES["model"])).map(
        lambda values: tuple(m for m in NAMES["model"] if m in values)
    ),
    layer=st.lists(
        st.tuples(st.integers(0, 79), st.integers(0, 90) | st.just(LAST)).filter(
            lambda span: span[0] <= span[1]
        ),
        unique=True,
        max_size=3,
    ).map(tuple),
    module=st.sets(st.sampled_from(NAMES["module"])).map(
        lambda values: tuple(m for m in NAMES["module"] if m in values)
    ),
)


@given(filters)
def test_a_filter_is_read_from_its_own_words(one: Filter) -> None:
    assert read(str(one), NAMES) == one
    assert bool(one) == bool(str(one))


@given(filters)
def test_hidden_and_seen_make_up_all(one: Filter) -> None:
    hidden = one.hidden(NAMES)
    for field in ("model", "layer", "module"):
        seen = [value for value in NAMES[field] if one.takes(field, value)]
        assert len(seen) + hidden.get(field, 0) == len(NAMES[field])
        assert one.takes(field, None)
        assert one.takes(field, "")


@given(st.text(max_size=20))
def test_any_line_is_a_filter_or_an_error_in_words(line: str) -> None:
    for each in (line, f"layer:{line}", f"module:{line}"):
        with suppress(StudyError):
            parsed = read(each, NAMES)
            assert read(str(parsed), NAMES) == parsed
        offered(each, NAMES)
        completed(each, NAMES)


def test_terms_of_options_are_the_same_language() -> None:
    terms: list[tuple[str, str]] = [
        ("model", "medical, maths"), ("layer", "10-20"), ("module", ""),
    ]  # fmt: skip
    assert of_terms(terms, NAMES) == read("model:medical,maths layer:10-20", NAMES)


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("", None),
        ("mo", "model:"),
        ("model:ma", "model:Maths"),
        ("model:base,s", "model:base,small"),
        ("model:base,b", None),
        ("module:q layer:1", None),
        ("ga", "gate"),
        ("medical,ga", "medical,gate"),
        ("model:x", None),
        ("model:", None),
    ],
)
def test_the_last_word_is_completed(line: str, whole: str | None) -> None:
    assert completed(line, NAMES) == whole


def test_what_may_follow_is_offered() -> None:
    assert offered("model:", NAMES) == NAMES["model"]
    assert offered("model:medical,m", NAMES) == ("medical-2", "Maths")
    assert offered("mod", NAMES) == ("model:", "module:")
    assert offered("layer:", NAMES) == ()


def test_a_field_that_is_being_written_is_no_name() -> None:
    assert ended("layer:1 mo") == "layer:1 "
    assert ended("layer:1 model:m") == "layer:1 model:m"
    assert ended("medical") == "medical"
    assert ended("") == ""
