"""T5 for formers: configurations, six model classes and a tokenizer.

Names are imported when they are first used, so that the configuration and the tokenizer need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .classification import T5ForQuestionAnswering as T5ForQuestionAnswering
    from .classification import T5ForSequenceClassification as T5ForSequenceClassification
    from .classification import T5ForTokenClassification as T5ForTokenClassification
    from .collating import DataCollatorForT5MLM as DataCollatorForT5MLM
    from .configuration import MT5Config as MT5Config
    from .configuration import T5Config as T5Config
    from .heads import T5ForConditionalGeneration as T5ForConditionalGeneration
    from .modeling import T5EncoderModel as T5EncoderModel
    from .modeling import T5PreTrainedModel as T5PreTrainedModel
    from .seq2seq import T5Model as T5Model
    from .spans import SpanLengths as SpanLengths
    from .spans import span_corruption_lengths as span_corruption_lengths
    from .tokenization import MT5Tokenizer as MT5Tokenizer
    from .tokenization import MT5TokenizerFast as MT5TokenizerFast
    from .tokenization import T5Tokenizer as T5Tokenizer
    from .tokenization import T5TokenizerFast as T5TokenizerFast

_MODULES = {
    "DataCollatorForT5MLM": "collating",
    "MT5Config": "configuration",
    "MT5Tokenizer": "tokenization",
    "MT5TokenizerFast": "tokenization",
    "SpanLengths": "spans",
    "T5Config": "configuration",
    "T5EncoderModel": "modeling",
    "T5ForConditionalGeneration": "heads",
    "T5ForQuestionAnswering": "classification",
    "T5ForSequenceClassification": "classification",
    "T5ForTokenClassification": "classification",
    "T5Model": "seq2seq",
    "T5PreTrainedModel": "modeling",
    "T5Tokenizer": "tokenization",
    "T5TokenizerFast": "tokenization",
    "span_corruption_lengths": "spans",
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
