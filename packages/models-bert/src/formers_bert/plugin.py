"""The manifest: what this package provides, in strings only, so that finding it imports nothing else."""

from __future__ import annotations

from formers import Architecture

__all__ = ["ARCHITECTURE"]

ARCHITECTURE = Architecture(
    "bert",
    api="1.0",
    config="formers_bert.configuration:BertConfig",
    tokenizer="formers_bert.tokenization:BertTokenizer",
    slow_tokenizer="formers_bert.tokenization:BertTokenizerLegacy",
    auto={
        "AutoModel": "formers_bert.modeling:BertModel",
        "AutoModelForTextEncoding": "formers_bert.modeling:BertModel",
        "AutoModelForPreTraining": "formers_bert.heads:BertForPreTraining",
        "AutoModelForCausalLM": "formers_bert.heads:BertLMHeadModel",
        "AutoModelForMaskedLM": "formers_bert.heads:BertForMaskedLM",
        "AutoModelForNextSentencePrediction": "formers_bert.classification:BertForNextSentencePrediction",
        "AutoModelForSequenceClassification": "formers_bert.classification:BertForSequenceClassification",
        "AutoModelForMultipleChoice": "formers_bert.classification:BertForMultipleChoice",
        "AutoModelForTokenClassification": "formers_bert.classification:BertForTokenClassification",
        "AutoModelForQuestionAnswering": "formers_bert.classification:BertForQuestionAnswering",
    },
    attention={"bert_varlen": "formers_bert.varlen:VARLEN"},
    tiny="formers_bert.configuration:tiny_config",
    capabilities={
        "encoder",
        "decoder",
        "cross_attention",
        "head_mask",
        "prune_heads",
        "gradient_checkpointing",
        "packed",
    },
)
