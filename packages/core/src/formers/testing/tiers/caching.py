"""Tier ``numerics``: what is cached is what would be computed again (law 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.cache import Cache, DynamicCache, EncoderDecoderCache, StaticCache
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, served
from formers.testing.subject import Subject

CACHES = ("dynamic", "static", "encoder-decoder", "encoder-decoder, static")
ROOM = 12
STEPS = 8


class Target:
    """The tokens of a decoder, given to ``forward`` a part at a time."""

    def __init__(
        self,
        subject: Subject,
        head: Head,
        attention: str | None = None,
        dtype: torch.dtype = torch.float64,
        **overrides: Any,
    ) -> None:
        models = subject.models
        self.model = models.build(head, attention, dtype, **overrides)
        self.crosses = models.is_encoder_decoder
        self.name = "decoder_input_ids" if self.crosses else "input_ids"
        ids = [Rows(models, head, (STEPS,), seed).rows[0]["input_ids"] for seed in (1, 2)]
        self.ids = torch.cat(ids)
        self.given: dict[str, Any] = {}
        if self.crosses:
            batch = Rows(models, head, (5, 3)).batch("left")
            self.given = {name: value for name, value in batch.inputs.items() if name != self.name}

    def cache(self, name: str) -> Cache:
        """An empty cache of a class in ``CACHES``."""
        own = (
            StaticCache(config=self.model.config, max_cache_len=ROOM) if name == "static" else DynamicCache()
        )
        return EncoderDecoderCache(own, DynamicCache()) if self.crosses else own

    def logits(self, start: int, end: int, cache: Cache | None = None, **more: Any) -> Tensor:
        """Scores of the tokens from ``start`` to ``end``; without a cache those before are given, too."""
        given = {**self.given, self.name: self.ids[:, start:end], **more}
        if cache is None:
            return run(self.model, given, use_cache=False).logits  # type: ignore[no-any-return]
        output = run(self.model, given, past_key_values=cache, use_cache=True)
        require(output.past_key_values is cache, "the cache that was given is not the one returned")
        require(
            cache.get_seq_length() == end, f"the cache holds {cache.get_seq_length()} positions, not {end}"
        )
        return output.logits  # type: ignore[no-any-return]


def cached_heads(subject: Subject) -> list[Head]:
    """The classes that take a cache and score tokens."""
    heads = [head for head in subject.models.generating() if "past_key_values" in head.arguments]
    if not heads:
        raise NotApplicable("no class that generates takes past_key_values")
    return heads


def _cached_is_uncached(
    subject: Subject, head: Head, attention: str, name: str, parts: Sequence[int], dtype: torch.dtype
) -> None:
    target = Target(subject, head, attention, dtype)
    cache, found, start = target.cache(name), [], 0
    for part in parts:
        found.append(target.logits(start, start + part, cache))
        start += part
    close(torch.cat(found, dim=1), target.logits(0, start), "logits")


def _in_parts(subject: Subject, cases: Cases, parts: Sequence[int], gradients: bool) -> None:
    for head in cached_heads(subject):
        for attention in subject.models.attentions:
            for name in CACHES:
                with cases(head, attention, name), torch.set_grad_enabled(gradients):
                    served(attention, partial(_cached_is_uncached, subject, head, attention, name, parts))


@check("numerics.cache_steps", needs=("decoder",), law=4)
def cache_steps(subject: Subject, cases: Cases) -> None:
    """One token after another through every cache class is the whole at once."""
    _in_parts(subject, cases, [1] * STEPS, gradients=False)


@check("numerics.cache_chunks", needs=("decoder",), law=4)
def cache_chunks(subject: Subject, cases: Cases) -> None:
    """So are several tokens at a time, after a prompt, and with gradients."""
    _in_parts(subject, cases, [3, 1, 4], gradients=True)


@check("numerics.cache_left_padding", needs=("decoder",), law=4)
def cache_left_padding(subject: Subject, cases: Cases) -> None:
    """Rows of different lengths, aligned on the right, go through a cache as each does alone."""
    for head in cached_heads(subject):
        for attention in subject.models.attentions:
            for name in CACHES:
                with cases(head, attention, name), torch.no_grad():
                    served(attention, partial(_aligned_is_alone, subject, head, attention, name))


def _aligned_is_alone(subject: Subject, head: Head, attention: str, name: str, dtype: torch.dtype) -> None:
    target = Target(subject, head, attention, dtype)
    argument = "decoder_attention_mask" if target.crosses else "attention_mask"
    if argument not in head.arguments:
        raise NotApplicable(f"forward has no {argument}")
    mask = torch.ones(2, STEPS, dtype=torch.int64)
    mask[0, :3] = 0
    cache, found = target.cache(name), []
    for start, end in ((0, 5), (5, 6), (6, STEPS)):
        found.append(target.logits(start, end, cache, **{argument: mask[:, :end]}))
    logits = torch.cat(found, dim=1)
    close(logits[1], target.logits(0, STEPS)[1], "row without padding")
    target.ids = target.ids[:, 3:]
    close(logits[0, 3:], target.logits(0, STEPS - 3)[0], "row with padding")


@check("numerics.cache_reuse", needs=("decoder",), law=4)
def cache_reuse(subject: Subject, cases: Cases) -> None:
    """A cache that was cropped or reset goes on as a new one."""
    for head in cached_heads(subject):
        target = Target(subject, head)
        for name in CACHES:
            with cases(head, name), torch.no_grad():
                expected = target.logits(0, STEPS)
                cache = target.cache(name)
                target.logits(0, STEPS, cache)
                cache.crop(-3)
                close(target.logits(STEPS - 3, STEPS, cache), expected[:, STEPS - 3 :], "after crop")
                cache.reset()
                close(target.logits(0, STEPS, cache), expected, "after reset")


@check("numerics.cache_reorder", needs=("decoder",), law=4)
def cache_reorder(subject: Subject, cases: Cases) -> None:
    """Rows of a cache can change places, as beams do."""
    for head in cached_heads(subject):
        target = Target(subject, head)
        for name in CACHES:
            with cases(head, name), torch.no_grad():
                expected = target.logits(0, STEPS)
                cache = target.cache(name)
                target.logits(0, 5, cache)
                order = torch.tensor([1, 0])
                cache.reorder_cache(order)
                swapped: dict[str, Any] = {key: value[order] for key, value in target.given.items()}
                target.ids = target.ids[order]
                found = target.logits(5, STEPS, cache, **swapped)
                target.ids = target.ids[order]
                close(found, expected[order, 5:], "logits")


@check("numerics.cross_attention", needs=("cross_attention",), law=4)
def cross_attention(subject: Subject, cases: Cases) -> None:
    """Padding of what a decoder reads changes nothing, and what it read is cached."""
    if subject.models.is_encoder_decoder:
        raise NotApplicable("its own encoder is behind every other check")
    for head in cached_heads(subject):
        for attention in subject.models.attentions:
            with cases(head, attention), torch.no_grad():
                served(attention, partial(_crosses, subject, head, attention))


def _crosses(subject: Subject, head: Head, attention: str, dtype: torch.dtype) -> None:
    target = Target(subject, head, attention, dtype, add_cross_attention=True)
    width = target.model.config.hidden_size
    states = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(
        dtype
    )
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    given: dict[str, Any] = {"encoder_hidden_states": states, "encoder_attention_mask": mask}
    whole = target.logits(0, STEPS, **given)
    alone = run(target.model, {"input_ids": target.ids[1:]}, encoder_hidden_states=states[1:, 2:])
    close(whole[1:], alone.logits, "padded source")
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    parts = [target.logits(0, 5, cache, **given), target.logits(5, STEPS, cache, **given)]
    close(torch.cat(parts, dim=1), whole, "cached source")
