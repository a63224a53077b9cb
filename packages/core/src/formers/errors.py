"""Exceptions and warnings.

Every message names the file or field, the offending value, what was expected and the remedy.
Each type also inherits what users of transformers already catch, as far as Python allows.
"""

from __future__ import annotations

import sys
import warnings

TYPE_CHECKING = False  # the value of typing.TYPE_CHECKING, without the cost of importing typing
if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "AttentionNotInstalledError",
    "AttentionUnsupported",
    "ConfigValidationError",
    "ConfigWarning",
    "CorruptFileError",
    "FormersError",
    "FormersWarning",
    "GenerationArgumentError",
    "GenerationError",
    "GenerationWarning",
    "LoadError",
    "MissingExtraError",
    "MissingWeightsError",
    "MissingWeightsWarning",
    "PluginConflictError",
    "PluginLoadError",
    "PluginWarning",
    "ResourceLimitError",
    "ShapeMismatchError",
    "TemplateError",
    "TextInputError",
    "TokenizerWarning",
    "UnexpectedWeightsWarning",
    "UnknownModelTypeError",
    "UnsafePathError",
    "UnsupportedHeadError",
    "shorten",
    "warn",
]


class FormersError(Exception):
    """Base of every exception that formers raises on purpose."""


class LoadError(FormersError, OSError, ValueError):
    """A file or folder could not be found, read or understood."""


class CorruptFileError(LoadError):
    """A file is there, but its content is not what its format promises."""


class UnsafePathError(LoadError):
    """A name read from data points outside the folder that it belongs to."""


class ResourceLimitError(LoadError):
    """Reading on would take more memory or time than the documented limit."""


class ShapeMismatchError(LoadError, RuntimeError):
    """Stored tensors do not have the shape or kind that the model declares."""


class MissingWeightsError(LoadError, RuntimeError):
    """Weights that the model class does not declare optional are absent from the checkpoint."""


class ConfigValidationError(FormersError, ValueError, TypeError):
    """A configuration value has the wrong type or lies outside its range."""


class GenerationArgumentError(ConfigValidationError):
    """An argument or a setting of a call of ``generate`` cannot be right; raised before the model runs."""


class GenerationError(FormersError, RuntimeError):
    """Generation stopped half-way; what was generated so far is not lost.

    Attributes:
        sequences: int64 [rows, length], the tokens up to the failure, prompts included; None before the first one.
        row: the row that failed, if it was one.
        step: how many tokens each row had been given by then.
    """

    def __init__(
        self,
        message: str,
        *,
        sequences: Tensor | None = None,
        row: int | None = None,
        step: int | None = None,
    ) -> None:
        super().__init__(message)
        self.sequences = sequences
        self.row = row
        self.step = step


class TextInputError(FormersError, ValueError, TypeError):
    """What a tokenizer was given is not text, tokens or ids that it can take."""


class TemplateError(FormersError, ValueError):
    """A chat template is wrong, refuses the conversation, or asks for too much work.

    Errors of rendering also inherit the error of jinja2 that transformers would let through.
    """


class UnknownModelTypeError(FormersError, ValueError, KeyError):
    """No installed or registered architecture provides the model type."""

    __str__ = Exception.__str__  # KeyError would show the repr of the message


class UnsupportedHeadError(FormersError, ValueError):
    """The architecture exists, but has no class for the Auto class that was asked."""


class PluginLoadError(FormersError, ImportError):
    """A plugin is installed but could not be imported, or needs another plugin API."""


class PluginConflictError(FormersError, ValueError):
    """Two distributions, or a registration and a distribution, claim the same name."""


class MissingExtraError(FormersError, ImportError):
    """A feature needs an optional dependency that is not installed."""


class AttentionUnsupported(FormersError, ValueError):  # noqa: N818 - the public name of the design
    """The attention implementation asked for by name cannot serve this call."""


class AttentionNotInstalledError(AttentionUnsupported, ImportError):
    """The attention implementation is known, but no installed package provides it."""


class FormersWarning(UserWarning):
    """Base of every warning that formers issues."""


class ConfigWarning(FormersWarning):
    """A configuration argument looks like a misspelt field."""


class GenerationWarning(FormersWarning):
    """A setting of ``generate`` has no effect, or two of them say different things."""


class MissingWeightsWarning(FormersWarning):
    """Optional weights were absent from the checkpoint and have been initialised."""


class UnexpectedWeightsWarning(FormersWarning):
    """The checkpoint holds weights that the model does not have; they were dropped."""


class TokenizerWarning(FormersWarning):
    """A tokenizer did something that the caller may not expect, such as making a too long sequence."""


class PluginWarning(FormersWarning):
    """A plugin setting has no effect, or a name had to be guessed."""


def shorten(value: object, limit: int = 200) -> str:
    """The ``repr`` of a value for an error message, at most ``limit`` characters."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a hostile or half-built object must not hide the real error
        text = f"<{type(value).__name__}, repr failed with {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def warn(message: str, category: type[Warning] = FormersWarning) -> None:
    """Issue a warning that points to the caller's own code: the first line outside of formers and its plugins."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    package = module.partition(".")[0]
    return package == "formers" or package.startswith("formers_")
