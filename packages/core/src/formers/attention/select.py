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

from .contract import AttentionImplementation, AttentionRequest
from .registry import implementations_for

__all__ = ["AUTO", "VARIABLE", "Selection", "check_name", "select"]

AUTO = "auto"
VARIABLE = "FORMERS_ATTENTION"

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
        wanted: a name, which is used or refused but never replaced; None or "auto": the one of the highest priority
            that can serve the request, or the one that the environment variable FORMERS_ATTENTION names.
        implementations: to choose from; by default all that are installed for the architecture.

    Raises:
        AttentionNotInstalledError: the name is known, but nothing installed provides it.
        AttentionUnsupported: there is no such name, or that implementation cannot serve the request.
    """
    origin = ""
    if wanted is None or wanted == AUTO:
        wanted = os.environ.get(VARIABLE, AUTO).strip() or AUTO
        origin = f" (from {VARIABLE})"
    if implementations is None:
        implementations = implementations_for(request.architecture)
    if torch.compiler.is_compiling():
        return _choose(request, wanted, origin, implementations)  # a lock cannot be traced
    key = request, wanted, tuple(implementations)
    selection = _remembered.get(key)
    if selection is None:
        selection = _choose(request, wanted, origin, implementations)
        _remembered.put(key, selection)
    return selection


def check_name(name: str | None, architecture: str) -> None:
    """Refuse an attention name that no call could be served by.

    Raises:
        AttentionNotInstalledError: the name is known, but nothing installed provides it.
        AttentionUnsupported: there is no such name.
    """
    if name is not None and name != AUTO:
        _find(name, architecture, "", implementations_for(architecture))


def _choose(
    request: AttentionRequest, wanted: str, origin: str, implementations: Sequence[AttentionImplementation]
) -> Selection:
    if wanted == AUTO:
        return _best(request, implementations)
    return _named(request, wanted, origin, implementations)


def _best(request: AttentionRequest, implementations: Sequence[AttentionImplementation]) -> Selection:
    passed_over: list[tuple[str, tuple[str, ...]]] = []
    for implementation in sorted(implementations, key=lambda one: (-one.priority, one.name)):
        reasons = implementation.supports(request)
        if not reasons:
            return Selection(implementation, tuple(passed_over))
        passed_over.append((implementation.name, reasons))
    raise AttentionUnsupported(
        f"{request.architecture}: no attention can serve this call ({request}):\n{_listed(passed_over)}"
    )


def _named(
    request: AttentionRequest, wanted: str, origin: str, implementations: Sequence[AttentionImplementation]
) -> Selection:
    implementation = _find(wanted, request.architecture, origin, implementations)
    reasons = implementation.supports(request)
    if not reasons:
        return Selection(implementation)
    usable = [one.name for one in implementations if not one.supports(request)]
    raise AttentionUnsupported(
        f"{request.architecture}: attention {wanted!r}{origin} cannot serve this call ({request}):\n"
        + "\n".join(f"  - {reason}" for reason in reasons)
        + f"\nUsable here: {_quoted(usable) or 'none'}. Use attn_implementation={AUTO!r} to pick one."
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


_Key = tuple[AttentionRequest, str, tuple[AttentionImplementation, ...]]


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
