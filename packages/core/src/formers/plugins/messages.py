"""The texts of the registry's errors: what was asked, what is installed, what to type."""

from __future__ import annotations

from formers._version import __version__
from formers.errors import shorten

from . import environment
from .catalogue import look_alike, packages
from .manifest import API_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from .discovery import Found

__all__ = [
    "ambiguous",
    "api_mismatch",
    "import_hint",
    "installed",
    "load_failed",
    "not_a_model_type",
    "remote_code",
    "switched_off",
    "taken",
    "tokenizer_only",
    "unknown",
    "unknown_names",
    "unsupported_head",
]


def unknown(model_type: str, known: Collection[str]) -> str:
    """No plugin provides the type: it is in the catalogue, nearly a known one, or simply unknown."""
    first = f"No installed plugin provides model type {shorten(model_type)}."
    dist = packages().get(model_type)
    if dist is not None:
        return f"{first}\nInstall it: pip install {dist}"
    reason = look_alike(model_type)
    near = None if reason else _nearest(model_type, [*known, *packages()])
    if reason is not None:
        first += f" {reason}"
    if near is not None:
        first += f" Did you mean {near!r}?"
        if near not in known:
            first += f" Install it: pip install {packages()[near]}"
    lines = [first, f"{installed(known)} See them with: formers plugins list"]
    if near is None:
        lines.append(
            "A package that provides it has an entry point of this name in the group 'formers.models'."
        )
    return "\n".join(lines)


def not_a_model_type(value: object, known: Collection[str]) -> str:
    """The model type is not a string, or an empty one."""
    return f"model_type={shorten(value)} is not the name of a model type, such as 'acme'. {installed(known)}"


def switched_off(model_type: str, off: Sequence[tuple[Found, str]], unknown_allowed: Sequence[str]) -> str:
    """Every provider is excluded by an environment variable."""
    dists = _join(found.dist for found, _ in off)
    variables = _join(sorted({variable for _, variable in off}))
    who = f"Model type {model_type!r} is provided by {dists}, which is installed"
    text = f"{who} but switched off by {variables}."
    if unknown_allowed and environment.ALLOW in variables:
        text += f"\n{unknown_names(unknown_allowed, also=True)}"
    return text


def unknown_names(names: Sequence[str], *, also: bool = False) -> str:
    """The allow list names distributions that are not there."""
    return (
        f"{environment.ALLOW} {'also ' if also else ''}names {list(names)}, "
        "which no installed package with a formers plugin matches."
    )


def ambiguous(model_type: str, providers: Sequence[Found], preferred: str | None) -> str:
    """Several distributions claim the type."""
    text = (
        f"Model type {model_type!r} is provided by {len(providers)} installed packages: "
        f"{', '.join(found.label for found in providers)}."
    )
    if preferred is not None:
        text += f"\n{environment.PREFER} names {preferred!r} for it, which is none of them."
    choice = f"{environment.PREFER}={model_type}={providers[0].dist}"
    return f"{text}\nPick one with {choice}, or uninstall the other."


def load_failed(found: Found, reference: str, cause: BaseException) -> str:
    """Importing what an entry point, or the manifest behind it, names went wrong."""
    reason = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    what = f"model type {found.name!r}" if found.group == "formers.models" else f"hooks {found.name!r}"
    return (
        f"Plugin {found.label} ({what}) failed to load from {reference!r}:\n"
        f"{reason}\n"
        f"Other plugins are not affected. Details: formers plugins doctor {found.dist}. "
        f"Disable it: {environment.DENY}={found.dist}"
    )


def api_mismatch(who: str, dist: str | None, needed: tuple[int, int]) -> str:
    """The plugin was written for another version of the plugin interface."""
    core = _dotted(API_VERSION)
    text = f"{who} needs formers plugin API {_dotted(needed)}, but formers {__version__} has {core}."
    if needed > API_VERSION:
        return f"{text}\nUpgrade the core: pip install -U formers"
    if dist is None:
        return f"{text}\nBring it up to date, then give it api={core!r}."
    return f"{text}\nUpgrade the plugin: pip install -U {dist}"


def taken(model_type: str, by: str) -> str:
    """A name is registered or installed already."""
    return (
        f"Model type {model_type!r} is already provided by {by}. "
        "Pass exist_ok=True to replace it in this process, or choose another name."
    )


def tokenizer_only(model_type: object, who: str) -> str:
    """A configuration was asked of a type that has tokenizers and nothing else."""
    return (
        f"Model type {shorten(model_type)} ({who}) has tokenizers only, and no configuration or model: it serves "
        "AutoTokenizer. The model_type in config.json is that of the model which the tokenizer is used with."
    )


def unsupported_head(auto_name: str, model_type: object, config_class: str, heads: Collection[str]) -> str:
    """The type exists, but has no class for this Auto class or for one of its roles."""
    auto_name = auto_name.partition(":")[0]
    have = ", ".join(heads) if heads else "none"
    return (
        f"{auto_name} has no class for model type {shorten(model_type)} (configuration {config_class}).\n"
        f"Auto classes that this type has: {have}.\n"
        f"A class of your own is added with {auto_name}.register({config_class}, YourClass)."
    )


def remote_code(model_type: object, source: str, *, trusted: bool) -> str:
    """A folder brings code of its own, and no plugin provides its type, or the class if that is not known."""
    how = (
        "trust_remote_code=True is not supported yet: formers runs no code out of a model's folder."
        if trusted
        else "formers does not run it."
    )
    what = "the class" if model_type is None else f"model type {shorten(model_type)}"
    return (
        f"{source} brings its own code (auto_map), and no installed plugin provides {what}. {how}\n"
        "Make it a plugin: put the code into a package with an entry point in the group 'formers.models', "
        "or call AutoConfig.register and AutoModel.register in your program."
    )


def import_hint(class_name: str, model_type: str, providers: Sequence[Found]) -> str:
    """An architecture's class was asked of the core."""
    text = f"formers has no class {class_name!r}: classes of an architecture come from their own package.\n"
    if providers:
        return f"{text}Write: " + " or: ".join(
            f"from {found.package} import {class_name}" for found in providers
        )
    dist = packages().get(model_type, "")
    return (
        f"{text}Install it: pip install {dist}\nThen write: from {dist.replace('-', '_')} import {class_name}"
    )


def installed(known: Collection[str]) -> str:
    """A sentence that lists the installed model types."""
    return f"Installed: {', '.join(sorted(known)) or 'none'}."


def _nearest(name: str, known: Sequence[str]) -> str | None:
    import difflib  # only on the way to an error

    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None


def _join(words: Iterable[str]) -> str:
    return " and ".join(words)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
