"""The manifest: what this package provides, in strings only, so that finding it imports nothing else."""

from __future__ import annotations

from formers import Architecture

__all__ = ["ARCHITECTURE"]

ARCHITECTURE = Architecture(
    "example",
    api="1.0",
    config="formers_example.configuration:ExampleConfig",
    auto={
        "AutoModel": "formers_example.modeling:ExampleModel",
        "AutoModelForCausalLM": "formers_example.modeling:ExampleForCausalLM",
    },
    tiny="formers_example.configuration:tiny_config",
    capabilities={"decoder", "gradient_checkpointing"},
)
