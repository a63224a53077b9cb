"""Tier ``packaging``: the distribution, its entry points, and what importing it brings along. No torch here."""

from __future__ import annotations

from typing import Any

from formers.config import PreTrainedConfig
from formers.plugins import discovery
from formers.plugins.discovery import Found
from formers.plugins.manifest import API_VERSION
from formers.testing.capabilities import problems_of
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.subject import Subject

from .isolation_rules import foreign_modules

HEAVY = ("torch", "numpy", "triton", "transformers", "jax", "tensorflow")


def _installed(subject: Subject) -> Found:
    found = subject.provider.found
    if found is None:
        raise NotApplicable("registered in this process; it belongs to no distribution")
    return found


def _distribution(subject: Subject) -> Any:
    """Metadata of the distribution, through the library that knows all of it."""
    import importlib_metadata

    return importlib_metadata.distribution(_installed(subject).dist)


def _is_editable(distribution: Any) -> bool:
    return bool(getattr(getattr(distribution.origin, "dir_info", None), "editable", False))


@check("packaging.entry_points")
def entry_points(subject: Subject, cases: Cases) -> None:
    """Every type of the manifest has an entry point that leads to a manifest for it."""
    own = _installed(subject)
    for name in subject.architecture.model_types:
        with cases(name):
            lines = [
                found
                for found in discovery.index().found
                if found.group == discovery.MODELS and found.name == name and found.dist == own.dist
            ]
            require(lines, f"{own.dist} has no entry point {name!r} in the group {discovery.MODELS}")
            require(lines[0].package == own.package, f"it leads to {lines[0].value}, not into {own.package}")


@check("packaging.references")
def references(subject: Subject, cases: Cases) -> None:
    """Every reference of the manifest leads to a class of the right kind."""
    from formers.modeling import PreTrainedModel
    from formers.tokenization.base import PreTrainedTokenizerBase

    architecture, provider = subject.architecture, subject.provider
    if architecture.config:
        with cases(architecture.config):
            cls = provider.load_class(architecture.config)
            require(issubclass(cls, PreTrainedConfig), "it is no PreTrainedConfig")
    for reference in filter(None, (architecture.tokenizer, architecture.slow_tokenizer)):
        with cases(reference):
            require(issubclass(provider.load_class(reference), PreTrainedTokenizerBase), "it is no tokenizer")
    for auto, classes in architecture.auto.items():
        for reference in classes:
            with cases(auto, reference):
                found: Any = provider.load_class(reference)
                if auto.startswith("AutoModel"):
                    require(issubclass(found, PreTrainedModel), "it is no PreTrainedModel")
                    require(
                        _fits(found, subject.config_class),
                        f"its config_class is {found.config_class}",
                    )


def _fits(model_class: Any, config_class: type[PreTrainedConfig]) -> bool:
    """Whether a model class is for a configuration class, or for one that it derives from."""
    declared = model_class.config_class
    return isinstance(declared, type) and issubclass(config_class, declared)


@check("packaging.auto_classes")
def auto_classes(subject: Subject, cases: Cases) -> None:
    """Every Auto class that the manifest names exists."""
    import formers

    for name in subject.architecture.auto_names:
        with cases(name):
            require(name.partition(":")[0] in formers.__all__, "there is no such Auto class")


@check("packaging.attention")
def attention(subject: Subject, cases: Cases) -> None:
    """Every attention implementation of the manifest can be loaded, under the name that it has there."""
    from formers.attention.registry import implementations_for

    own = subject.architecture.attention
    if not own:
        raise NotApplicable("the manifest brings no attention of its own")
    known = {one.name for one in implementations_for(subject.model_type)}
    for name in own:
        with cases(name):
            require(name in known, "it is not among the implementations")


@check("packaging.api")
def api(subject: Subject, cases: Cases) -> None:
    """The manifest was written for an interface that this core has."""
    with cases(subject.architecture.api):
        major, minor = subject.architecture.api_version
        require(major == API_VERSION[0] and minor <= API_VERSION[1], f"the core has {API_VERSION}")


@check("packaging.capabilities")
def capabilities(subject: Subject, cases: Cases) -> None:
    """Every capability exists, and agrees with what the classes say."""
    with cases("words"):
        problems = problems_of(subject.architecture.capabilities)
        require(not problems, "; ".join(problems))
    for head in subject.models.heads if subject.architecture.auto else ():
        with cases(head):
            declares = subject.can("gradient_checkpointing")
            stacks = bool(head.cls(subject.config(**head.overrides)).supports_gradient_checkpointing)
            require(
                declares or not stacks,
                "it supports gradient checkpointing, which the manifest does not declare",
            )
            generates = head.generates and head.cls.can_generate()
            require(
                subject.can("decoder") or not generates,
                "it generates, and the manifest declares no 'decoder'",
            )


@check("packaging.typed")
def typed(subject: Subject, cases: Cases) -> None:
    """The package has ``py.typed``: without it its annotations are ignored."""
    from importlib.resources import files

    package = _installed(subject).package
    with cases(package):
        require((files(package) / "py.typed").is_file(), "there is no py.typed")


@check("packaging.metadata")
def metadata(subject: Subject, cases: Cases) -> None:
    """The distribution has a license, a description, and asks for a range of the core."""
    from packaging.requirements import Requirement

    own = _installed(subject)
    with cases(own.dist):
        found = _distribution(subject)
        fields = found.metadata
        license_ = fields.get("License-Expression") or fields.get("License") or fields.get_all("License-File")
        require(license_, "the metadata names no license")
        require(fields.get("Description") or fields.get_payload(), "there is no readme")
        core = [
            one
            for one in map(Requirement, found.requires or ())
            if one.name == "formers" and one.marker is None
        ]
        require(core, "it does not ask for formers")
        operators = {part.operator for part in core[0].specifier}
        require("==" not in operators, f"it asks for one version of the core: {core[0]}")
        require(operators & {">=", "~="}, f"it asks for any version of the core: {core[0]}")


@check("packaging.files")
def files_of(subject: Subject, cases: Cases) -> None:
    """The wheel holds its own top-level package and nothing else."""
    own = _installed(subject)
    with cases(own.dist):
        found = _distribution(subject)
        if _is_editable(found) or not found.files:
            raise NotApplicable("it is installed in place, without a list of files")
        tops = {file.parts[0] for file in found.files if file.parts[0] != ".."}
        foreign = {
            top
            for top in tops
            if top != own.package and not top.endswith((".dist-info", ".egg-info", ".data"))
        }
        require(not foreign, f"it also holds {', '.join(sorted(foreign))}")


@check("packaging.light")
def light(subject: Subject, cases: Cases) -> None:
    """The manifest and the configuration import neither torch nor anything else that is heavy."""
    manifest, configuration = subject.probe.light
    for label, modules in (("manifest", manifest), ("configuration", configuration)):
        with cases(label):
            heavy = sorted({*HEAVY} & {*modules})
            require(not heavy, f"it imports {', '.join(heavy)}")


@check("packaging.alone")
def alone(subject: Subject, cases: Cases) -> None:
    """The manifest and the configuration import no other architecture."""
    manifest, configuration = subject.probe.light
    for label, modules in (("manifest", manifest), ("configuration", configuration)):
        with cases(label):
            foreign = foreign_modules(subject, modules)
            require(not foreign, f"it imports {', '.join(foreign)}")
