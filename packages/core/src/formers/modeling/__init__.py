"""The base class of models and what its methods are made of."""

from .base import PreTrainedModel

__all__ = ["PreTrainedModel"]
