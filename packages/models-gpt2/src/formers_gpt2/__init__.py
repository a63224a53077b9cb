"""GPT-2 for formers: configuration, six model classes and a tokenizer.

Names are imported when they are first used, so that the configuration and the tokenizer need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .classification import GPT2ForQuestionAnswering as GPT2ForQuestionAnswering
    from .classification import GPT2ForSequenceClassification as GPT2ForSequenceClassification
    from .classification import GPT2ForTokenClassification as GPT2ForTokenClassification
    from .configuration import GPT2Config as GPT2Config
    from .heads import GPT2DoubleHeadsModel as GPT2DoubleHeadsModel
    from .heads import GPT2DoubleHeadsModelOutput as GPT2DoubleHeadsModelOutput
    from .heads import GPT2LMHeadModel as GPT2LMHeadModel
    from .modeling import GPT2Model as GPT2Model
    from .modeling import GPT2PreTrainedModel as GPT2PreTrainedModel
    from .tokenization import GPT2Tokenizer as GPT2Tokenizer
    from .tokenization import GPT2TokenizerFast as GPT2TokenizerFast

_MODULES = {
    "GPT2Config": "configuration",
    "GPT2DoubleHeadsModel": "heads",
    "GPT2DoubleHeadsModelOutput": "heads",
    "GPT2ForQuestionAnswering": "classification",
    "GPT2ForSequenceClassification": "classification",
    "GPT2ForTokenClassification": "classification",
    "GPT2LMHeadModel": "heads",
    "GPT2Model": "modeling",
    "GPT2PreTrainedModel": "modeling",
    "GPT2Tokenizer": "tokenization",
    "GPT2TokenizerFast": "tokenization",
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
