"""The manifest: what this package provides, in strings only, so that finding it imports nothing else."""

from __future__ import annotations

from formers import Architecture

__all__ = ["ARCHITECTURE", "MT5"]

ARCHITECTURE = Architecture(
    "t5",
    api="1.0",
    config="formers_t5.configuration:T5Config",
    tokenizer="formers_t5.tokenization:T5Tokenizer",
    auto={
        "AutoModel": "formers_t5.seq2seq:T5Model",
        "AutoModelForPreTraining": "formers_t5.heads:T5ForConditionalGeneration",
        "AutoModelForSeq2SeqLM": "formers_t5.heads:T5ForConditionalGeneration",
        "AutoModelForSequenceClassification": "formers_t5.classification:T5ForSequenceClassification",
        "AutoModelForTokenClassification": "formers_t5.classification:T5ForTokenClassification",
        "AutoModelForQuestionAnswering": "formers_t5.classification:T5ForQuestionAnswering",
        "AutoModelForTextEncoding": "formers_t5.modeling:T5EncoderModel",
    },
    attention={"t5_relbias": "formers_t5.relbias:RELBIAS", "t5_decode": "formers_t5.decode:DECODE"},
    tiny="formers_t5.configuration:tiny_config",
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

MT5 = Architecture(
    "mt5",
    api="1.0",
    config="formers_t5.configuration:MT5Config",
    tokenizer=ARCHITECTURE.tokenizer,
    auto=ARCHITECTURE.auto,
    attention=ARCHITECTURE.attention,
    tiny="formers_t5.configuration:tiny_mt5_config",
    capabilities=ARCHITECTURE.capabilities,
)
"""mT5 (Xue et al. 2021, arXiv 2010.11934): the same model with other sizes and a vocabulary of its own."""
