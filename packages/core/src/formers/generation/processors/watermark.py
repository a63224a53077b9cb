"""A watermark that a detector can find in generated text (Kirchenbauer et al. 2023, 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.errors import GenerationWarning, shorten, warn

from .base import LogitsProcessor
from .checks import number, whole

__all__ = ["WatermarkLogitsProcessor"]

TABLE_SIZE = 1_000_003
SCHEMES = ("lefthash", "selfhash")
# How many of the likeliest tokens "selfhash" asks whether they would make themselves green.
TRIED = 40


class WatermarkLogitsProcessor(LogitsProcessor):
    """Raises the scores of "green" tokens, a part of the vocabulary that a hash of the last tokens chooses.

    The hash seeds a random permutation, so that the host waits for the last tokens of each row at each step.

    Args:
        vocab_size: of the scores.
        device: where permutations are drawn; they differ between kinds of device.
        greenlist_ratio: the green part of the vocabulary.
        bias: what is added to green scores.
        hashing_key: a secret number, which the detector needs.
        seeding_scheme: "lefthash" hashes the last token (algorithm 2), "selfhash" also the next one (algorithm 3),
            which takes 40 permutations for each row.
        context_width: how many last tokens "selfhash" uses, the next one included.
    """

    def __init__(
        self,
        vocab_size: int,
        device: str | torch.device,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        if seeding_scheme not in SCHEMES:
            raise ValueError(
                f"`seeding_scheme` is {shorten(seeding_scheme)}; expected one of {', '.join(SCHEMES)}."
            )
        ratio = number("greenlist_ratio", greenlist_ratio, "0.25 is usual", above=0, below=1)
        self.vocab_size = whole("vocab_size", vocab_size, 1, "the number of scores of a row")
        self.greenlist_size = int(self.vocab_size * ratio)
        self.bias = number("bias", bias, "0.5 to 2.0 are usual")
        self.seeding_scheme = seeding_scheme
        self.hash_key = whole("hashing_key", hashing_key, 1, "choose a large number and keep it")
        self.context_width = whole("context_width", context_width, 1, "1 uses the last token")
        self.rng = torch.Generator(device=device)
        self.fixed_table: Tensor | None = None
        if seeding_scheme == "selfhash":
            self.rng.manual_seed(self.hash_key)
            self.fixed_table = torch.randperm(TABLE_SIZE, generator=self.rng, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] < self.context_width:
            warn(
                f"The text has {input_ids.shape[-1]} tokens, but the watermark's context_width is "
                f"{self.context_width}: no watermark until it is that long.",
                GenerationWarning,
            )
            return scores
        marked = scores.clone()
        for row, tokens in enumerate(input_ids):
            green = (
                self._green(tokens) if self.fixed_table is None else self._green_itself(tokens, scores[row])
            )
            marked[row, green] += self.bias
        return marked

    def _green(self, tokens: Tensor) -> Tensor:
        """The green tokens after these, int64 [greenlist_size]."""
        self.rng.manual_seed(self._seed(tokens[-self.context_width :]) % (2**64 - 1))
        permutation = torch.randperm(self.vocab_size, generator=self.rng, device=self.rng.device)
        return permutation[: self.greenlist_size]

    def _seed(self, context: Tensor) -> int:
        if self.fixed_table is None:
            return self.hash_key * int(context[-1])
        first = self.fixed_table[context % TABLE_SIZE] + 1
        last = self.fixed_table[context[-1] % TABLE_SIZE] + 1
        return int((self.hash_key * first * last).min())

    def _green_itself(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """Likely tokens that are green after themselves."""
        context = tokens[-self.context_width :]
        found = [
            token
            for token in scores.argsort(descending=True)[:TRIED]
            if bool((self._green(torch.cat((context, token[None]))) == token).any())
        ]
        return torch.stack(found) if found else tokens.new_empty(0)
