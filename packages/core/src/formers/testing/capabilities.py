"""What an architecture may say that it can do; what it says is then checked."""

from __future__ import annotations

from difflib import get_close_matches

__all__ = ["CAPABILITIES", "problems_of"]

CAPABILITIES = {
    "encoder": "every token reads every other",
    "decoder": "keys and values are cached, and tokens are generated",
    "cross_attention": "a decoder reads the states of an encoder",
    "head_mask": "attention heads are weighted by head_mask",
    "prune_heads": "attention heads can be removed",
    "gradient_checkpointing": "layers can be run again instead of keeping their activations",
    "packed": "documents can lie one after another, without padding between them (of an encoder-decoder: the source)",
}


def problems_of(capabilities: frozenset[str]) -> list[str]:
    """A line for each word that means nothing: the checks that it was to switch on would be left out."""
    problems = []
    for word in sorted(capabilities - CAPABILITIES.keys()):
        near = get_close_matches(word, CAPABILITIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CAPABILITIES)}."
        problems.append(f"capabilities names {word!r}, which does not exist; {hint}")
    return problems
