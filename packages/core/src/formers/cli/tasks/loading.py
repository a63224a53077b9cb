"""What every task has: where the model is, on which device it runs, and the texts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from formers.cli.progress import waiting
from formers.errors import ConfigValidationError, TextInputError

if TYPE_CHECKING:
    import torch

    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["add_model_arguments", "add_model_settings", "load_model", "load_tokenizer", "read_texts"]

_DTYPES = ("auto", "float32", "float16", "bfloat16", "float64")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--revision``, ``--device``, ``--dtype``."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", required=True, metavar="FOLDER", help="a folder, or the id of a repository on the hub"
    )
    add_model_settings(group)


def add_model_settings(group: argparse._ActionsContainer) -> None:
    """``--revision``, ``--device``, ``--dtype``."""
    group.add_argument("--revision", default="main", help="branch, tag or commit of the repository")
    group.add_argument("--device", help="such as cpu or cuda:0; an accelerator is used if there is one")
    group.add_argument("--dtype", choices=_DTYPES, help="of the weights")


def read_texts(given: Sequence[str]) -> list[str]:
    """The texts, where ``-`` stands for what the standard input holds.

    Raises:
        TextInputError: ``-`` is there twice, or the input is no text.
    """
    if given.count("-") > 1:
        raise TextInputError(
            "'-' is the standard input, which can be read only once; it was given more often."
        )
    return [_standard_input() if text == "-" else text for text in given]


def _standard_input() -> str:
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise TextInputError(f"The standard input is no text in {error.encoding}: {error.reason}.") from error


def load_tokenizer(options: argparse.Namespace) -> PreTrainedTokenizerBase:
    """The tokenizer that ``--model`` names."""
    from formers.auto.tokenizer import AutoTokenizer

    with waiting(f"Loading the tokenizer of {options.model}"):
        return AutoTokenizer.from_pretrained(options.model, revision=options.revision)


def load_model(options: argparse.Namespace, auto_class: str, **settings: Any) -> Any:
    """The model that ``--model`` names, by an Auto class, on its device; ``settings`` are further ones of loading.

    Raises:
        ConfigValidationError: there is no such device.
        UnsupportedHeadError: the architecture cannot do what is asked.
    """
    from formers.auto import models

    load = getattr(models, auto_class).from_pretrained
    if options.dtype is not None:
        settings["dtype"] = options.dtype
    with waiting(f"Loading {options.model}"):
        device = _device(options.device)
        return load(options.model, revision=options.revision, **settings).to(device)


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigValidationError(
            f"--device {name} cannot be used ({reason.rstrip('.')}). Without it the best device is taken."
        ) from error
