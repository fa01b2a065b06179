"""The choice among cards, and the words when torch can't use them: on cards that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import StudyError
from core.models import cards
from core.models.placement import one_device
from core.study.study import Run
from core.weights.stream import choose_device

GB = 1 << 30


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has more free memory."""
    free = {0: 10 * GB, 1: 60 * GB}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (free[card], 80 * GB))


@pytest.mark.usefixtures("two_cards")
def test_a_model_goes_to_the_card_with_most_free_memory() -> None:
    assert one_device(Run(), 15 * GB) == "cuda:1"
    assert one_device(Run(), 50 * GB) is None  # no room for its activations: spread
    assert one_device(Run(device="cuda:0"), 50 * GB) == "cuda:0"
    assert one_device(Run(max_memory={"0": "9GiB"}), GB) is None
    assert choose_device("auto") == torch.device("cuda:1")


@pytest.mark.usefixtures("two_cards")
def test_a_card_that_others_fill_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for its memory makes a context there, for which a full card has no room."""

    def asked(card: int) -> tuple[int, int]:
        if card:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return 10 * GB, 80 * GB

    monkeypatch.setattr(torch.cuda, "mem_get_info", asked)
    assert one_device(Run(), GB) == "cuda:0"
    assert choose_device("auto") == torch.device("cuda:0")


def test_a_single_card_or_none_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert one_device(Run(), GB) is None
    assert choose_device("auto") == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "has no free memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "has no free memory"),
        (torch.AcceleratorError("CUDA error: invalid device ordinal"), "does not exist"),
        (
            torch.AcceleratorError("CUDA error: no kernel image is available"),
            "is too old for torch",
        ),
    ],
)
def test_a_full_card_and_an_old_one_are_told_from_an_absent_one(
    error: RuntimeError, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ones(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(StudyError, match=f"'cuda:1' {fault}"):
        cards.wanted("cuda:1")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a driver with one card, which torch does not see."""
    (tmp_path / "0000:01:00.0").mkdir()
    monkeypatch.setattr(cards, "_DRIVER", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_cards_that_torch_cannot_use_are_told(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in cards.unused()

    def old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", old)
    assert "too old" in cards.unused()


def test_nothing_is_told_where_no_card_is_to_be_used(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert cards.unused() == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(cards, "_DRIVER", driver / "absent")
    assert cards.unused() == ""
    monkeypatch.setattr(cards, "_DRIVER", driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cards.unused() == ""


@pytest.mark.parametrize(
    ("version", "early"), [(None, False), ("11.8", True), ("12.1", True), ("12.2", False)]
)
def test_an_early_cuda_is_told(version: Any, early: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", version)
    assert bool(cards.outdated()) is early


def test_products_of_float32_are_exact_inside_only() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with cards.exact():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_precision_of_one_library_is_restored() -> None:
    """torch refuses to read the older setting after the newer one."""
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with cards.exact():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_speeds_are_compared_by_the_name_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    assert cards.kind(torch.device("cuda:1")) == "card 1"
    assert cards.kind(torch.device("cpu")) == "cpu"
