"""Golden files: what an architecture answered once, kept beside its tests, so that a change cannot go unnoticed.

A folder holds ``config.json`` (of the tiny configuration), ``inputs.safetensors``, ``outputs.safetensors``,
``keys.txt`` (what every class stores: name, shape, dtype) and ``golden.json`` (versions, the tokenizer's fingerprint).
Weights are not stored: they follow from their names, by a formula that no version of PyTorch changes.
"""

from __future__ import annotations

import json
import math
import platform
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from formers import __version__
from formers.checkpoint.header import read_header
from formers.errors import CorruptFileError, LoadError
from formers.files.strict_json import dump_json, read_json
from formers.tokenization.fingerprint import fingerprint

from .batches import Rows, run
from .models import Head, relative_error, tensors_of
from .subject import Subject

__all__ = ["TOLERANCES", "differences", "fill", "record"]

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""How far an output may be from the recorded one, as a part of its norm, by the dtype that the model runs in."""

CONFIG, INPUTS, OUTPUTS, KEYS, ABOUT = (
    "config.json", "inputs.safetensors", "outputs.safetensors", "keys.txt", "golden.json",
)  # fmt: skip
_LENGTHS = (5, 5)
_VERSIONS = (
    "transformers_version",
    "_name_or_path",
)  # of a configuration; they change without anything changing


def record(model_type: str, folder: Path) -> list[str]:
    """Write the golden files of an architecture; returns their names.

    Raises:
        NotApplicable: the manifest has no models.
    """
    with closing(Subject(model_type)) as subject:
        return _record(subject, folder)


def _record(subject: Subject, folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    for head in subject.models.heads:
        model = fill(subject.models.build(head, "eager"))
        rows = Rows(subject.models, head, _LENGTHS)
        if head.has_labels:
            rows.labelled(model)
        given = rows.batch().inputs
        inputs |= {f"{head}/{name}": value.contiguous() for name, value in given.items()}
        outputs |= {f"{head}/{name}": value for name, value in _answers(model, given).items()}
    about = {
        "formers": __version__,
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
        "tokenizer": _fingerprint(subject),
    }
    (folder / CONFIG).write_text(subject.config().to_json_string(), "utf-8")
    (folder / KEYS).write_text(_keys(subject), "utf-8")
    (folder / ABOUT).write_text(dump_json(about), "utf-8")
    save_file(inputs, folder / INPUTS)
    save_file(outputs, folder / OUTPUTS)
    return [CONFIG, KEYS, ABOUT, INPUTS, OUTPUTS]


def differences(model_type: str, folder: Path) -> list[str]:
    """What has changed since the files were recorded, a line each; empty if nothing has.

    Raises:
        LoadError: a file is missing or damaged.
    """
    with closing(Subject(model_type)) as subject:
        return _differences(subject, folder)


def _differences(subject: Subject, folder: Path) -> list[str]:
    try:
        inputs, outputs = load_file(folder / INPUTS), load_file(folder / OUTPUTS)
        keys = (folder / KEYS).read_text("utf-8")
    except FileNotFoundError as error:
        raise LoadError(
            f"{error.filename or folder} is missing; record the files with: formers golden record {subject.model_type}"
        ) from error
    except Exception as error:  # the library has no common type for damaged files
        raise CorruptFileError(
            f"{folder}: the golden files cannot be read ({error}); record them again"
        ) from error
    config, about = read_json(folder / CONFIG), read_json(folder / ABOUT)
    return [
        *_changed(config, json.loads(subject.config().to_json_string()), CONFIG, _VERSIONS),
        *_changed_lines(keys, _keys(subject)),
        *_changed({"tokenizer": about.get("tokenizer")}, {"tokenizer": _fingerprint(subject)}, ABOUT),
        *_changed_outputs(subject, inputs, outputs),
    ]


def fill(model: nn.Module) -> Any:
    """Give every weight a value that follows from its name and place: a sine, sized as fresh weights are."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            places = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = torch.sin(places * 0.7 + zlib.crc32(name.encode()) % 1000).view(parameter.shape)
            scaled = wave / math.sqrt(parameter.shape[-1]) if parameter.dim() > 1 else 0.5 + 0.3 * wave
            parameter.copy_(scaled)
    return model


def _answers(model: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: value.contiguous() for name, value in tensors_of(run(model, inputs)).items()}


def _changed_outputs(subject: Subject, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> list[str]:
    problems = []
    heads = {head.name: head for head in subject.models.heads}
    recorded = {name.partition("/")[0] for name in outputs}
    for name in sorted(recorded ^ heads.keys()):
        problems.append(f"{name} is {'new' if name in heads else 'gone'}")
    for name in sorted(recorded & heads.keys()):
        own = {key.partition("/")[2]: value for key, value in inputs.items() if key.startswith(f"{name}/")}
        expected = {
            key.partition("/")[2]: value for key, value in outputs.items() if key.startswith(f"{name}/")
        }
        problems += _changed_answers(subject, heads[name], own, expected)
    return problems


def _changed_answers(
    subject: Subject, head: Head, inputs: dict[str, Tensor], expected: dict[str, Tensor]
) -> list[str]:
    problems = []
    for dtype, tolerance in TOLERANCES.items():
        model = fill(subject.models.build(head, "eager")).to(dtype)
        found = _answers(model, inputs)
        problems += [
            f"{head}/{name} is {'new' if name in found else 'gone'}"
            for name in sorted(found.keys() ^ expected.keys())
        ]
        for name in sorted(found.keys() & expected.keys()):
            if found[name].shape != expected[name].shape:
                problems.append(
                    f"{head}/{name} has shape {tuple(found[name].shape)}, recorded {tuple(expected[name].shape)}"
                )
            elif not (error := relative_error(found[name], expected[name])) <= tolerance:
                problems.append(
                    f"{head}/{name} in {dtype} is off by {error:.2g} of its norm, more than {tolerance:g}"
                )
        if problems:
            break  # other dtypes would repeat it
    return problems


def _keys(subject: Subject) -> str:
    """A line for each stored tensor of each class."""
    lines = []
    for head in subject.models.heads:
        _, folder = subject.models.saved(head)
        header = read_header(folder / "model.safetensors")
        lines += [
            f"{head} {name} {list(info.shape)} {str(info.dtype).removeprefix('torch.')}"
            for name, info in sorted(header.tensors.items())
        ]
    return "\n".join(lines) + "\n"


def _fingerprint(subject: Subject) -> str | None:
    make = subject.tiny().tokenizer
    return None if make is None else fingerprint(make())


def _changed(
    old: Mapping[str, Any], new: Mapping[str, Any], what: str, but: tuple[str, ...] = ()
) -> list[str]:
    missing = "nothing"
    return [
        f"{what}: {key} is {new.get(key, missing)!r}, recorded {old.get(key, missing)!r}"
        for key in sorted(old.keys() | new.keys())
        if key not in but and old.get(key, missing) != new.get(key, missing)
    ]


def _changed_lines(old: str, new: str) -> list[str]:
    known, found = set(old.splitlines()), set(new.splitlines())
    return [f"{KEYS}: {line!r} is {'new' if line in found else 'gone'}" for line in sorted(known ^ found)]
