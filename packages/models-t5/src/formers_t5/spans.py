"""Span corruption, the pretraining of T5 (Raffel et al. 2020, arXiv 1910.10683, sections 3.1.4 and 3.3.4).

Of n tokens, ``round(density n)`` are noise, at least one, and one stays where there are two. They lie in
``round(noise / mean length)`` spans with something between any two of them; every such arrangement is equally likely.
(The released code never corrupts the first token and always the last; here neither is special.)

In the inputs a sentinel stands for each span. The targets are the spans, each behind its sentinel, and one last
sentinel. Both end with the end token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from formers.collating import fraction, positive, whole
from formers.errors import ConfigValidationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

__all__ = ["SpanCorruption", "SpanLengths", "span_corruption_lengths"]


class SpanLengths(NamedTuple):
    """How many tokens a text has, and what span corruption makes of so many."""

    tokens: int
    inputs: int
    targets: int


class SpanCorruption(NamedTuple):
    """How much of a text becomes noise.

    Attributes:
        density: noise tokens of all tokens, between 0 and 1.
        span_length: mean tokens of a span, at least 1.
    """

    density: float = 0.15
    span_length: float = 3.0

    def checked(self) -> SpanCorruption:
        """These settings.

        Raises:
            ConfigValidationError: one lies outside its range, or so many short spans could not be kept apart.
        """
        density = fraction("noise_density", self.density, ends=False)
        length = positive("mean_noise_span_length", self.span_length)
        if density / length > 1 - density:
            raise ConfigValidationError(
                f"noise_density={density} and mean_noise_span_length={length}: too few tokens are left to stand "
                f"between the spans; expected a mean length of at least {density / (1 - density):.2f}."
            )
        return self

    def counts(self, tokens: int) -> tuple[int, int]:
        """Noise tokens and spans of so many tokens, at least one."""
        noise = max(1, min(_rounded(tokens * self.density), tokens - 1))
        return noise, max(1, _rounded(noise / self.span_length))

    def lengths(self, tokens: int) -> SpanLengths:
        """The lengths of what so many tokens become, end tokens included."""
        noise, spans = self.counts(tokens)
        return SpanLengths(tokens, tokens - noise + spans + 1, noise + spans + 2)

    def filling(self, inputs: int) -> SpanLengths:
        """The most tokens whose inputs are not longer than ``inputs``, at least 2: exactly as long, that is.

        One token more makes the inputs longer by one, or not at all, so no length is skipped.
        """
        least, most = 1, 2
        while self.lengths(most).inputs <= inputs:
            least, most = most, 2 * most
        while most - least > 1:
            middle = (least + most) // 2
            if self.lengths(middle).inputs <= inputs:
                least = middle
            else:
                most = middle
        return self.lengths(least)

    def noise_mask(self, tokens: int, random: np.random.Generator) -> NDArray[np.bool_]:
        """True for noise, bool [tokens]."""
        import numpy as np

        noise, spans = self.counts(tokens)
        kept = tokens - noise
        lengths = np.empty(2 * spans + 1, dtype=np.int64)
        # Kept tokens before, between and behind the spans; only between them there must be one.
        lengths[0::2] = _parts(kept + 2, spans + 1, random)
        lengths[[0, -1]] -= 1
        lengths[1::2] = _parts(noise, spans, random)
        return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def span_corruption_lengths(
    input_length: int, noise_density: float = 0.15, mean_noise_span_length: float = 3.0
) -> SpanLengths:
    """How long texts must be so that their inputs are exactly ``input_length`` long, and how long targets are then.

    All are counted in tokens: the inputs and targets with the end token, the text without.

    Raises:
        ConfigValidationError: an argument lies outside its range.
    """
    corruption = SpanCorruption(noise_density, mean_noise_span_length).checked()
    return corruption.filling(whole("input_length", input_length, least=2))


def corrupted(ids: Ids, noise: NDArray[np.bool_], sentinels: Ids, end: int) -> tuple[Ids, Ids]:
    """Inputs and targets of a text.

    Args:
        ids: the text, without end token.
        noise: bool, as long; True for noise.
        sentinels: one more than there are spans, at least.
        end: the id of the end token.
    """
    import numpy as np

    begins = noise & ~np.concatenate(([False], noise[:-1]))
    marks = sentinels[begins.cumsum() - 1]
    inputs = np.where(begins, marks, ids)[begins | ~noise]
    # Each token of a span, and in front of the first one its sentinel.
    repeats = noise.astype(np.int64) + begins
    targets = np.repeat(ids, repeats)
    places = (repeats.cumsum() - repeats)[begins]
    targets[places] = marks[begins]
    return np.append(inputs, end), np.append(targets, (sentinels[len(places)], end))


def _parts(total: int, count: int, random: np.random.Generator) -> Ids:
    """Whole numbers of at least one that add up to ``total``; all choices are equally likely."""
    import numpy as np

    cuts = np.sort(random.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


def _rounded(value: float) -> int:
    """The nearest whole number; a half is rounded up, so that a step of less than 1 never becomes one of 2."""
    return int(value + 0.5)
