"""Choosing an attention implementation by name, or the best that can serve a call, with the reasons."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch

from formers.errors import AttentionNotInstalledError, AttentionUnsupported, shorten

from .contract import AttentionImplementation, AttentionRequest, OutOfScope
from .registry import implementations_for

__all__ = ["AUTO", "STRICT", "VARIABLE", "Selection", "check_name", "is_strict", "select"]

AUTO = "auto"
VARIABLE = "FORMERS_ATTENTION"
STRICT = "FORMERS_ATTENTION_STRICT"

_ON = ("1", "true", "on", "yes", "y")

# Names that users know from elsewhere and that a plugin may provide.
_KNOWN = (
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
    "flex_attention",
    "paged_attention",
    "sage_attention",
    "xformers",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and why it was not something better.

    Attributes:
        implementation: the one that serves the request.
        passed_over: names and reasons of those with a higher priority that cannot.
    """

    implementation: AttentionImplementation
    passed_over: tuple[tuple[str, tuple[str, ...]], ...] = ()


def select(
    request: AttentionRequest,
    wanted: str | None = None,
    implementations: Sequence[AttentionImplementation] | None = None,
) -> Selection:
    """The implementation for a kind of call.

    Args:
        request: what the call needs.
        wanted: a name, which is used or refused but never replaced, or several with commas between them, of which
            the first that can serve the request is used; None or "auto": the one of the highest priority
            that can, or what the environment variable FORMERS_ATTENTION names. "auto" may also end a list.
            With FORMERS_ATTENTION_STRICT=1 auto passes over nothing that is meant for such a call, that is
            without a reason of the kind :class:`OutOfScope`.
        implementations: to choose from; by default all that are installed for the architecture.

    Raises:
        AttentionNotInstalledError: the name is known, but nothing installed provides it.
        AttentionUnsupported: there is no such name, that implementation cannot serve the request, or auto, being
            strict, would pass one over.
    """
    origin = ""
    if wanted is None or wanted == AUTO:
        wanted = os.environ.get(VARIABLE, AUTO).strip() or AUTO
        origin = f" (from {VARIABLE})"
    if implementations is None:
        implementations = implementations_for(request.architecture)
    if torch.compiler.is_compiling():
        return _choose(request, wanted, origin, implementations, is_strict())  # a lock cannot be traced
    strict = is_strict()
    key = request, wanted, strict, tuple(implementations)
    selection = _remembered.get(key)
    if selection is None:
        selection = _choose(request, wanted, origin, implementations, strict)
        _remembered.put(key, selection)
    return selection


def is_strict() -> bool:
    """Whether auto shall fail where it would pass over an implementation that is meant for the call."""
    return os.environ.get(STRICT, "").strip().lower() in _ON


def check_name(name: str | None, architecture: str) -> None:
    """Refuse an attention name that no call could be served by.

    Raises:
        AttentionNotInstalledError: the name is known, but nothing installed provides it.
        AttentionUnsupported: there is no such name.
    """
    for one in _names_in(name):
        if one is not None and one != AUTO:
            _find(one, architecture, "", implementations_for(architecture))


def _names_in(wanted: object) -> list[object]:
    return [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else [wanted]


def _choose(
    request: AttentionRequest,
    wanted: str,
    origin: str,
    implementations: Sequence[AttentionImplementation],
    strict: bool,
) -> Selection:
    passed_over: list[tuple[str, tuple[str, ...]]] = []
    for name in _names_in(wanted):
        if name == AUTO:
            best = _best(request, implementations, strict)
            return Selection(best.implementation, (*passed_over, *best.passed_over))
        implementation = _find(name, request.architecture, origin, implementations)
        reasons = implementation.supports(request)
        if not reasons:
            return Selection(implementation, tuple(passed_over))
        passed_over.append((implementation.name, reasons))
    raise _refused(request, wanted, origin, implementations, passed_over)


def _best(
    request: AttentionRequest, implementations: Sequence[AttentionImplementation], strict: bool
) -> Selection:
    passed_over: list[tuple[str, tuple[str, ...]]] = []
    for implementation in sorted(implementations, key=lambda one: (-one.priority, one.name)):
        reasons = implementation.supports(request)
        if not reasons:
            if strict:
                _expect_no_failure(request, implementation.name, passed_over)
            return Selection(implementation, tuple(passed_over))
        passed_over.append((implementation.name, reasons))
    raise AttentionUnsupported(
        f"{request.architecture}: no attention can serve this call ({request}):\n{_listed(passed_over)}"
    )


def _expect_no_failure(
    request: AttentionRequest, chosen: str, passed_over: Sequence[tuple[str, tuple[str, ...]]]
) -> None:
    """Refuse a choice before which an implementation that is meant for such calls was passed over."""
    failed = [one for one in passed_over if not any(isinstance(reason, OutOfScope) for reason in one[1])]
    if failed:
        raise AttentionUnsupported(
            f"{request.architecture}: {STRICT} forbids to pass over a better attention for this call ({request}):\n"
            f"{_listed(failed)}\nWithout it {chosen!r} would serve the call; name it as attn_implementation if that is "
            "what you want."
        )


def _refused(
    request: AttentionRequest,
    wanted: str,
    origin: str,
    implementations: Sequence[AttentionImplementation],
    passed_over: Sequence[tuple[str, tuple[str, ...]]],
) -> AttentionUnsupported:
    usable = [one.name for one in implementations if not one.supports(request)]
    listed = _listed(passed_over)
    if len(passed_over) == 1:
        listed = "\n".join(f"  - {reason}" for reason in passed_over[0][1])
    several = f", or {f'{wanted},{AUTO}'!r} to fall back on it" if usable else ""
    return AttentionUnsupported(
        f"{request.architecture}: attention {wanted!r}{origin} cannot serve this call ({request}):\n{listed}"
        f"\nUsable here: {_quoted(usable) or 'none'}. Use attn_implementation={AUTO!r} to pick one{several}."
    )


def _find(
    name: object, architecture: str, origin: str, implementations: Sequence[AttentionImplementation]
) -> AttentionImplementation:
    names = {one.name: one for one in implementations}
    if isinstance(name, str) and name in names:
        return names[name]
    installed = f"Installed: {_quoted(names)}; or {AUTO!r} to pick one."
    if isinstance(name, str) and name in _KNOWN:
        raise AttentionNotInstalledError(
            f"{architecture}: attention {name!r}{origin} is not provided by any installed package; a plugin with "
            f"the hook formers_attention_implementations can provide it. {installed}"
        )
    near = get_close_matches(name, (*names, AUTO, *_KNOWN), n=1) if isinstance(name, str) else []
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise AttentionUnsupported(
        f"{architecture}: there is no attention called {shorten(name)}{origin}. {hint}{installed}"
    )


def _quoted(names: Sequence[str] | dict[str, AttentionImplementation]) -> str:
    return ", ".join(repr(name) for name in names)


def _listed(passed_over: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    return "\n".join(f"  - {name}: {reason}" for name, reasons in passed_over for reason in reasons)


_Key = tuple[AttentionRequest, str, bool, tuple[AttentionImplementation, ...]]


class _Memory:
    """The latest selections, at most ``size`` of them; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._selections: OrderedDict[_Key, Selection] = OrderedDict()

    def get(self, key: _Key) -> Selection | None:
        with self._lock:
            selection = self._selections.get(key)
            if selection is not None:
                self._selections.move_to_end(key)
            return selection

    def put(self, key: _Key, selection: Selection) -> None:
        with self._lock:
            self._selections[key] = selection
            while len(self._selections) > self._size:
                self._selections.popitem(last=False)


_remembered = _Memory(256)
