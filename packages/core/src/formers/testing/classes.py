"""Test classes for pytest, made of the checks: one method for each. Imports pytest only inside them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from formers.errors import ConfigValidationError, shorten

from .checks import SUITE_VERSION, Check, Result, version
from .running import TIERS, run_check, standard_checks
from .subject import Subject

__all__ = [
    "PROPERTY",
    "conformance_suite",
    "expected_failures_of",
    "outcome_of",
    "replacements_of",
    "replaces",
    "report_on",
    "subject_of",
]

PROPERTY = "formers_conformance"
"""Name under which a test's report carries its result to the process that writes the summary."""

Method = TypeVar("Method", bound=Callable[..., Any])


def conformance_suite(
    model_type: str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    tiers: Sequence[str] = tuple(TIERS),
    reference: str | None = None,
) -> type:
    """A test class that holds every check of the suite, for one architecture.

    ``TestAcme = conformance_suite("acme", expected_failures={"numerics.left_padding": "absolute positions"})``

    Args:
        model_type: installed, or registered when the tests run.
        expected_failures: id of a check to the reason why it fails. Such a check *must* fail: once it passes, the
            entry is to be removed. What cannot run at all is skipped.
        settings: of the tiny configuration, for a class that checks a variant of the architecture.
        tiers: of the suite, for such a class; all by default.
        reference: the library that the tier ``interop`` compares with; by default the option's.

    Raises:
        ConfigValidationError: ``expected_failures`` names a check that does not exist, or gives no reason; there is
            no such tier.
    """
    expected = dict(expected_failures or {})
    if not set(tiers) <= TIERS.keys():
        raise ConfigValidationError(f"tiers={shorten(tiers)}: there are {', '.join(TIERS)}.")
    checks = {name: one for name, one in standard_checks().items() if one.tier in tiers}
    for identity, reason in expected.items():
        if identity not in checks:
            raise ConfigValidationError(f"expected_failures names {shorten(identity)}, which is no check.")
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigValidationError(
                f"expected_failures[{identity!r}] is {shorten(reason)}; give the reason."
            )
    members: dict[str, Any] = {
        "__doc__": f"The conformance of {model_type!r}.",
        "__module__": __name__,
        "_formers_model": model_type,
        "_formers_expected": expected,
        "_formers_settings": dict(settings or {}),
        "_formers_tiers": tuple(tiers),
        "_formers_reference": reference,
    }
    members |= {_method_name(one): _method(one) for one in checks.values()}
    return type(f"Test{model_type.title().replace('-', '').replace('_', '')}", (_Suite,), members)


class _Suite:
    """Base of the classes that :func:`conformance_suite` makes: a subclass cannot switch off what watches it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hidden = [name for name in cls.__dict__ if name.startswith("test_meta_")]
        if hidden and "_formers_model" not in cls.__dict__:
            raise ConfigValidationError(
                f"{cls.__name__} replaces {', '.join(hidden)}, which watch over the others."
            )


def replaces(identity: str, *, reason: str) -> Callable[[Method], Method]:
    """Mark a method of a subclass as taking the place of a check, and say why it must.

    Raises:
        ConfigValidationError: there is no such check, or no reason.
    """
    if identity not in standard_checks() or not reason.strip():
        raise ConfigValidationError(
            f"replaces({identity!r}, reason={reason!r}): give the id of a check and a reason."
        )

    def mark(method: Method) -> Method:
        method._formers_replaces = identity, reason  # type: ignore[attr-defined]
        return method

    return mark


def replacements_of(suite: type) -> dict[str, str]:
    """The checks whose method in a test class is not the suite's own, with the reasons given; empty if none is."""
    found = {}
    for one in standard_checks().values():
        if one.tier not in suite._formers_tiers:  # type: ignore[attr-defined]
            continue
        member = getattr(suite, _method_name(one), None)
        if getattr(member, "_formers_check", None) is not one:
            identity, reason = getattr(member, "_formers_replaces", ("", ""))
            found[one.id] = reason if identity == one.id else ""
    return found


