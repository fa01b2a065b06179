"""Columns of the bench: every name parses to its column and back; faults are named."""

import pytest

from core.bench.columns import Plain, is_base, parse, vectors
from core.errors import StudyError

TUNED = ("medical", "maths")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("base", "base"),
        (" medical ", "medical"),
        ("maths=0.40,medical=.7", "medical=0.7,maths=0.4"),
        ("ties:medical=1,maths=1", "ties(density=0.2):medical=1,maths=1"),
        ("transfer:maths+medical=1", "transfer:maths+medical=1"),
        ("medical=1 @ 3,0-2,mlp", "medical=1 @ mlp,0-3"),
        ("medical=1@mlp", "medical=1 @ mlp"),
        ("ablate(medical): top-1%", "ablate(medical):top-1%"),
        ("ablate(medical,by=medical):all-active", "ablate(medical):all-active"),
        ("ablate( base , by = maths ):layers=5,3-4", "ablate(base,by=maths):layers=3-5"),
        ("ablate(medical):neurons=4.17, 3.120", "ablate(medical):neurons=3.120,4.17"),
        ("ablate(medical):heads=3.5", "ablate(medical):heads=3.5"),
        ("graft(medical):", "graft(medical):"),
        ("graft(medical,rank=8):0,attention", "graft(medical,rank=8):attention,0"),
        ("steer(medical,layer=3):-1.50", "steer(medical,layer=3):-1.5"),
        ("steer(medical, module=down, layer=3):.5", "steer(medical,layer=3,module=down):0.5"),
        ("steer(maths,layer=0,module=q,direction=1):2", "steer(maths,layer=0,module=q):2"),
        (
            "steer(maths,layer=0,module=q,direction=3):2",
            "steer(maths,layer=0,module=q,direction=3):2",
        ),
        ("amplify(medical):1e-05", "amplify(medical):1e-5"),
    ],
)
def test_a_name_parses_to_its_column_and_back(text: str, plain: str) -> None:
    column = parse(text, TUNED)
    assert column.text == plain
    assert parse(plain, TUNED) == column


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("medcial", "'medcial' is not a model or a mix"),
        ("law=1", "'law' is not a tuned model"),
        ("medical=1 @", "names no layers or groups"),
        ("medical=1 @ mpl", "'mpl' is not a group or a layer"),
        ("ablate(law):top-1%", "'law' is not a model"),
        ("ablate(medical,of=maths):top-1%", "'of=maths' is not an option of ablate"),
        ("ablate(medical):top", "'top' is not a selection"),
        ("ablate(medical):layers=mlp", "names no layers"),
        ("ablate(medical):neurons=3", "'3' is not written as layer.number"),
        ("ablate(medical):words=3.1", "'words' can't be ablated"),
        ("graft(base):mlp", "'base' is not a model"),
        ("graft(medical,rank=0):mlp", "rank must be a whole number of at least 1"),
        ("steer(medical):1", "names no layer"),
        ("steer(medical,layer=1,layer=2):1", "'layer=2' is not an option"),
        ("steer(medical,layer=1):much", "'much' is not a number"),
        ("steer(medical,layer=1,module=norm):1", "'norm' has no directions"),
        ("steer(medical,layer=1,direction=2):1", "names a direction and no module"),
        ("steer(medical,layer=1,module=o,direction=0):1", "direction must be a whole number of at least 1"),
        ("amplify(medical):nan", "nan is not finite"),
    ],
)
def test_a_fault_in_a_name_is_named(text: str, named: str) -> None:
    with pytest.raises(StudyError) as error:
        parse(text, TUNED)
    assert named in error.value.title


def test_a_checkpoint_in_a_mix_has_an_at_in_its_name() -> None:
    tuned = ("sft@500", "sft@1000")
    for name in ("sft@500", "sft@500=0.5,sft@1000=1", "sft@500=0.5 @ mlp,0"):
        assert parse(name, tuned).text == name


def test_a_column_names_its_vectors_and_whether_it_is_the_base() -> None:
    assert vectors(parse("medical=1,maths=1", TUNED)) == TUNED
    assert vectors(parse("steer(maths,layer=0):1", TUNED)) == ("maths",)
    assert vectors(Plain("base")) == ()
    assert is_base(parse("medical=0", TUNED))
    assert not is_base(parse("maths", TUNED))
