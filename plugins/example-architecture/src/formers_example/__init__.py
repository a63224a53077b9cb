"""Example for formers: configuration and models.

Names are imported when they are first used, so that the configuration needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .configuration import ExampleConfig as ExampleConfig
    from .modeling import ExampleForCausalLM as ExampleForCausalLM
    from .modeling import ExampleModel as ExampleModel

_MODULES = {
    "ExampleConfig": "configuration",
    "ExampleForCausalLM": "modeling",
    "ExampleModel": "modeling",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
