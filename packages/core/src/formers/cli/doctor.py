"""``formers plugins doctor``: import each plugin in turn, and say what is wrong with it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from typing import Any

from formers.errors import PluginLoadError, shorten
from formers.plugins import discovery, environment
from formers.plugins.discovery import MODELS, Found, canonical
from formers.plugins.hooks import hooks_of
from formers.plugins.loading import Provider, load_from, load_manifest, resolve_reference

from . import listing

__all__ = ["add_arguments", "examine", "run"]

# What the hooks give a list of.
_GIVES = {
    "formers_attention_implementations": "formers.attention.contract:AttentionImplementation",
    "formers_checkpoint_formats": "formers.checkpoint.formats:CheckpointFormat",
    "formers_generation_strategies": "formers.generation.strategies.base:Strategy",
    "formers_tokenizer_converters": "formers.tokenization.converters:TokenizerConverter",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name of a plugin, and ``--json``."""
    parser.add_argument("name", nargs="?", help="one distribution or model type; all if left out")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print a report on every plugin, or on those of one distribution or model type; 1 if anything is wrong."""
    name: str | None = options.name
    chosen = [
        found
        for found in discovery.index().found
        if name is None or name == found.name or canonical(name) == found.dist
    ]
    if name is not None and not chosen:
        print(f"No installed plugin is called {name!r}. See them with: formers plugins list", file=sys.stderr)
        return 1
    reports = [examine(found) for found in chosen]
    general = _settings_problems() + _hidden_problems() if name is None else []
    if options.json:
        print(json.dumps({"plugins": reports, "problems": general}, indent=2))
    else:
        print("\n\n".join([*map(_as_text, reports), *general]) or "No plugins are installed.")
    return 1 if general or any(report["problems"] for report in reports) else 0


def examine(found: Found) -> dict[str, Any]:
    """Everything that can be said about one entry point; imports it unless it is switched off."""
    report: dict[str, Any] = listing._row(found, listing.status(found))
    report |= _metadata(found)
    problems: list[str] = report["problems"]
    if report["status"].startswith("ambiguous"):
        problems.append(report["status"])
    if report["status"].startswith("off"):
        return report
    heavy = "torch" in sys.modules
    start = time.perf_counter()
    try:
        report |= _architecture(found, problems) if found.group == MODELS else _hooks(found, problems)
    except PluginLoadError as error:
        problems.append(str(error))
        if error.__cause__ is not None:
            report["traceback"] = "".join(traceback.format_exception(error.__cause__))
    report.setdefault("import_ms", _milliseconds(start))
    if found.group == MODELS and not heavy:
        report["imports_torch"] = "torch" in sys.modules
        if report["imports_torch"]:
            problems.append("importing the manifest or the configuration imports torch")
    return report


def _milliseconds(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 1)


def _hooks(found: Found, problems: list[str]) -> dict[str, Any]:
    """The hooks of a module, which are called to see whether they give what they should."""
    start = time.perf_counter()
    names = hooks_of(found)
    report = {"hooks": names, "import_ms": _milliseconds(start)}
    module = load_from(found, found.value)
    for name in names:
        try:
            kind: Any = resolve_reference(_GIVES[name])
            given = list(getattr(module, name)())
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is what is wrong with it
            problems.append(f"{name}() raises {type(error).__name__}: {error}")
            continue
        problems += [
            f"{name}() gives {shorten(one)}, no {kind.__name__}" for one in given if not isinstance(one, kind)
        ]
        for one in given:
            reference = getattr(one, "convert", None)
            if isinstance(one, kind) and isinstance(reference, str):
                problems += _unresolved(reference)
    return report


def _unresolved(reference: str) -> list[str]:
    try:
        resolve_reference(reference)
    except (ImportError, AttributeError) as error:
        return [f"{reference} cannot be imported: {error}"]
    return []


def _architecture(found: Found, problems: list[str]) -> dict[str, Any]:
    from formers.auto.models import AUTO_MODELS

    manifest = load_manifest(found)
    if manifest.config is not None:
        config_class = Provider(manifest, found).load_class(manifest.config)
        if getattr(config_class, "model_type", None) not in manifest.model_types:
            problems.append(f"{manifest.config} does not have model_type = {manifest.model_type!r}")
    processors = ("AutoFeatureExtractor", "AutoImageProcessor", "AutoProcessor", "AutoVideoProcessor")
    for head in manifest.auto_names:
        if head.partition(":")[0] not in (*AUTO_MODELS, *processors, "AutoConfig", "AutoTokenizer"):
            problems.append(f"there is no Auto class {head!r}")
    return {"api": manifest.api, "classes": list(manifest.auto_names), "aliases": list(manifest.aliases)}


def _metadata(found: Found) -> dict[str, Any]:
    """What only the metadata library knows: editable installation, and requirements that are not met."""
    import importlib_metadata
    from packaging.requirements import Requirement

    try:
        dist = importlib_metadata.distribution(found.dist)
    except importlib_metadata.PackageNotFoundError:
        return {"problems": ["its metadata is incomplete: install the package again"]}
    problems = []
    for line in dist.requires or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = None
        with contextlib.suppress(importlib_metadata.PackageNotFoundError):
            installed = importlib_metadata.version(requirement.name)
        if installed is None:
            problems.append(f"it requires {requirement}, which is not installed")
        elif not requirement.specifier.contains(installed, prereleases=True):
            problems.append(f"it requires {requirement}, but {installed} is installed")
    origin = getattr(dist, "origin", None)
    editable = bool(getattr(getattr(origin, "dir_info", None), "editable", False))
    return {"editable": editable, "problems": problems}


def _settings_problems() -> list[str]:
    dists = discovery.index().dists()
    problems = []
    for variable, names in (
        (environment.ALLOW, environment.allowed()),
        (environment.DENY, environment.disabled()),
    ):
        missing = sorted((names or frozenset()) - dists - {"*"})
        if missing:
            problems.append(f"{variable} names {', '.join(missing)}, which no installed plugin matches.")
    return problems


def _hidden_problems() -> list[str]:
    return [
        f"{found.label} in {found.location} is hidden by another copy of the package earlier on the path."
        for found in discovery.index().shadowed
    ]


def _as_text(report: dict[str, Any]) -> str:
    state = "problems" if report["problems"] else report["status"]
    title = f"{report['name']} ({report['kind']}): {report['package']} {report['version']}, {state}"
    shown = (
        "entry_point",
        "location",
        "editable",
        "api",
        "classes",
        "aliases",
        "hooks",
        "import_ms",
        "imports_torch",
    )
    lines = [title]
    for key in shown:
        value = report.get(key)
        if value or value == 0:
            text = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else None
            lines.append(f"  {key}: {text or (', '.join(value) if isinstance(value, list) else value)}")
    for problem in report["problems"]:
        lines.append("  problem: " + problem.replace("\n", "\n    "))
    if "traceback" in report:
        lines.append("    " + report["traceback"].rstrip().replace("\n", "\n    "))
    return "\n".join(lines)
