"""The models of the architecture under test: every class of its manifest, small, seeded and in float64."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from formers.attention.registry import implementations_for
from formers.errors import AttentionUnsupported

from .checks import NotApplicable, require

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig
    from formers.modeling import PreTrainedModel

    from .subject import Subject

__all__ = [
    "DTYPES",
    "Head",
    "Models",
    "close",
    "equal",
    "finite",
    "relative_error",
    "same_state",
    "seeded",
    "served",
    "tensors_of",
    "without_warnings_of_new_weights",
]

Answer = TypeVar("Answer")
DTYPES = (torch.float64, torch.float32, torch.bfloat16)

_CAUSAL = "AutoModelForCausalLM"
_SEQ2SEQ = ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq", "AutoModelForVision2Seq")


@dataclass(frozen=True)
class Head:
    """A model class and what the manifest uses it for."""

    cls: type[PreTrainedModel]
    autos: tuple[str, ...]
    config_class: type[PreTrainedConfig]
    overrides: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.cls.__name__

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The names of the arguments of ``forward``."""
        return frozenset(inspect.signature(self.cls.forward).parameters) - {"self"}

    @property
    def generates(self) -> bool:
        """Whether it is there to generate."""
        return _CAUSAL in self.autos or any(auto in self.autos for auto in _SEQ2SEQ)

    @property
    def has_labels(self) -> bool:
        """Whether ``forward`` computes a loss."""
        return bool(self.arguments & {"labels", "start_positions"})

    def load(self, folder: Path, **options: Any) -> Any:
        """``from_pretrained``, with the configuration of the type where the class is that of a related one."""
        if self.cls.config_class is not self.config_class:
            options["config"] = self.config_class.from_pretrained(folder)
        return self.cls.from_pretrained(folder, **options)

    def __str__(self) -> str:
        return self.name


class Models:
    """Makes the models of one subject."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether an encoder's states are read by a decoder of the same model."""
        return bool(self.subject.config().is_encoder_decoder)

    @cached_property
    def heads(self) -> list[Head]:
        """Every model class of the manifest once; a causal one with ``is_decoder=True`` if that is a setting."""
        from formers.modeling import PreTrainedModel

        architecture = self.subject.architecture
        autos: dict[type[PreTrainedModel], list[str]] = {}
        for auto, references in architecture.auto.items():
            for reference in references if auto.startswith("AutoModel") else ():
                cls = self.subject.provider.load_class(reference)
                if issubclass(cls, PreTrainedModel):
                    autos.setdefault(cls, []).append(auto)
        config_class = self.subject.config_class
        return [Head(cls, tuple(names), config_class, self._overrides(names)) for cls, names in autos.items()]

    def _overrides(self, autos: list[str]) -> dict[str, Any]:
        switchable = hasattr(self.subject.config(), "is_decoder") and not self.is_encoder_decoder
        return {"is_decoder": True} if _CAUSAL in autos and switchable else {}

    @property
    def base(self) -> Head:
        """The class of ``AutoModel``, else the first."""
        return next((head for head in self.heads if "AutoModel" in head.autos), self.heads[0])

    def with_labels(self) -> list[Head]:
        """The classes whose ``forward`` computes a loss."""
        return [head for head in self.heads if head.has_labels]

    def generating(self) -> list[Head]:
        """The classes that generate.

        Raises:
            NotApplicable: there is none.
        """
        heads = [head for head in self.heads if head.generates and head.cls.can_generate()]
        if not heads:
            raise NotApplicable("no class of the manifest generates")
        return heads

    def fresh(self, head: Head, seed: int = 0, **overrides: Any) -> PreTrainedModel:
        """A model as its constructor leaves it, in evaluation mode."""
        config = self.subject.config(**{**head.overrides, **overrides})
        with seeded(seed):
            return head.cls(config).eval()

    def build(
        self,
        head: Head,
        attention: str | None = None,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
        **overrides: Any,
    ) -> PreTrainedModel:
        """A model whose every weight is random, biases and norms too: zeros would hide what padding changes."""
        model = self.fresh(head, seed, **overrides)
        with seeded(seed), torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.1, 0.3)
        if attention is not None:
            model.set_attn_implementation(attention)
        return model.to(dtype).eval()

    @cached_property
    def attentions(self) -> list[str]:
        """The names of the attention implementations that there are for this architecture, eager first."""
        names = {one.name for one in implementations_for(self.subject.model_type)}
        return ["eager", *sorted(names - {"eager"})]

    def saved(self, head: Head, **overrides: Any) -> tuple[PreTrainedModel, Path]:
        """A model in float32 and a folder that it was saved in."""
        model = self.build(head, dtype=torch.float32, **overrides)
        folder = self.subject.folder()
        model.save_pretrained(folder)
        return model, folder


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside, and leave the generator outside as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def served(attention: str, attempt: Callable[[torch.dtype], Answer]) -> Answer:
    """What an attempt gives in the most precise dtype that an attention implementation serves.

    Raises:
        NotApplicable: it serves the call in none; but eager serves everything.
    """
    for dtype in DTYPES:
        try:
            return attempt(dtype)
        except AttentionUnsupported as reason:
            if attention == "eager":
                raise
            refused = reason
    first, *others = str(refused).splitlines()
    raise NotApplicable(" ".join([first, *others[:1]])) from refused


