"""pytest's side of the kit: options, and what is printed and written at the end.

It is loaded in every pytest run of the environment, so it imports nothing: neither torch nor the checks.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the value of typing.TYPE_CHECKING, without the cost of importing typing
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Results", "pytest_addoption", "pytest_configure"]

_PROPERTY = "formers_conformance"


def pytest_addoption(parser: Any) -> None:
    """The options of the kit."""
    group = parser.getgroup("formers", "conformance of formers plugins")
    group.addoption(
        "--formers-model",
        dest="formers_model",
        action="append",
        metavar="NAME",
        help="model type to check with --pyargs formers.testing.conformance; may be given again; 'all' for every one",
    )
    group.addoption(
        "--formers-reference",
        dest="formers_reference",
        metavar="PACKAGE",
        help="installed library to compare numbers with, such as transformers",
    )
    group.addoption(
        "--formers-suite", dest="formers_suite", metavar="MAJOR.MINOR", help="version of the set of checks"
    )
    group.addoption(
        "--formers-report", dest="formers_report", metavar="FILE", help="write the results as JSON"
    )


def pytest_configure(config: Any) -> None:
    """Collect what the checks will say; complain at once of a version of the suite that does not exist."""
    config.pluginmanager.register(Results(), "formers-results")
    pinned = config.getoption("formers_suite")
    if pinned:
        import pytest

        from formers.errors import ConfigValidationError

        from .checks import version

        try:
            version(pinned)
        except ConfigValidationError as error:
            raise pytest.UsageError(f"--formers-suite: {error}") from None


class Results:
    """What the checks of one run said."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep what a check said; with several workers this runs in the process that reports."""
        if report.when == "call":
            self._entries.extend(value for name, value in report.user_properties if name == _PROPERTY)

    def pytest_sessionfinish(self, session: Any) -> None:
        """Write ``--formers-report``."""
        file = session.config.getoption("formers_report")
        if file and not hasattr(session.config, "workerinput"):
            from .report import write

            write(file, self._entries)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A table: the tiers of each architecture, and what failed."""
        if self._entries:
            from .report import lines

            terminalreporter.section("formers conformance")
            for line in lines(self._entries):
                terminalreporter.write_line(line)
