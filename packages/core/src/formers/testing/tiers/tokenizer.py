"""Tier ``tokenizer``: what comes out of text, and how far it leads back. No torch here."""

from __future__ import annotations

from typing import Any

from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.subject import Subject
from formers.testing.texts import SENTENCES, TEXTS


def _ids(tokenizer: Any, text: str, **options: Any) -> list[int]:
    return list(tokenizer(text, **options)["input_ids"])


@check("tokenizer.round_trip")
def round_trip(subject: Subject, cases: Cases) -> None:
    """Decoded and encoded again, a text has the same tokens: decoding loses nothing that encoding had kept."""
    tokenizer = subject.tokenizer
    unknown = getattr(tokenizer, "unk_token_id", None)
    for number, text in enumerate(TEXTS):
        with cases(f"text {number}, {text[:30]!r}"):
            ids = _ids(tokenizer, text, add_special_tokens=False)
            if unknown in ids or set(ids) & set(tokenizer.all_special_ids):
                raise NotApplicable("it has tokens that stand for something else")
            decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            again = _ids(tokenizer, decoded, add_special_tokens=False)
            if text not in SENTENCES:  # a rare white space may need a second time
                ids, decoded = again, tokenizer.decode(again, clean_up_tokenization_spaces=False)
                again = _ids(tokenizer, decoded, add_special_tokens=False)
            require(again == ids, f"{ids} become {again} through {decoded!r}")


@check("tokenizer.vocabulary")
def vocabulary(subject: Subject, cases: Cases) -> None:
    """Every id has a token and every token its id; none is outside the vocabulary."""
    tokenizer = subject.tokenizer
    with cases("vocabulary"):
        vocab = tokenizer.get_vocab()
        require(len(vocab) == len(tokenizer), f"get_vocab has {len(vocab)} tokens, len is {len(tokenizer)}")
        require(len(set(vocab.values())) == len(vocab), "two tokens have one id")
        for token, identity in vocab.items():
            require(tokenizer.convert_tokens_to_ids(token) == identity, f"{token!r} is not {identity}")
            require(tokenizer.convert_ids_to_tokens(identity) == token, f"{identity} is not {token!r}")
    for number, text in enumerate(TEXTS):
        with cases(f"text {number}, {text[:30]!r}"):
            ids = _ids(tokenizer, text)
            require(all(0 <= one < len(tokenizer) for one in ids), f"{ids} leave the vocabulary")
            tokens = tokenizer.convert_ids_to_tokens(ids)
            require(
                tokenizer.convert_tokens_to_ids(tokens) == ids, "tokens and ids do not lead to each other"
            )


@check("tokenizer.offsets")
def offsets(subject: Subject, cases: Cases) -> None:
    """Offsets lie in the text, in order, and leave out nothing but white space."""
    tokenizer = subject.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise NotApplicable("a tokenizer in Python has no offsets")
    for number, text in enumerate(TEXTS):
        with cases(f"text {number}, {text[:30]!r}"):
            encoded = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
            pairs = [
                pair
                for pair, special in zip(
                    encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True
                )
                if not special
            ]
            require(all(0 <= start <= end <= len(text) for start, end in pairs), f"outside the text: {pairs}")
            starts = [start for start, _ in pairs]
            require(starts == sorted(starts), f"not in order: {pairs}")
            covered = {place for start, end in pairs for place in range(start, end)}
            lost = [char for place, char in enumerate(text) if place not in covered and _is_seen(char)]
            lossy = any(char in text for char in ("\u200d", "\ufeff", "\ufffd"))
            require(len(lost) <= len(text) // 2 or lossy, f"lost: {lost[:5]}")


def _is_seen(char: str) -> bool:
    return char.isalnum() and char.isascii()


@check("tokenizer.special_tokens")
def special_tokens(subject: Subject, cases: Cases) -> None:
    """Special tokens stand where the mask says, are left out on request, and are whole in a text."""
    tokenizer = subject.tokenizer
    special = set(tokenizer.all_special_ids)
    with cases("ids"):
        require(all(0 <= one < len(tokenizer) for one in special), "one is outside the vocabulary")
        for token in tokenizer.all_special_tokens:
            require(tokenizer.convert_tokens_to_ids(token) in special, f"{token!r} is not among the ids")
    for text in SENTENCES:
        with cases(text[:20]):
            plain = _ids(tokenizer, text, add_special_tokens=False)
            whole = tokenizer(text, return_special_tokens_mask=True)
            kept = [
                one
                for one, mask in zip(whole["input_ids"], whole["special_tokens_mask"], strict=True)
                if not mask
            ]
            require(kept == plain, "without its special tokens a row is another")
            added = len(whole["input_ids"]) - len(plain)
            require(
                tokenizer.num_special_tokens_to_add() == added, f"{added} are added, not as many as it says"
            )
            bare = tokenizer.decode(whole["input_ids"], skip_special_tokens=True)
            require(bare == tokenizer.decode(plain), f"left out, they leave {bare!r}")
    for token in tokenizer.all_special_tokens:
        with cases(token):
            ids = _ids(tokenizer, f"a{token}b", add_special_tokens=False)
            require(tokenizer.convert_tokens_to_ids(token) in ids, "inside a text it is cut up")


@check("tokenizer.padding")
def padding(subject: Subject, cases: Cases) -> None:
    """A batch is its rows, padded on the side that is asked for; the mask says where."""
    tokenizer = subject.tokenizer
    before = tokenizer.pad_token, tokenizer.padding_side
    if tokenizer.pad_token is None:
        tokenizer.pad_token = next(iter(tokenizer.get_vocab()))
    texts = list(SENTENCES)
    rows = [_ids(tokenizer, text) for text in texts]
    width = max(map(len, rows))
    try:
        for side in ("right", "left"):
            with cases(side):
                tokenizer.padding_side = side
                batch = tokenizer(texts, padding=True)
                for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=True):
                    fill = [tokenizer.pad_token_id] * (width - len(row))
                    zeros = [0] * len(fill)
                    expected = (row + fill, [1] * len(row) + zeros)
                    if side == "left":
                        expected = (fill + row, zeros + [1] * len(row))
                    require((list(ids), list(mask)) == expected, f"{list(ids)}, {list(mask)}")
        with cases("max_length"):
            batch = tokenizer(texts, padding="max_length", max_length=width + 3)
            require(
                {len(row) for row in batch["input_ids"]} == {width + 3}, "rows are not as long as asked for"
            )
    finally:
        tokenizer.padding_side = before[1]
        if before[0] is None:
            tokenizer.pad_token = None