@contextmanager
def without_warnings_of_new_weights() -> Iterator[None]:
    """Loading a base model into a head warns, rightly, of new weights."""
    import warnings

    from formers.errors import MissingWeightsWarning, UnexpectedWeightsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingWeightsWarning)
        warnings.simplefilter("ignore", UnexpectedWeightsWarning)
        yield


def close(found: Any, expected: Any, what: str = "") -> None:
    """Equal within the tolerance of the dtype: rounding, and no more.

    Raises:
        AssertionError: they differ; the message says by how much and where.
    """
    tolerance = _TOLERANCES.get(getattr(expected, "dtype", torch.float64), (1e-6, 1e-7))
    torch.testing.assert_close(
        found, expected, rtol=tolerance[0], atol=tolerance[1], equal_nan=False,
        msg=lambda text: f"{what}: {text}" if what else text,
    )  # fmt: skip


_TOLERANCES = {
    torch.float64: (1e-6, 1e-7),
    torch.float32: (1e-4, 1e-5),
    torch.bfloat16: (5e-2, 5e-2),
    torch.float16: (1e-2, 1e-2),
}


def equal(found: Tensor, expected: Tensor, what: str) -> None:
    """The same bits."""
    require(
        found.dtype == expected.dtype and found.shape == expected.shape and torch.equal(found, expected),
        f"{what} is not the same to the bit",
    )


def same_state(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    """Two models have the same tensors under the same names, to the bit."""
    left, right = found.state_dict(), expected.state_dict()
    require(left.keys() == right.keys(), f"names differ: {sorted(left.keys() ^ right.keys())}")
    for name, value in left.items():
        equal(value, right[name], name)


def finite(output: Any, what: str = "output") -> None:
    """Every number of every tensor is finite."""
    for name, value in tensors_of(output).items():
        if value.is_floating_point():
            require(bool(value.isfinite().all()), f"{name} of the {what} is not finite everywhere")


def tensors_of(output: Any) -> dict[str, Tensor]:
    """The tensors of an output by field; the fields of tuples are numbered. Caches are left out."""
    found: dict[str, Tensor] = {}
    for name, value in output.items():
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, tuple) and all(isinstance(one, Tensor) for one in value):
            found |= {f"{name}[{index}]": one for index, one in enumerate(value)}
    return found


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference, as a part of the norm of what is expected."""
    size = float(expected.double().norm())
    return float((found.double() - expected.double()).norm()) / (size or math.inf)
