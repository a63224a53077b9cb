"""A small tokenizer of the architecture under test, and texts for it. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.tokenization.corpus import texts as corpus

from .checks import NotApplicable, require

if TYPE_CHECKING:
    from .subject import Subject

__all__ = ["SENTENCES", "TEXTS", "make_tokenizer"]

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "It's 5 o'clock, isn't it? (Perhaps!)",
    "Colourless green ideas sleep furiously; we don't.",
    "naïve café, ÅNGSTRÖM, straße, 東京, 🙂 and e\u0301",
    "tabs\tand\nnew lines,  two spaces",
    "a",
)
TEXTS = (*SENTENCES, "", " ", *corpus()[8:400:4])
"""What tokenizers are tried on: sentences, and some of the texts on which tokenizers differ."""

_SIZE = 400


def make_tokenizer(subject: Subject) -> Any:
    """A tokenizer with some hundred tokens.

    Raises:
        NotApplicable: the manifest names no tokenizer.
        AssertionError: it cannot be made, and ``tiny`` brings none.
    """
    if subject.architecture.tiny is not None:
        make = subject.tiny().tokenizer
        if make is not None:
            return make()
    reference = subject.architecture.tokenizer or subject.architecture.slow_tokenizer
    if reference is None:
        raise NotApplicable("the manifest names no tokenizer")
    cls: Any = subject.provider.load_class(reference)
    try:
        empty = cls()
    except TypeError as error:
        raise _advice(cls, error) from error
    require(hasattr(empty, "train_new_from_iterator"), str(_advice(cls, "it cannot be trained")))
    return empty.train_new_from_iterator([*SENTENCES, *TEXTS] * 2, _SIZE, show_progress=False)


def _advice(cls: type, why: object) -> AssertionError:
    return AssertionError(
        f"{cls.__name__} cannot be made without files ({why}); let the manifest's tiny give a formers.testing.Tiny "
        "with a tokenizer."
    )
