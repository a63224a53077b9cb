"""Filling a model with the tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from formers.errors import (
    CorruptFileError,
    FormersWarning,
    MissingWeightsError,
    MissingWeightsWarning,
    ShapeMismatchError,
    UnexpectedWeightsWarning,
    shorten,
    warn,
)

from .diagnosis import diagnose
from .matching import Match, match, matches_any
from .report import LoadReport, Origin, listed
from .rules import KeyRules, Legacy, Rename
from .source import TensorSource

__all__ = ["Declarations", "load_into"]


@dataclass(frozen=True, slots=True)
class Declarations:
    """What a model class says about its weights.

    Attributes:
        rules: how published names map to the names of the class.
        base_prefix: attribute under which a head model holds its base model.
        optional: regular expressions; a weight that one of them finds may be absent.
        ignored: regular expressions; a stored tensor that one of them finds is dropped without a word.
        tied: alias -> canonical name of weights that are one tensor.
        float32: regular expressions; these weights stay in float32 when float16 is asked for.
        apart: aliases that the configuration says have values of their own, so that finding them is no surprise.
    """

    rules: Sequence[Rename | Legacy] = ()
    base_prefix: str = ""
    optional: Sequence[str] = ()
    ignored: Sequence[str] = ()
    tied: Mapping[str, str] | None = None
    float32: Sequence[str] = ()
    apart: Sequence[str] = ()


def load_into(
    model: nn.Module,
    source: TensorSource,
    declared: Declarations | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    strict: bool = True,
    ignore_mismatched_sizes: bool = False,
    check_finite: bool = False,
) -> LoadReport:
    """Give the parameters and persistent buffers of ``model`` the tensors of ``source``.

    The model may be on the meta device. Everything is decided before the first tensor is read; then each one
    *replaces* the model's parameter or buffer. It is not copied if its type and device are right already, so a
    mapped file stays mapped. What the source lacks is left as it is and named by ``report.initialised``: giving it
    first values is up to the caller.

    Declared ties hold where the stored values agree; stored with different values, both are loaded and the
    report says so. Where only an alias is stored, it fills the canonical name.

    Args:
        model: the module to fill.
        source: named tensors.
        declared: what the model class says about its weights.
        dtype: type of the floating-point weights; None keeps what is stored. Others get the model's type.
        device: where the weights go; None is the CPU.
        strict: False accepts the absence of weights that are not declared optional.
        ignore_mismatched_sizes: drop tensors of another shape instead of raising.
        check_finite: refuse weights with NaN or infinite values.

    Raises:
        MissingWeightsError: nothing matches, or (if strict) weights are absent that are not optional.
        ShapeMismatchError: another shape or kind (integer for floating point); both are named.
        CorruptFileError: two tensors for one place, or with ``check_finite`` values that are not finite.
    """
    declared = declared or Declarations()
    plan = match(
        model,
        source,
        rules=KeyRules(declared.rules),
        base_prefix=declared.base_prefix,
        ignored=declared.ignored,
        tied=declared.tied,
    )
    title = type(model).__name__
    _refuse(plan, source, title, declared.optional, strict=strict, ignore_shapes=ignore_mismatched_sizes)
    report = LoadReport(
        model_class=title,
        source=source.label,
        missing_keys=sorted(plan.missing),
        unexpected_keys=sorted(plan.unexpected),
        mismatched_keys=sorted(plan.wrong_shape),
        ignored=sorted(plan.ignored),
        initialised=sorted({*plan.missing, *(name for name, _, _ in plan.wrong_shape)}),
    )
    loader = _Loader(plan, source, declared, report, dtype, torch.device(device or "cpu"), check_finite)
    loader.run()
    _warn(plan, source, report, declared.apart)
    return report


class _Loader:
    """Reads the planned tensors and puts them in place."""

    def __init__(
        self,
        plan: Match,
        source: TensorSource,
        declared: Declarations,
        report: LoadReport,
        dtype: torch.dtype | None,
        device: torch.device,
        check_finite: bool,
    ) -> None:
        self._plan = plan
        self._source = source
        self._declared = declared
        self._report = report
        self._dtype = dtype
        self._device = device
        self._check_finite = check_finite
        self._memory: set[int] = set()  # first bytes of the tensors in place

    def run(self) -> None:
        canonical_names = set(self._plan.aliases.values())
        for name in self._plan.slots:
            if name in canonical_names:
                self._fill_group(name)
            elif name not in self._plan.aliases and name in self._plan.stored:
                self._put(name, self._read(name))

    def _fill_group(self, canonical: str) -> None:
        """Fill a canonical name and its aliases."""
        aliases = [alias for alias, name in self._plan.aliases.items() if name == canonical]
        stored = [name for name in (canonical, *aliases) if name in self._plan.stored]
        if not stored:
            return
        first = self._read(stored[0])
        self._put(canonical, first, origin=stored[0])
        for alias in aliases:
            other = self._read(alias) if alias in stored[1:] else None
            if other is None or _equal(first, other):
                self._tie(alias, canonical)
                continue
            if self._plan.slots[alias].is_same_place(self._plan.slots[canonical]):
                raise CorruptFileError(
                    f"{self._source.label}: {shorten(alias)} and {shorten(canonical)} are stored with different "
                    "values, but the model holds one module under both names"
                )
            self._put(alias, other)
            self._report.untied[alias] = canonical

    def _tie(self, alias: str, canonical: str) -> None:
        source, target = self._plan.slots[canonical], self._plan.slots[alias]
        if source.is_buffer:
            target.module._buffers[target.attribute] = source.module._buffers[source.attribute]
        else:
            target.module._parameters[target.attribute] = source.module._parameters[source.attribute]
        self._report.tied[alias] = canonical

    def _read(self, name: str) -> Tensor:
        published = self._plan.stored[name]
        stored = self._source.info(published).dtype
        dtype = self._type_of(name, stored)
        tensor = self._source.tensor(published, dtype=dtype, device=self._device)
        if self._check_finite and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CorruptFileError(
                f"{self._source.label}: {shorten(published)} has NaN or infinite values; "
                "load without check_finite=True to look at it"
            )
        return tensor

    def _type_of(self, name: str, stored: torch.dtype) -> torch.dtype:
        if not stored.is_floating_point:
            return self._plan.slots[name].tensor.dtype
        if self._dtype is None:
            return stored
        keeps = self._dtype == torch.float16 and matches_any(self._declared.float32, name)
        return torch.float32 if keeps else self._dtype

    def _put(self, name: str, tensor: Tensor, *, origin: str | None = None) -> None:
        slot, published = self._plan.slots[name], self._plan.stored[origin or name]
        if tensor.numel() and tensor.data_ptr() in self._memory:
            # A pickle may store one tensor under two names that are not declared tied.
            tensor = tensor.clone()
        self._memory.add(tensor.data_ptr())
        if slot.is_buffer:
            slot.module._buffers[slot.attribute] = tensor
        else:
            requires_grad = slot.tensor.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
            slot.module._parameters[slot.attribute] = nn.Parameter(tensor, requires_grad=requires_grad)
        info = self._source.info(published)
        self._report.origins[name] = Origin(info.file, published)
        if info.dtype != tensor.dtype:
            self._report.dtype_changes[name] = (_name(info.dtype), _name(tensor.dtype))


def _equal(left: Tensor, right: Tensor) -> bool:
    if left.data_ptr() == right.data_ptr() and left.dtype == right.dtype:
        return True
    return left.dtype == right.dtype and torch.equal(left, right)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _refuse(
    plan: Match,
    source: TensorSource,
    title: str,
    optional: Sequence[str],
    *,
    strict: bool,
    ignore_shapes: bool,
) -> None:
    """Raise for everything that must not pass in silence."""
    found = len(plan.stored) + len(plan.wrong_shape) + len(plan.wrong_kind)
    if plan.slots and not found:
        examples = listed(sorted(source.keys()))
        raise MissingWeightsError(
            f"{source.label}: 0 of {plan.size} weights of {title} matched{_because(plan, source)}. "
            f"The checkpoint has {examples}; the model expects {listed(sorted(plan.slots))}"
        )
    if plan.wrong_kind or (plan.wrong_shape and not ignore_shapes):
        raise ShapeMismatchError(_mismatch_text(plan, source, title))
    required = [name for name in plan.missing if not matches_any(optional, name)]
    if required and strict:
        raise MissingWeightsError(
            f"{source.label}: {len(required)} of {plan.size} weights of {title} are missing: "
            f"{listed(sorted(required))}{_because(plan, source)}. Correct the checkpoint, or pass strict=False "
            "to initialise them"
        )


def _mismatch_text(plan: Match, source: TensorSource, title: str) -> str:
    lines = [
        f"{name}: stored as {have}, {want} in the model" for name, have, want in sorted(plan.wrong_shape)
    ] + [
        f"{name}: stored as {_name(have)}, {_name(want)} in the model"
        for name, have, want in sorted(plan.wrong_kind, key=lambda one: one[0])
    ]
    shown = "\n  ".join(lines[:20]) + (f"\n  and {len(lines) - 20} more" if len(lines) > 20 else "")
    remedy = (
        "" if plan.wrong_kind else ", or pass ignore_mismatched_sizes=True to initialise these weights anew"
    )
    return (
        f"{source.label}: {len(lines)} of {plan.size} weights of {title} have another shape or kind"
        f"{_because(plan, source)}:\n  {shown}\nCorrect the configuration or the checkpoint{remedy}"
    )


def _because(plan: Match, source: TensorSource) -> str:
    names = {published: name for name, published in plan.stored.items()} | plan.unexpected
    stored = {name: source.info(published).shape for published, name in names.items()}
    stored |= {name: have for name, have, _ in plan.wrong_shape}
    expected = {
        name: tuple(slot.tensor.shape) for name, slot in plan.slots.items() if name not in plan.aliases
    }
    found = diagnose(stored, expected)
    return f" ({found})" if found else ""


def _warn(plan: Match, source: TensorSource, report: LoadReport, apart: Sequence[str]) -> None:
    if report.initialised:
        warn(
            f"Weights from {report.model_class} not initialized from pretrained model {report.source}: "
            f"{listed(report.initialised)}. They are initialized anew; train the model before you use it.",
            MissingWeightsWarning,
        )
    if report.unexpected_keys:
        warn(
            f"Weights from {report.source} not used in {report.model_class}: {listed(report.unexpected_keys)}"
            f"{_because(plan, source) if not report.initialised else ''}.",
            UnexpectedWeightsWarning,
        )
    pairs = [f"{alias} and {name}" for alias, name in report.untied.items() if alias not in apart]
    if pairs:
        warn(
            f"{report.source}: stored with different values and therefore not tied: {listed(pairs)}.",
            FormersWarning,
        )
