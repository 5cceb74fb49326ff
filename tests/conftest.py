"""Limits of time: a test that takes long says why, and one that takes long unsaid is listed."""

from collections import Counter
from collections.abc import Iterator

import pytest

LONG = 20  # seconds from which on a test, with the fixtures that it is the first to use, says why
LIMIT = 2700  # seconds for such a test; the limit of all others is in pyproject.toml
STARTS_VLLM = ("test_architectures.py", "test_conversion.py", "test_engines.py")

took: list[pytest.TestReport] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time, and begin with their files.

    Unit tests come last: no core then waits long for the other at the end. Before them come files
    that start vLLM: what is trained later in the same process may differ in its last bits.
    """
    slow = [item for item in items if (mark := item.get_closest_marker("slow")) and reason(mark)]
    for item in slow:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LIMIT))
    counts = Counter(item.path for item in slow)
    items.sort(
        key=lambda item: (
            "unit" in item.path.parts,
            item.path.name in STARTS_VLLM,
            -counts[item.path],
        )
    )


def reason(mark: pytest.Mark) -> str:
    """Return why a test has to be slow."""
    if len(mark.args) != 1:
        raise pytest.UsageError("the marker `slow` takes one argument: why the test takes long")
    return str(mark.args[0])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what took long without saying why."""
    if report.when != "teardown" and report.duration > LONG and "slow" not in report.keywords:
        took.append(report)


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """List what took long; no failure, since a busy machine is slow."""
    yield
    if took:
        terminalreporter.section(f"above {LONG} s without `slow(reason)`")
        for each in sorted(took, key=lambda each: -each.duration):
            terminalreporter.line(f"{each.duration:6.1f} s {each.when} {each.nodeid}")
