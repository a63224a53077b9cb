"""Tier ``meta``: the suite itself is run as it stands. No torch here."""

from __future__ import annotations

from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.subject import Subject


@check("meta.overrides")
def overrides(subject: Subject, cases: Cases) -> None:
    """A test file replaces or hides no check without saying why."""
    from formers.testing.classes import replacements_of

    if subject.suite is None:
        raise NotApplicable("there is no test class")
    with cases(subject.suite.__name__):
        for identity, reason in replacements_of(subject.suite).items():
            require(
                reason,
                f"{identity} is replaced or hidden; mark the method with @replaces({identity!r}, reason=...)",
            )


@check("meta.expected_failures")
def expected_failures(subject: Subject, cases: Cases) -> None:
    """Every expected failure is of a check that exists, and has a reason."""
    from formers.testing.classes import expected_failures_of

    if subject.suite is None:
        raise NotApplicable("there is no test class")
    with cases(subject.suite.__name__):
        from formers.testing.running import standard_checks

        for identity, reason in expected_failures_of(subject.suite).items():
            require(identity in standard_checks(), f"there is no check {identity!r}")
            require(isinstance(reason, str) and reason.strip(), f"{identity} has no reason")


@check("meta.size")
def size(subject: Subject, cases: Cases) -> None:
    """The tiny models are small: the suite is to be run often."""
    for head in subject.models.heads:
        with cases(head):
            count = sum(one.numel() for one in head.cls(subject.config(**head.overrides)).parameters())
            require(count <= 200_000, f"it has {count} parameters; some 100 000 are enough")