@check("tokenizer.truncation")
def truncation(subject: Subject, cases: Cases) -> None:
    """Truncated, a row has the length asked for and keeps its special tokens, and the side that is left."""
    tokenizer = subject.tokenizer
    text = " ".join(SENTENCES[:3])
    whole = _ids(tokenizer, text)
    plain = _ids(tokenizer, text, add_special_tokens=False)
    added = len(whole) - len(plain)
    side = tokenizer.truncation_side
    try:
        for where in ("right", "left"):
            tokenizer.truncation_side = where
            for length in (added + 3, len(whole) - 1, len(whole) + 5):
                with cases(where, length):
                    ids = _ids(tokenizer, text, truncation=True, max_length=length)
                    require(len(ids) == min(length, len(whole)), f"{len(ids)} tokens for max_length={length}")
                    kept = plain[: length - added] if where == "right" else plain[-(length - added) :]
                    inner = [one for one in ids if one not in _outer(whole, plain)] if added else ids
                    require(_contains(ids, kept), f"{inner} are not the {where} end left out of {plain}")
    finally:
        tokenizer.truncation_side = side


def _outer(whole: list[int], plain: list[int]) -> set[int]:
    return set(whole) - set(plain)


def _contains(ids: list[int], part: list[int]) -> bool:
    return any(ids[start : start + len(part)] == part for start in range(len(ids) - len(part) + 1))


@check("tokenizer.pairs")
def pairs(subject: Subject, cases: Cases) -> None:
    """A pair is both texts in order, and says which token is of which."""
    tokenizer = subject.tokenizer
    first, second = SENTENCES[:2]
    with cases("ids"):
        ids = _ids(tokenizer, first, text_pair=second)
        parts = [_ids(tokenizer, text, add_special_tokens=False) for text in (first, second)]
        require(_contains(ids, parts[0]), "the first text is not in it")
        rest = ids[len(ids) - len(parts[1]) - tokenizer.num_special_tokens_to_add(pair=True) :]
        require(_contains(rest, parts[1]), "the second text is not behind it")
        expected = sum(map(len, parts)) + tokenizer.num_special_tokens_to_add(pair=True)
        require(len(ids) == expected, f"{len(ids)} tokens, not {expected}")
    if getattr(tokenizer, "is_fast", False):
        with cases("sequence_ids"):
            found = tokenizer(first, second).sequence_ids(0)
            require(found.count(0) == len(parts[0]) and found.count(1) == len(parts[1]), f"{found}")


@check("tokenizer.batch")
def batch(subject: Subject, cases: Cases) -> None:
    """A batch gives what each text gives alone, and calls leave nothing behind."""
    tokenizer = subject.tokenizer
    with cases("batch"):
        together = tokenizer(list(TEXTS))["input_ids"]
        tokenizer(list(TEXTS[:3]), truncation=True, max_length=5)
        for text, ids in zip(TEXTS, together, strict=True):
            require(_ids(tokenizer, text) == list(ids), f"{text[:30]!r} is another in a batch")
