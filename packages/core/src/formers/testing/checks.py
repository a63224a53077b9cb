"""What a check is, how it is declared, and what comes of it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from formers.errors import ConfigValidationError, shorten

if TYPE_CHECKING:
    from .subject import Subject

__all__ = [
    "SUITE_VERSION",
    "Cases",
    "Check",
    "NotApplicable",
    "Result",
    "check",
    "declared",
    "require",
    "version",
]

SUITE_VERSION = (1, 0)
"""Version of the set of checks. A check that is added comes with a new minor version, and only warns in it."""

Function = Callable[["Subject", "Cases"], None]


class NotApplicable(Exception):  # noqa: N818 - no error: a reason to leave a check or a case out
    """A check, or a case of one, has nothing to look at here; the text says why."""


def require(condition: object, message: str) -> None:
    """Fail the running case with a message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


@dataclass(frozen=True, slots=True)
class Check:
    """One law, or a part of one, as a test of any architecture.

    Attributes:
        id: stable name ``tier.what``, by which it can be expected to fail.
        function: called with the subject and a collector of cases.
        needs: capabilities that the manifest must declare; without them the check is skipped.
        law: number of the law in the documentation; None if it belongs to none.
        since: version of the suite that brought it. In that minor version it only warns, but for the first.
    """

    id: str
    function: Function
    needs: frozenset[str] = frozenset()
    law: int | None = None
    since: tuple[int, int] = (1, 0)

    @property
    def tier(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    @property
    def doc(self) -> str:
        """What it checks, in one line."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def only_warns(self, suite: tuple[int, int]) -> bool:
        """Whether a failure is not yet one in a version of the suite."""
        return self.since == suite != (1, 0)


_declared: dict[str, Check] = {}


def check(
    identity: str, *, needs: tuple[str, ...] = (), law: int | None = None, since: str = "1.0"
) -> Callable[[Function], Function]:
    """Declare a function to be the check of that id.

    Raises:
        ValueError: the id is taken, or has no tier.
    """

    def declare(function: Function) -> Function:
        tier, dot, what = identity.partition(".")
        if identity in _declared or not (tier and dot and what.isidentifier()):
            raise ValueError(f"{identity!r} is taken, or is not of the form 'tier.what'.")
        _declared[identity] = Check(identity, function, frozenset(needs), law, version(since))
        return function

    return declare


def declared() -> dict[str, Check]:
    """The checks of the tiers imported so far, by id."""
    return dict(_declared)


def version(text: str) -> tuple[int, int]:
    """``"1.2"`` as two numbers.

    Raises:
        ConfigValidationError: it has another form, or is newer than this suite.
    """
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ConfigValidationError(f"suite version {shorten(text)}: expected MAJOR.MINOR, such as 1.0.")
    parsed = int(major), int(minor)
    if parsed > SUITE_VERSION:
        newest = ".".join(map(str, SUITE_VERSION))
        raise ConfigValidationError(f"suite version {text}: this formers has the suite up to {newest}.")
    return parsed


class Cases:
    """Collects what became of the cases of one check, so that one failure does not hide the others.

    ``with cases("head", "sdpa"):`` runs one case. A failure is remembered under that label and the check goes on.
    """

    def __init__(self) -> None:
        self.run = 0
        self.failures: list[tuple[str, BaseException]] = []
        self.left_out: list[str] = []

    @contextmanager
    def __call__(self, *label: object) -> Iterator[None]:
        """Run one case."""
        name = ", ".join(str(part) for part in label)
        try:
            yield
        except NotApplicable as reason:
            self.left_out.append(f"{name}: {reason}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is the failure of this case
            self.run += 1
            self.failures.append((name, error))
        else:
            self.run += 1

    def conclude(self) -> None:
        """Fail with every failure; or leave the check out if no case could run.

        Raises:
            AssertionError: cases failed, or the check never looked at anything.
            NotApplicable: every case was left out.
        """
        if self.failures:
            lines = [f"{len(self.failures)} of {self.run} cases failed."]
            lines += [f"- {name}: {_described(error)}" for name, error in self.failures]
            raise AssertionError("\n".join(lines)) from self.failures[0][1]
        if not self.run:
            if self.left_out:
                raise NotApplicable("; ".join(dict.fromkeys(one.partition(": ")[2] for one in self.left_out)))
            raise AssertionError("The check found nothing to look at, and so says nothing.")


def _described(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, AssertionError):
        return text or "it does not hold"
    return f"{type(error).__name__}: {text}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one check said about one architecture.

    Attributes:
        check: id of the check.
        outcome: ``"passed"``, ``"failed"`` or ``"skipped"``; in a report also ``"expected"`` (failed, as declared)
            and ``"warned"`` (failed, in the first version that has it).
        message: why, if it did not pass.
        cases: how many cases were run.
        left_out: cases that could not be run, with reasons.
        seconds: how long it took.
    """

    check: str
    outcome: str
    message: str = ""
    cases: int = 0
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
