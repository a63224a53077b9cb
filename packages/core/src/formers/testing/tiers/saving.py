"""Tier ``model``: what is saved comes back to the bit (laws 1 and 6)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, equal, same_state, tensors_of
from formers.testing.subject import Subject


def loaded(head: Head, folder: Path, **options: Any) -> PreTrainedModel:
    """Load a folder, and be sure that nothing was missing or left over."""
    model, report = head.load(folder, output_loading_info=True, **options)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        require(not report[kind], f"{kind}: {list(report[kind])}")
    require(not report.initialised, f"initialised afresh: {report.initialised}")
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        require(not value.is_meta, f"{name} was left on meta")
    return model  # type: ignore[no-any-return]


def _round_trip(subject: Subject, head: Head, options: dict[str, Any], least_files: int) -> None:
    models = subject.models
    model = models.build(head, dtype=torch.float32)
    folder = subject.folder()
    model.save_pretrained(folder, **options)
    files = list(folder.glob("*.safetensors"))
    require(len(files) >= least_files, f"{len(files)} weights files, not {least_files}")
    found = loaded(head, folder)
    require(not found.training, "a loaded model is in training mode")
    same_state(found, model)
    require(found.config.to_diff_dict().keys() >= {"model_type"}, "the configuration has no model_type")
    inputs = Rows(models, head, (5, 3)).batch().inputs
    with torch.no_grad():
        expected = tensors_of(run(model, inputs))
        for name, value in tensors_of(run(found, inputs)).items():
            equal(value, expected[name], name)


@check("model.save_load", law=1)
def save_load(subject: Subject, cases: Cases) -> None:
    """Saved and loaded, weights and answers are the same to the bit."""
    for head in subject.models.heads:
        with cases(head):
            _round_trip(subject, head, {}, 1)


@check("model.save_sharded", law=1)
def save_sharded(subject: Subject, cases: Cases) -> None:
    """So they are through several files."""
    for head in subject.models.heads:
        with cases(head):
            _round_trip(subject, head, {"max_shard_size": 4096}, 2)


@check("model.save_dtypes", law=1)
def save_dtypes(subject: Subject, cases: Cases) -> None:
    """Half precisions are kept, and asking for another dtype on loading gives it."""
    models = subject.models
    for head in models.heads:
        for dtype in (torch.bfloat16, torch.float16):
            with cases(head, dtype):
                model = models.build(head, dtype=torch.float32)
                folder = subject.folder()
                model.to(dtype).save_pretrained(folder)
                found = loaded(head, folder)
                for name, parameter in found.named_parameters():
                    if not _kept(found, name):
                        require(parameter.dtype == dtype, f"{name} is {parameter.dtype}")
                wide = loaded(head, folder, dtype=torch.float32)
                require(
                    all(one.dtype == torch.float32 for one in wide.parameters()),
                    "dtype=torch.float32 is not obeyed",
                )


def _kept(model: PreTrainedModel, name: str) -> bool:
    import re

    classes = {type(module) for module in model.modules() if isinstance(module, PreTrainedModel)}
    return any(re.search(pattern, name) for one in classes for pattern in one.float32_weights)


@check("model.save_ties", law=1)
def save_ties(subject: Subject, cases: Cases) -> None:
    """Tied weights are written once and are one parameter after loading; untied ones are two."""
    models = subject.models
    for head in models.heads:
        if not head.cls.tied_weights:
            continue
        for overrides in ({}, {"tie_word_embeddings": False}):
            with cases(head, *overrides):
                model, folder = models.saved(head, **overrides)
                found = loaded(head, folder)
                same_state(found, model)
                for alias, canonical in head.cls.tied_weights.items():
                    tied = model.get_parameter(alias) is model.get_parameter(canonical)
                    now = found.get_parameter(alias) is found.get_parameter(canonical)
                    require(
                        now == tied, f"{alias} and {canonical} are {'one' if now else 'two'} after loading"
                    )
                stored = sum(value.numel() for value in _stored(folder).values())
                own = sum(one.numel() for one in (*model.parameters(), *_buffers(model)))
                require(stored <= own, f"{stored} numbers were written for {own}")
    if not cases.run:
        raise NotApplicable("no class declares tied weights")


def _buffers(model: PreTrainedModel) -> list[Tensor]:
    names = set(model.state_dict())
    return [value for name, value in model.named_buffers() if name in names]


def _stored(folder: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                found[name] = opened.get_tensor(name)
    return found


class _Failing(Mapping[str, Tensor]):
    """A state dict whose last tensors cannot be read, as when a disk fails."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        if name == list(self._tensors)[-1]:
            raise OSError("the disk went away")
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


@check("model.atomic_save", law=6)
def atomic_save(subject: Subject, cases: Cases) -> None:
    """A save that fails leaves the folder as it was; one that succeeds leaves nothing of the last."""
    models = subject.models
    head = models.base
    with cases(head, "a save that fails"):
        model, folder = models.saved(head)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        other = models.build(head, dtype=torch.float32, seed=1)
        failed = False
        try:
            other.save_pretrained(folder, state_dict=_Failing(other.state_dict()), max_shard_size=4096)
        except OSError:
            failed = True
        require(failed, "save_pretrained hid the failure")
        after = {file.name: file.read_bytes() for file in folder.iterdir()}
        require(after == before, f"files changed: {sorted(_changed(before, after))}")
        same_state(loaded(head, folder), model)
    with cases(head, "another sharding"):
        model, folder = models.saved(head)
        own = folder / "notes.txt"
        own.write_text("mine", "utf-8")
        other = models.build(head, dtype=torch.float32, seed=1)
        other.save_pretrained(folder, max_shard_size=4096)
        same_state(loaded(head, folder), other)
        model.save_pretrained(folder)
        same_state(loaded(head, folder), model)
        weights = sorted(file.name for file in folder.glob("*.safetensors*"))
        require(weights == ["model.safetensors"], f"weights of an earlier save are left: {weights}")
        require(own.read_text("utf-8") == "mine", "a file of the user's is gone")


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@check("model.save_again", law=1)
def save_again(subject: Subject, cases: Cases) -> None:
    """Loaded and saved, every file has the same bytes."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            _, folder = models.saved(head)
            again = subject.folder()
            loaded(head, folder).save_pretrained(again)
            for file in sorted(folder.iterdir()):
                copied = again / file.name
                require(copied.is_file(), f"{file.name} was not written again")
                require(copied.read_bytes() == file.read_bytes(), f"{file.name} has other bytes")
            shutil.rmtree(again)
