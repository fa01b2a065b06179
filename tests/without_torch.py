"""The tests that need no model library, under an interpreter that has none: a plugin of pytest.

`make second-python` loads it. A module that imports such a library is skipped, and so is a test
that comes to want one while it runs.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

ABSENT = frozenset(
    {"torch", "transformers", "safetensors", "tokenizers", "datasets", "lm_eval", "peft", "gguf"}
)
_REASON = "it wants a model library"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.failed and any(f"No module named '{n}" in str(report.longrepr) for n in ABSENT):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, _REASON)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    while error is not None and not _is_of_absent(error):
        error = error.__cause__ or error.__context__
    if error is not None:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, _REASON)
    return report


def _is_of_absent(error: BaseException) -> bool:
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return (name or "").partition(".")[0] in ABSENT
