"""The conformance kit: the laws that every architecture keeps, as tests that a plugin runs on itself.

``pytest --pyargs formers.testing.conformance --formers-model NAME``, or in a test file
``TestName = conformance_suite("NAME")``. Needs ``formers[testing]``; nothing else in formers imports it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the value of typing.TYPE_CHECKING: this module loads in every pytest run
if TYPE_CHECKING:
    from .checks import SUITE_VERSION as SUITE_VERSION
    from .checks import Check as Check
    from .checks import Result as Result
    from .classes import conformance_suite as conformance_suite
    from .classes import replaces as replaces
    from .running import run_check as run_check
    from .running import standard_checks as standard_checks
    from .subject import Subject as Subject
    from .tiny import Tiny as Tiny

_MODULE_OF = {
    "SUITE_VERSION": "checks",
    "Check": "checks",
    "Result": "checks",
    "conformance_suite": "classes",
    "replaces": "classes",
    "run_check": "running",
    "standard_checks": "running",
    "Subject": "subject",
    "Tiny": "tiny",
}

__all__ = [
    "SUITE_VERSION",
    "Check",
    "Result",
    "Subject",
    "Tiny",
    "conformance_suite",
    "replaces",
    "run_check",
    "standard_checks",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
