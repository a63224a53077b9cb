"""``formers explain``: what would run for a checkpoint, and why: class, weights, attention, generation settings."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .listing import table
from .tasks.loading import add_model_settings, load_model

if TYPE_CHECKING:
    from torch import Tensor

    from formers.config import PreTrainedConfig

__all__ = ["add_arguments", "explain", "run"]

_LENGTH = 6  # of the rows that are run to see which attention serves them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, where it runs, and which attention is asked for."""
    parser.add_argument("model", metavar="MODEL", help="a folder, or the id of a repository on the hub")
    parser.add_argument("--attention", metavar="NAME", help="as attn_implementation of from_pretrained")
    add_model_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Load the model, run a few tokens through it in each phase, and print what happened."""
    from formers.auto.configuration import AutoConfig

    config = AutoConfig.from_pretrained(options.model, revision=options.revision)
    auto_name, names = _auto_class(config)
    settings = {} if options.attention is None else {"attn_implementation": options.attention}
    model = load_model(options, auto_name, **settings)
    print(explain(model, auto_name, names))
    return 0


def explain(model: Any, auto_name: str, names: list[str]) -> str:
    """The report on a loaded model.

    Args:
        model: as ``from_pretrained`` gives it; its dropout is off again afterwards.
        auto_name: the Auto class through which it was loaded.
        names: of the Auto classes that serve its configuration.
    """
    sections = [
        table(
            [("model", _provider(model.config)), *_class_rows(model, auto_name, names), *_weight_rows(model)]
        ),
        f"attention of a row, a padded batch{', a cached token' if model.can_generate() else ''} and a training step\n"
        + _indented(str(_attention(model))),
    ]
    if model.can_generate():
        sections.append(model.generation_plan().explain())
    return "\n\n".join(sections)


def _auto_class(config: PreTrainedConfig) -> tuple[str, list[str]]:
    """The Auto class whose class ``config.architectures`` names, else AutoModel; and all that serve it."""
    from formers.auto.models import AUTO_MODELS
    from formers.plugins import registry

    names = [name for name in registry.heads_for(config) if name in AUTO_MODELS]
    wanted = config.architectures or ()
    for name in sorted(
        names, key="AutoModelForPreTraining".__eq__
    ):  # where a class has two names, its own task's
        if registry.auto_class_for(name, config).__name__ in wanted:
            return name, names
    return (names[0] if names and "AutoModel" not in names else "AutoModel"), names


def _provider(config: PreTrainedConfig) -> str:
    from formers.plugins import registry

    with contextlib.suppress(LookupError, ValueError):
        provider = registry.provider_for(config.model_type)
        if provider.found is not None:
            return f"{config.model_type}, of {provider.found.label}, plugin interface {provider.architecture.api}"
    return f"{config.model_type}, registered in this process"


def _class_rows(model: Any, auto_name: str, names: list[str]) -> list[tuple[str, str]]:
    others = [name for name in names if name != auto_name]
    shown = (
        "named by config.json" if type(model).__name__ in (model.config.architectures or ()) else "by default"
    )
    rows = [("class", f"{type(model).__name__} through {auto_name}, {shown}")]
    return rows + ([("also through", ", ".join(others))] if others else [])


def _weight_rows(model: Any) -> list[tuple[str, str]]:
    report = model.load_report
    files = sorted({origin.file for origin in report.origins.values()})
    size, buffers = model.get_memory_footprint(return_buffers=False), model.get_memory_footprint()
    rows = [
        ("weights", f"{', '.join(files[:3])}{f' and {len(files) - 3} more' if len(files) > 3 else ''}"),
        (
            "parameters",
            f"{model.num_parameters():,} in {str(model.dtype).removeprefix('torch.')} on {model.device}",
        ),
        ("memory", f"{size / 2**20:,.1f} MiB of weights, {(buffers - size) / 2**20:,.1f} MiB of buffers"),
    ]
    if report.initialised:
        rows.append(("not stored", f"{len(report.initialised)} tensors, such as {report.initialised[0]}"))
    if report.tied:
        rows.append(("tied", ", ".join(f"{alias} = {name}" for alias, name in report.tied.items())))
    return rows


def _attention(model: Any) -> Any:
    """The attention report after one call of each kind."""
    import torch

    base, state = model.base_model, torch.random.get_rng_state()
    try:
        with torch.no_grad():
            for inputs in _inputs(model):
                base(**inputs)
            if model.can_generate():
                row = next(_inputs(model))["input_ids"]
                model.generate(row, max_new_tokens=2, min_new_tokens=2, do_sample=False, num_beams=1)
        model.train()
        base(**next(_inputs(model)))
    finally:
        model.eval()
        torch.random.set_rng_state(state)
    return model.attention_report()


def _inputs(model: Any) -> Iterator[dict[str, Tensor]]:
    """A row, then a batch whose second row is padded; an encoder-decoder is asked about both of its parts."""
    import torch

    size = getattr(model.config.get_text_config(), "vocab_size", None) or _LENGTH
    ids = (size - 1 - torch.arange(_LENGTH, device=model.device))[
        None
    ] % size  # the first ids are often special
    mask = torch.ones_like(ids).repeat(2, 1)
    mask[1, _LENGTH // 2 :] = 0
    for inputs in ({"input_ids": ids}, {"input_ids": ids.repeat(2, 1), "attention_mask": mask}):
        yield inputs | ({"decoder_input_ids": inputs["input_ids"]} if model.config.is_encoder_decoder else {})


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
