"""The settings of ``generate`` as options of the command line. No torch here."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Sequence
from typing import Any

from formers.auto.configuration import AutoConfig
from formers.errors import ConfigValidationError
from formers.files.resolve import Source, resolve_folder
from formers.files.strict_json import parse_json
from formers.generation import GenerationConfig
from formers.generation.files import GENERATION_CONFIG_NAME, in_folder
from formers.generation.plan import FIELDS, GenerationPlan, resolve

__all__ = ["add_generation_arguments", "plan_of", "settings_of"]

# The fields with an option of their own.
_OPTIONS: tuple[tuple[str, type[int] | type[float], str], ...] = (
    ("max_new_tokens", int, "tokens to generate at most"),
    ("min_new_tokens", int, "tokens before the end may come"),
    ("temperature", float, "divides the scores when sampling"),
    ("top_k", int, "sample from so many of the best tokens"),
    ("top_p", float, "sample from the fewest tokens with this probability together"),
    ("repetition_penalty", float, "divides the scores of tokens that occurred"),
    ("num_beams", int, "hypotheses that beam search follows"),
    ("num_return_sequences", int, "texts to generate for each input"),
)


def add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each of the usual settings, and ``--set`` for all others."""
    group = parser.add_argument_group(
        "generation", "What is not given comes from the checkpoint, or is a default."
    )
    way = group.add_mutually_exclusive_group()
    way.add_argument(
        "--do-sample", action="store_true", default=None, help="draw tokens by their probability"
    )
    way.add_argument(
        "--greedy", dest="do_sample", action="store_false", help="take the best token at each step"
    )
    for name, kind, text in _OPTIONS:
        group.add_argument(
            f"--{name.replace('_', '-')}", type=kind, metavar="N" if kind is int else "X", help=text
        )
    group.add_argument(
        "--stop",
        dest="stop_strings",
        action="append",
        metavar="TEXT",
        help="end where this text appears (repeatable)",
    )
    group.add_argument(
        "--set",
        dest="others",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other field of GenerationConfig, with a value in JSON (repeatable)",
    )
    group.add_argument("--seed", type=int, help="makes sampling repeatable")
    group.add_argument(
        "--explain", action="store_true", help="show every setting and its origin, and do nothing"
    )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, checked one by one.

    Raises:
        ConfigValidationError: names the setting, its value and what was expected.
    """
    names = ("do_sample", *(name for name, _, _ in _OPTIONS), "stop_strings")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    others = _others(options.others)
    twice = given.keys() & others.keys()
    if twice:
        name = min(twice)
        raise ConfigValidationError(
            f"--set {name}: {name} has an option of its own here, which was given, too."
        )
    settings = given | others
    GenerationConfig(**settings)
    return settings


def _others(given: Sequence[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for one in given:
        name, separator, value = one.partition("=")
        name = name.strip().replace("-", "_")
        if not separator:
            raise ConfigValidationError(f"--set {one}: expected NAME=VALUE, such as no_repeat_ngram_size=3.")
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " Those of formers.GenerationConfig are known."
            raise ConfigValidationError(f"--set {one}: {name!r} is no setting of generation.{hint}")
        if name in settings:
            raise ConfigValidationError(f"--set {one}: {name} was given more than once.")
        settings[name] = _value(value.strip(), one)
    return settings


def _value(text: str, given: str) -> Any:
    """A value in JSON; a plain word stands for itself."""
    try:
        json.loads(text)
    except ValueError:
        if text.isidentifier():
            return text
    return parse_json(text, f"--set {given}")


def plan_of(options: argparse.Namespace, settings: dict[str, Any]) -> GenerationPlan:
    """What generation with these settings would do; the weights are not read."""
    where = {"revision": options.revision}
    config = AutoConfig.from_pretrained(options.model, **where)
    folder = resolve_folder(Source.from_kwargs(options.model, where), [GENERATION_CONFIG_NAME])
    own = in_folder(GenerationConfig, folder) or GenerationConfig.from_model_config(config)
    return resolve(settings, model=own, config=config)
