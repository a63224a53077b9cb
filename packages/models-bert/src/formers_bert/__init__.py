"""BERT for formers: configuration, nine model classes and a tokenizer.

Names are imported when they are first used, so that the configuration and the tokenizer need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .classification import BertForMultipleChoice as BertForMultipleChoice
    from .classification import BertForNextSentencePrediction as BertForNextSentencePrediction
    from .classification import BertForQuestionAnswering as BertForQuestionAnswering
    from .classification import BertForSequenceClassification as BertForSequenceClassification
    from .classification import BertForTokenClassification as BertForTokenClassification
    from .collating import DataCollatorForLanguageModeling as DataCollatorForLanguageModeling
    from .configuration import BertConfig as BertConfig
    from .heads import BertForMaskedLM as BertForMaskedLM
    from .heads import BertForPreTraining as BertForPreTraining
    from .heads import BertForPreTrainingOutput as BertForPreTrainingOutput
    from .heads import BertLMHeadModel as BertLMHeadModel
    from .modeling import BertModel as BertModel
    from .modeling import BertPreTrainedModel as BertPreTrainedModel
    from .pairs import sentence_pairs as sentence_pairs
    from .tokenization import BertTokenizer as BertTokenizer
    from .tokenization import BertTokenizerFast as BertTokenizerFast
    from .tokenization import BertTokenizerLegacy as BertTokenizerLegacy

_MODULES = {
    "BertConfig": "configuration",
    "BertForMaskedLM": "heads",
    "BertForMultipleChoice": "classification",
    "BertForNextSentencePrediction": "classification",
    "BertForPreTraining": "heads",
    "BertForPreTrainingOutput": "heads",
    "BertForQuestionAnswering": "classification",
    "BertForSequenceClassification": "classification",
    "BertForTokenClassification": "classification",
    "BertLMHeadModel": "heads",
    "BertModel": "modeling",
    "BertPreTrainedModel": "modeling",
    "BertTokenizer": "tokenization",
    "BertTokenizerFast": "tokenization",
    "BertTokenizerLegacy": "tokenization",
    "DataCollatorForLanguageModeling": "collating",
    "sentence_pairs": "pairs",
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
