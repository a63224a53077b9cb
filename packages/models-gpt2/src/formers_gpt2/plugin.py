"""The manifest: what this package provides, in strings only, so that finding it imports nothing else."""

from __future__ import annotations

from formers import Architecture

__all__ = ["ARCHITECTURE", "GPT_SW3"]

ARCHITECTURE = Architecture(
    "gpt2",
    api="1.0",
    config="formers_gpt2.configuration:GPT2Config",
    tokenizer="formers_gpt2.tokenization:GPT2Tokenizer",
    auto={
        "AutoModel": "formers_gpt2.modeling:GPT2Model",
        "AutoModelForPreTraining": "formers_gpt2.heads:GPT2LMHeadModel",
        "AutoModelForCausalLM": "formers_gpt2.heads:GPT2LMHeadModel",
        "AutoModelForSequenceClassification": "formers_gpt2.classification:GPT2ForSequenceClassification",
        "AutoModelForTokenClassification": "formers_gpt2.classification:GPT2ForTokenClassification",
        "AutoModelForQuestionAnswering": "formers_gpt2.classification:GPT2ForQuestionAnswering",
    },
    attention={"gpt2_decode": "formers_gpt2.decode:DECODE"},
    tiny="formers_gpt2.configuration:tiny_config",
    capabilities={
        "decoder",
        "cross_attention",
        "head_mask",
        "prune_heads",
        "gradient_checkpointing",
        "packed",
    },
)

GPT_SW3 = Architecture(
    "gpt-sw3",
    api="1.0",
    config=ARCHITECTURE.config,
    auto=ARCHITECTURE.auto,
    attention=ARCHITECTURE.attention,
    tiny=ARCHITECTURE.tiny,
    capabilities=ARCHITECTURE.capabilities,
    aliases=("gpt2",),
)
"""GPT-Sw3 (Ekgren et al. 2023, arXiv 2305.12987): the same model under another type, with a tokenizer of its own.

Its configurations are ``GPT2Config``, so a model that is made from one is of type ``gpt2``; the alias says so.
"""
