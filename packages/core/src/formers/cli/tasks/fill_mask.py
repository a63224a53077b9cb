"""``formers run fill-mask``: the likeliest tokens for each mask in a text."""

from __future__ import annotations

import argparse
import inspect
import json
from typing import TYPE_CHECKING, Any

from formers.cli.listing import table
from formers.errors import TextInputError, shorten

from .loading import add_model_arguments, load_model, load_tokenizer, read_texts

if TYPE_CHECKING:
    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The texts, how many candidates to show, and the model."""
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help='with masks, such as "The [MASK] sleeps."; - is the standard input',
    )
    parser.add_argument(
        "--top-k", type=_positive, default=5, metavar="N", help="candidates for each mask (5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_model_arguments(parser)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def run(options: argparse.Namespace) -> int:
    """Print a table for each mask of each text."""
    texts = read_texts(options.texts)
    tokenizer = load_tokenizer(options)
    rows = [_ids_with_masks(tokenizer, text, options.model) for text in texts]
    model = load_model(options, "AutoModelForMaskedLM")
    reports = [
        {"text": text, "masks": candidates(model, tokenizer, ids, options.top_k)}
        for text, ids in zip(texts, rows, strict=True)
    ]
    if options.json:
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(map(_readable, reports)))
    return 0


def _ids_with_masks(tokenizer: PreTrainedTokenizerBase, text: str, model: str) -> Any:
    """A text encoded as tensors of one row, with at least one mask in it."""
    mask = tokenizer.mask_token
    if mask is None:
        raise TextInputError(
            f"The tokenizer of {model} has no mask token, so there is nothing to fill; fill-mask needs a checkpoint "
            "that was trained on masked words."
        )
    encoded = tokenizer(text, return_tensors="pt")
    if not bool((encoded["input_ids"] == tokenizer.mask_token_id).any()):
        raise TextInputError(f"{shorten(text)} holds no mask; put {mask} where a word is wanted.")
    return encoded


def candidates(
    model: Any, tokenizer: PreTrainedTokenizerBase, encoded: Any, count: int
) -> list[list[dict[str, Any]]]:
    """For each mask, from left to right, its best candidates.

    Args:
        encoded: one row of tensors, as the tokenizer gives it.
        count: candidates for each mask, at most.

    Returns:
        Dicts with the probability ``score``, the id ``token``, its text ``token_str``, and the text with this mask
        filled, ``sequence``; special tokens other than masks are left out of it.
    """
    import torch

    row: list[int] = encoded["input_ids"][0].tolist()
    places = [place for place, token in enumerate(row) if token == tokenizer.mask_token_id]
    takes = inspect.signature(model.forward).parameters
    inputs = {name: tensor.to(model.device) for name, tensor in encoded.items() if name in takes}
    with torch.no_grad():
        logits = model(**inputs).logits[0, places]
    scores, tokens = logits.float().softmax(dim=-1).topk(min(count, logits.shape[-1]), dim=-1)
    return [
        [
            {
                "score": score,
                "token": token,
                "token_str": tokenizer.decode([token]),
                "sequence": _filled(tokenizer, row, place, token),
            }
            for score, token in zip(of_place, ids, strict=True)
        ]
        for place, of_place, ids in zip(places, scores.tolist(), tokens.tolist(), strict=True)
    ]


def _filled(tokenizer: PreTrainedTokenizerBase, row: list[int], place: int, token: int) -> str:
    """The text of a row with another token at one place; of the special tokens only masks stay."""
    special = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
    kept = [one for column, one in enumerate(row) if column == place or one not in special]
    kept[sum(one not in special for one in row[:place])] = token
    text: str = tokenizer.decode(kept)
    return text


def _readable(report: dict[str, Any]) -> str:
    masks = report["masks"]
    parts = [report["text"]]
    for number, found in enumerate(masks, start=1):
        head = f"mask {number} of {len(masks)}\n" if len(masks) > 1 else ""
        lines: list[tuple[str, ...]] = [("score", "token", "sequence")]
        lines += [(f"{one['score']:.4f}", one["token_str"].strip(), one["sequence"]) for one in found]
        parts.append(head + table(lines))
    return "\n\n".join(parts)
