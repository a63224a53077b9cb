"""Tier ``tokenizer``: files, the Auto class, copies, and the version in Python. No torch here."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.subject import Subject
from formers.testing.texts import SENTENCES, TEXTS

HEAVY = ("torch", "numpy", "triton", "transformers")


def _same(found: Any, expected: Any) -> None:
    """Two tokenizers give the same tokens and have the same settings."""
    for text in TEXTS:
        ids, wanted = list(found(text)["input_ids"]), list(expected(text)["input_ids"])
        require(ids == wanted, f"{text[:30]!r} has the ids {ids}, not {wanted}")
    for name in (
        "padding_side",
        "truncation_side",
        "model_max_length",
        "special_tokens_map",
        "model_input_names",
    ):
        left, right = getattr(found, name), getattr(expected, name)
        require(left == right, f"{name} is {left!r}, not {right!r}")
    require(len(found) == len(expected), "the vocabularies have other sizes")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@check("tokenizer.save_load")
def save_load(subject: Subject, cases: Cases) -> None:
    """Saved and loaded, also with added tokens and other settings, it is the same; saved again, to the byte."""
    tokenizer = subject.tokenizer
    changed = copy.deepcopy(tokenizer)
    changed.add_tokens(["newtoken", "another one"])
    changed.padding_side, changed.truncation_side, changed.model_max_length = "left", "left", 7777
    for label, one in (("as it is", tokenizer), ("changed", changed)):
        with cases(label):
            first, second = subject.folder(), subject.folder()
            one.save_pretrained(first)
            found = type(one).from_pretrained(first)
            _same(found, one)
            found.save_pretrained(second)
            before, after = _bytes(first), _bytes(second)
            wrong = sorted(
                name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
            )
            require(not wrong, f"other bytes in {', '.join(wrong)}")


@check("tokenizer.added_tokens")
def added_tokens(subject: Subject, cases: Cases) -> None:
    """Added tokens are found in texts as wholes and have new ids; special ones are left out on request."""
    tokenizer = copy.deepcopy(subject.tokenizer)
    size = len(tokenizer)
    with cases("add_tokens"):
        require(tokenizer.add_tokens(["qzxword", "qzxword"]) == 1, "a token was not added once")
        require(len(tokenizer) == size + 1, "the vocabulary did not grow by one")
        identity = tokenizer.convert_tokens_to_ids("qzxword")
        require(identity >= size, f"its id {identity} is of another token")
        require(identity in tokenizer("a qzxword b")["input_ids"], "it is not found in a text")
    with cases("add_special_tokens"):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|qzx|>"]})
        identity = tokenizer.convert_tokens_to_ids("<|qzx|>")
        ids = list(tokenizer("a<|qzx|>b")["input_ids"])
        require(identity in ids, "it is not found in a text")
        require("<|qzx|>" not in tokenizer.decode(ids, skip_special_tokens=True), "it is not left out")


@check("tokenizer.auto")
def auto(subject: Subject, cases: Cases) -> None:
    """``AutoTokenizer`` reads a saved folder as the manifest's class, with or without ``config.json``."""
    from formers.auto.tokenizer import AutoTokenizer

    tokenizer = subject.tokenizer
    for label in ("alone", "with config.json"):
        with cases(label):
            folder = subject.folder()
            tokenizer.save_pretrained(folder)
            if label != "alone":
                subject.config().save_pretrained(folder)
            found = AutoTokenizer.from_pretrained(folder)
            require(type(found) is type(tokenizer), f"it is a {type(found).__name__}")
            _same(found, tokenizer)


@check("tokenizer.copies")
def copies(subject: Subject, cases: Cases) -> None:
    """Copies and pickles are the same tokenizer, and share nothing with it."""
    tokenizer = subject.tokenizer
    for label in ("copy", "pickle"):
        with cases(label):
            other = copy.deepcopy(tokenizer) if label == "copy" else pickle.loads(pickle.dumps(tokenizer))
            _same(other, tokenizer)
            size = len(tokenizer)
            other.add_tokens(["qzxcopy"])
            require(len(tokenizer) == size, "a token added to it is in the first, too")


@check("tokenizer.light")
def light(subject: Subject, cases: Cases) -> None:
    """Tokenizers import no torch: a service that only tokenizes does not carry it."""
    architecture = subject.architecture
    if architecture.tokenizer is None and architecture.slow_tokenizer is None:
        raise NotApplicable("the manifest names no tokenizer")
    with cases(architecture.tokenizer, architecture.slow_tokenizer):
        heavy = sorted({*HEAVY} & {*subject.probe.tokenizers})
        require(not heavy, f"they import {', '.join(heavy)}")


@check("tokenizer.in_python")
def in_python(subject: Subject, cases: Cases) -> None:
    """The tokenizer in Python and the one over the library give the same ids."""
    architecture = subject.architecture
    if architecture.slow_tokenizer is None or architecture.tokenizer is None:
        raise NotApplicable("the manifest does not name both")
    with cases(architecture.slow_tokenizer):
        fast = subject.tokenizer
        folder = subject.folder()
        fast.save_pretrained(folder)
        for name, content in fast.vocabulary_files().items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        slow: Any = subject.provider.load_class(architecture.slow_tokenizer)
        made = slow.from_pretrained(folder)
        for text in (*SENTENCES, *TEXTS):
            ids, wanted = list(made(text)["input_ids"]), list(fast(text)["input_ids"])
            require(ids == wanted, f"{text[:30]!r} has the ids {ids}, not {wanted}")


@check("tokenizer.model")
def of_the_model(subject: Subject, cases: Cases) -> None:
    """The names of the tokenizer's rows are arguments of the models."""
    import inspect

    names = [name for name in subject.tokenizer.model_input_names if name != "attention_mask"]
    for auto_name, references in subject.architecture.auto.items():
        if auto_name != "AutoModel":
            continue
        with cases(auto_name):
            cls: Any = subject.provider.load_class(references[0])
            arguments = inspect.signature(cls.forward).parameters
            missing = [name for name in names if name not in arguments]
            require(not missing, f"forward has no {', '.join(missing)}")
    if not cases.run:
        raise NotApplicable("the manifest has no AutoModel")