def expected_failures_of(suite: type) -> dict[str, str]:
    """The checks that a test class declares to fail, with reasons."""
    return dict(getattr(suite, "_formers_expected", {}))


def _method_name(one: Check) -> str:
    return "test_" + one.id.replace(".", "_")


def _method(one: Check) -> Callable[[Any, Any], None]:
    def test(self: Any, request: Any) -> None:
        suite = type(self)
        reference = suite._formers_reference or request.config.getoption("formers_reference", None)
        subject = subject_of(suite._formers_model, reference, request, suite._formers_settings)
        subject.suite = suite
        report_on(request, one, subject, suite._formers_expected.get(one.id))

    test.__name__, test.__doc__, test.__qualname__ = _method_name(one), one.doc, one.id
    test._formers_check = one  # type: ignore[attr-defined]
    return test


def subject_of(
    model_type: str, reference: str | None, request: Any, settings: Mapping[str, Any] | None = None
) -> Subject:
    """One subject for each type, variant and session; it is closed with the session."""
    subjects: dict[tuple[str, str | None, str], Subject] = request.config.stash.setdefault(_key(), {})
    key = model_type, reference, repr(settings or {})
    if key not in subjects:
        subjects[key] = Subject(model_type, reference=reference, settings=settings)
        request.session.config.add_cleanup(subjects[key].close)
    return subjects[key]


@functools.cache
def _key() -> Any:
    import pytest

    return pytest.StashKey[dict[tuple[str, str | None, str], Subject]]()


def report_on(request: Any, one: Check, subject: Subject, expected: str | None = None) -> None:
    """Run a check inside a test of pytest, which passes, fails, is skipped, or fails as expected.

    Args:
        request: pytest's.
        one: the check.
        subject: what is checked.
        expected: why it is expected to fail; None if it is not.
    """
    import pytest

    pinned = request.config.getoption("formers_suite", None)
    suite = version(pinned) if pinned else SUITE_VERSION
    if one.since > suite:
        pytest.skip(f"new in suite {'.'.join(map(str, one.since))}; --formers-suite pins {pinned}")
    result = run_check(subject, one)
    outcome = outcome_of(result, one, suite, expected)
    message = result.message
    if outcome == "expected":
        message = expected or ""
    elif outcome == "failed" and result.outcome == "passed":
        message = f"it is expected to fail ({expected}) but passes: remove it from expected_failures."
    entry = {
        "model": _label(subject),
        "check": one.id,
        "tier": one.tier,
        "law": one.law,
        "outcome": outcome,
        "message": message,
        "cases": result.cases,
        "left_out": list(result.left_out),
        "seconds": round(result.seconds, 4),
    }
    request.node.user_properties.append((PROPERTY, entry))
    if outcome == "skipped":
        pytest.skip(message)
    if outcome == "expected":
        pytest.xfail(message)
    if outcome == "warned":
        pytest.xfail(f"new in this version of the suite, and required from the next: {message}")
    if outcome == "failed":
        law = f" (law {one.law})" if one.law else ""
        pytest.fail(f"{one.id} of {subject.model_type}{law}: {one.doc}\n{message}", pytrace=False)


def _label(subject: Subject) -> str:
    settings = ", ".join(f"{name}={value!r}" for name, value in subject.settings.items())
    return f"{subject.model_type}[{settings}]" if settings else subject.model_type


def outcome_of(result: Result, one: Check, suite: tuple[int, int], expected: str | None) -> str:
    """What a result means in a version of the suite, where it may be expected to fail; see :class:`Result`."""
    if result.outcome == "passed":
        return "failed" if expected else "passed"
    if result.outcome == "skipped":
        return "skipped"
    if expected:
        return "expected"
    return "warned" if one.only_warns(suite) else "failed"
