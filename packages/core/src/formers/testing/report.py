"""What the checks said, as JSON and as a table. No torch here."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from formers.files.strict_json import dump_json
from formers.plugins.manifest import API_VERSION

from .checks import SUITE_VERSION
from .running import TIERS

__all__ = ["lines", "report", "write"]

Entry = dict[str, Any]

_OUTCOMES = ("passed", "failed", "warned", "expected", "skipped")


def report(results: Sequence[Entry]) -> dict[str, Any]:
    """Everything that was said, with the versions that it holds for.

    Returns:
        ``suite``, ``api``, ``environment`` (versions by name), and ``models``: for each type its ``package`` and
        ``version``, a ``summary`` of outcomes, and the ``checks``.
    """
    models = {}
    for model in dict.fromkeys(entry["model"] for entry in results):
        own = sorted((entry for entry in results if entry["model"] == model), key=_order)
        models[model] = {
            **_package(model),
            "summary": _counts(own),
            "checks": [{key: value for key, value in entry.items() if key != "model"} for entry in own],
        }
    return {
        "suite": ".".join(map(str, SUITE_VERSION)),
        "api": ".".join(map(str, API_VERSION)),
        "environment": _environment(),
        "models": models,
    }


def write(file: str, results: Sequence[Entry]) -> None:
    """Write the report."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_json(report(results)), "utf-8")


def lines(results: Sequence[Entry]) -> Iterator[str]:
    """A table for the terminal: a line for each tier, then what did not pass and what was not looked at."""
    for model in dict.fromkeys(entry["model"] for entry in results):
        own = sorted((entry for entry in results if entry["model"] == model), key=_order)
        package = _package(model)
        seconds = sum(entry["seconds"] for entry in own)
        yield f"{model} ({package['package']} {package['version']}), suite {'.'.join(map(str, SUITE_VERSION))}:"
        for tier in dict.fromkeys(entry["tier"] for entry in own):
            counts = _counts(entry for entry in own if entry["tier"] == tier)
            said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
            yield f"  {tier:<12} {said}"
        for entry in own:
            if entry["outcome"] in ("failed", "warned", "expected"):
                yield f"  {entry['outcome']}: {entry['check']}: {_first_lines(entry['message'])}"
        for reason, identities in _left_out(own).items():
            yield f"  not looked at: {', '.join(identities)}: {reason}"
        total = ", ".join(f"{count} {outcome}" for outcome, count in _counts(own).items() if count)
        yield f"  in all: {total}; {sum(entry['cases'] for entry in own)} cases in {seconds:.1f} s"


def _order(entry: Entry) -> tuple[int, str]:
    tiers = list(TIERS)
    return (tiers.index(entry["tier"]) if entry["tier"] in tiers else len(tiers)), ""


def _counts(entries: Iterable[Entry]) -> dict[str, int]:
    outcomes = [entry["outcome"] for entry in entries]
    return {outcome: outcomes.count(outcome) for outcome in _OUTCOMES}


def _left_out(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """The checks that were skipped, by reason."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry["outcome"] == "skipped":
            found.setdefault(_first_lines(entry["message"]), []).append(entry["check"])
    return found


def _first_lines(message: str) -> str:
    shown = message.splitlines()[:2]
    return " ".join(shown)[:300]


def _package(model: str) -> dict[str, str]:
    from formers.errors import FormersError
    from formers.plugins import registry

    try:
        found = registry.provider_for(model.partition("[")[0]).found
    except FormersError:
        found = None
    if found is None:
        return {"package": "registered in this process", "version": ""}
    return {"package": found.dist, "version": found.version}


def _environment() -> dict[str, str]:
    import sys

    import formers

    versions = {
        "python": platform.python_version(),
        "formers": formers.__version__,
        "system": platform.system(),
    }
    for name in ("torch", "tokenizers", "safetensors", "transformers"):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(getattr(module, "__version__", ""))
    return versions
