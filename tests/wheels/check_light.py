"""Do configurations and tokenizers work without PyTorch? Run by an interpreter that lacks it.

Usage: ``python -I check_light.py [ARCHITECTURE_MODULE ...]``. Without a module, only the core is installed: a
folder with a ``tokenizer.json`` must still give a tokenizer, and a class that computes must name its extra.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HEAVY = ("torch", "numpy", "triton", "transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
TEXT = "Hello worlds"


def vocabularies() -> dict[str, tuple[dict[str, str], list[int]]]:
    """By the name of their first file: small vocabularies as architectures keep them, and the ids of ``TEXT``."""
    from formers.tokenization.bpe_files import ALPHABET

    alphabet = json.dumps({character: byte for byte, character in enumerate(ALPHABET)})
    return {
        "vocab.txt": ({"vocab.txt": "\n".join(WORDS) + "\n"}, [5, 6, 7]),
        "vocab.json": ({"vocab.json": alphabet, "merges.txt": "#version: 0.2\n"}, list(TEXT.encode())),
    }


def write_checkpoint(folder: Path, model_type: str, vocabulary: dict[str, str] | None = None) -> None:
    """A tiny checkpoint folder without weights; with a ``tokenizer.json`` unless other files are given."""
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: index for index, word in enumerate(WORDS)},
        },
    }
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": model_type, "hidden_size": 48, "num_attention_heads": 4})
    )
    for name, content in (vocabulary or {"tokenizer.json": json.dumps(tokenizer)}).items():
        (folder / name).write_text(content, "utf-8")


def check_core(folder: Path) -> None:
    """A tokenizer from ``tokenizer.json`` alone, and a clear error where PyTorch is needed."""
    from formers import AutoTokenizer

    write_checkpoint(folder / "generic", "some-type-that-nobody-provides")
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "generic"))
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert list(ids) == [5, 6, 7], f"unexpected token ids {ids}"
    assert "formers[chat]" in chat_error(tokenizer), "the error does not name the extra"
    assert "formers[torch]" in model_error(folder / "generic"), "the error does not name the extra"


def chat_error(tokenizer: Any) -> str:
    """What is said when a chat template is to be rendered."""
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "x"}], chat_template="{{ messages }}")
    except ImportError as error:
        return str(error)
    raise AssertionError("a chat template was rendered without jinja2")


def model_error(folder: Path) -> str:
    """What is said when a model is asked for."""
    try:
        from formers import AutoModel

        AutoModel.from_pretrained(str(folder))
    except ImportError as error:
        return str(error)
    raise AssertionError("AutoModel did not say that PyTorch is missing")


def reader_error(folder: Path, model_type: str, name: str) -> str:
    """What is said of a vocabulary that needs a reader: that it is not installed, or that the file is damaged."""
    from formers import AutoTokenizer, FormersError

    write_checkpoint(folder, model_type, {name: "\n\n"})
    try:
        AutoTokenizer.from_pretrained(str(folder))
    except (ImportError, FormersError) as error:
        return str(error)
    raise AssertionError(f"{name} was read, though it is empty")


def check_architecture(folder: Path, module: str) -> None:
    """The manifest, the configuration and the tokenizer of an architecture installed with ``--no-deps``."""
    from formers import AutoConfig, AutoTokenizer

    manifest = importlib.import_module(f"{module}.plugin").ARCHITECTURE
    where, _, name = manifest.tokenizer.partition(":")
    names = getattr(importlib.import_module(where), name).vocab_files_names
    checked: list[tuple[dict[str, str] | None, list[int]]] = [(None, [5, 6, 7])]
    if names["vocab_file"] in vocabularies():
        checked.append(vocabularies()[names["vocab_file"]])
    else:  # a format whose reader is an extra
        error = reader_error(folder / "binary", manifest.model_type, names["vocab_file"])
        if importlib.util.find_spec("google") is None:
            assert f"{module.replace('_', '-')}[" in error, f"the error does not name the extra: {error}"
    for vocabulary, expected in checked:
        place = folder / f"{manifest.model_type}-{'vocab' if vocabulary else 'json'}"
        write_checkpoint(place, manifest.model_type, vocabulary)
        config = AutoConfig.from_pretrained(str(place))
        assert type(config).__module__.split(".")[0] == module, f"{type(config)} is not from {module}"
        assert config.hidden_size == 48, f"hidden_size is {config.hidden_size}, not the 48 of the file"
        ids = AutoTokenizer.from_pretrained(str(place))(TEXT, add_special_tokens=False)["input_ids"]
        assert list(ids) == expected, f"unexpected token ids {ids} from {place.name}"


def main() -> int:
    """Run the checks; an assertion that fails ends the process with its traceback."""
    assert importlib.util.find_spec("torch") is None, (
        "PyTorch is installed here: this environment proves nothing"
    )
    modules = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        for module in modules:
            check_architecture(Path(name), module)
        if not modules:
            check_core(Path(name))
    loaded = [name for name in HEAVY if name in sys.modules]
    assert not loaded, f"configurations and tokenizers imported {loaded}"
    print(f"{', '.join(modules) or 'core'}: configuration and tokenizer work without PyTorch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
