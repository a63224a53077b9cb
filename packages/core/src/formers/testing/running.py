"""Running one check on one architecture; pytest is one caller, the mutation suite another."""

from __future__ import annotations

import time
from functools import cache
from importlib import import_module

from formers.plugins.elsewhere import require_torch

from .capabilities import CAPABILITIES
from .checks import Cases, Check, NotApplicable, Result, declared
from .subject import Subject

__all__ = ["TIERS", "run_check", "standard_checks"]

TIERS = {
    "packaging": ("packaging",),
    "config": ("config",),
    "model": ("building", "loading", "saving", "calling", "shaping", "isolation"),
    "numerics": ("padding", "caching", "gradients", "losses"),
    "attention": ("attention",),
    "generation": ("generation", "lengths"),
    "tokenizer": ("tokenizer", "tokenizer_files"),
    "interop": ("interop",),
    "meta": ("meta",),
}
"""From the name of a tier to the modules of ``formers.testing.tiers`` that hold its checks, in the order they run."""


@cache
def standard_checks() -> dict[str, Check]:
    """Every check of the suite by id, in the order they run. Imports torch, but not pytest.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    require_torch("formers.testing")
    for modules in TIERS.values():
        for module in modules:
            import_module(f"formers.testing.tiers.{module}")
    checks = declared()
    return {identity: one for tier in TIERS for identity, one in checks.items() if one.tier == tier}


def run_check(subject: Subject, one: Check) -> Result:
    """Run one check; nothing that goes wrong inside it comes out but as a result."""
    start = time.perf_counter()
    cases = Cases()
    try:
        _require_capabilities(subject, one)
        one.function(subject, cases)
        cases.conclude()
    except NotApplicable as reason:
        outcome, message = "skipped", str(reason)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is the failure of the check
        outcome, message = "failed", str(error) or type(error).__name__
        if not isinstance(error, AssertionError):
            message = f"{type(error).__name__}: {message}"
    else:
        outcome, message = "passed", ""
    seconds = time.perf_counter() - start
    return Result(one.id, outcome, message, cases.run, tuple(cases.left_out), seconds)


def _require_capabilities(subject: Subject, one: Check) -> None:
    for capability in sorted(one.needs):
        if not subject.can(capability):
            raise NotApplicable(f"capability {capability!r} is not declared ({CAPABILITIES[capability]})")
