"""``add_bos_token`` and ``add_eos_token``: whether the pipeline begins and ends every text with a special token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import processors

from formers.errors import TextInputError, shorten
from formers.tokenization.template import Template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.backend import TokenizersBackend

__all__ = ["BOUNDARIES", "Boundary", "change_boundaries", "with_template"]

BOUNDARIES = ("add_bos_token", "add_eos_token")


class Boundary:
    """The attribute ``add_bos_token`` or ``add_eos_token``: what the pipeline does; setting it changes the pipeline."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tokenizer: TokenizersBackend | None, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = getattr(tokenizer, self._name.removeprefix("add_"))
        return has_boundary(tokenizer.backend_tokenizer, self._name, token)

    def __set__(self, tokenizer: TokenizersBackend, value: bool) -> None:
        change_boundaries(tokenizer, {self._name: value})


def with_template(backend: Tokenizer) -> Tokenizer:
    """The pipeline; one that has no template gets one without special tokens, so that pairs have two types."""
    if backend.post_processor is None:
        backend.post_processor = _post_processor(backend, None, None)
    return backend


def has_boundary(backend: Tokenizer, name: str, token: str | None) -> bool:
    """Whether a pipeline, whose truncation and padding are off, puts ``token`` at that end of every text."""
    if token is None:
        return False
    try:
        parts = Template.of(backend, pair=False).parts
    except TextInputError:  # no text has a token
        return False
    sequence, token_id, _ = parts[0 if name == "add_bos_token" else -1]
    return sequence is None and token_id == backend.token_to_id(token)


def change_boundaries(tokenizer: TokenizersBackend, wanted: dict[str, bool]) -> None:
    """Let the pipeline begin or end every text with the special token, or no longer.

    Raises ``TextInputError`` if there is no such token.
    """
    for name, value in wanted.items():
        role = name.removeprefix("add_")
        if not isinstance(value, bool):
            raise TextInputError(f"{name}={shorten(value)}: expected True or False")
        if value and getattr(tokenizer, role) is None:
            raise TextInputError(f"{name}=True: the tokenizer has no {role}; pass one")
    if all(getattr(tokenizer, name) is value for name, value in wanted.items()):
        return
    changed = {name: wanted.get(name, getattr(tokenizer, name)) for name in BOUNDARIES}
    tokens = [getattr(tokenizer, name.removeprefix("add_")) if changed[name] else None for name in BOUNDARIES]
    backend = tokenizer.backend_tokenizer
    backend.post_processor = _post_processor(backend, *tokens)


def _post_processor(backend: Tokenizer, begin: str | None, end: str | None) -> Any:
    special = [
        {"id": label, "ids": [backend.token_to_id(token)], "tokens": [token]}
        for label, token in (("bos", begin), ("eos", end))
        if token is not None
    ]

    def around(slot: str, type_id: int) -> list[str]:
        pieces = ("bos" if begin is not None else None, slot, "eos" if end is not None else None)
        return [f"{piece}:{type_id}" for piece in pieces if piece is not None]

    template = processors.TemplateProcessing(
        single=around("$A", 0), pair=[*around("$A", 0), *around("$B", 1)], special_tokens=special
    )
    present = backend.post_processor
    stages = [*present] if isinstance(present, processors.Sequence) else [present]  # type: ignore[misc]
    offsets = [stage for stage in stages if isinstance(stage, processors.ByteLevel)]  # these add no tokens
    return processors.Sequence([*offsets, template]) if offsets else template
