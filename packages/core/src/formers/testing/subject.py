"""The architecture under test, as the checks see it. No torch here: configurations are checked without it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.errors import ConfigValidationError
from formers.plugins import registry

from .checks import NotApplicable
from .processes import Probe
from .tiny import Tiny, tiny_of

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig
    from formers.plugins.loading import Provider
    from formers.plugins.manifest import Architecture

    from .models import Models

__all__ = ["Subject"]


class Subject:
    """One model type: its manifest, tiny configurations, models, and a folder to work in.

    Args:
        model_type: installed, or registered in this process.
        reference: name of an installed library to compare with (the tier ``interop``); None for none.
        settings: of the configuration, for a variant of the architecture; checks may set others.

    Raises:
        UnknownModelTypeError, PluginLoadError, PluginConflictError: as the registry says.
    """

    def __init__(
        self, model_type: str, *, reference: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.model_type = model_type
        self.reference = reference
        self.settings = dict(settings or {})
        self.provider: Provider = registry.provider_for(model_type)
        self.suite: type | None = None  # the class that a test file made for it
        self._folders = 0

    @property
    def architecture(self) -> Architecture:
        """The manifest."""
        return self.provider.architecture

    @cached_property
    def config_class(self) -> type[PreTrainedConfig]:
        """The class that the manifest names."""
        if self.architecture.config is None:
            raise NotApplicable("the manifest has tokenizers and nothing else")
        found: type[PreTrainedConfig] = self.provider.load_class(self.architecture.config)
        return found

    def can(self, capability: str) -> bool:
        """Whether the manifest declares a capability."""
        return capability in self.architecture.capabilities

    def tiny(self, **overrides: Any) -> Tiny:
        """The small instance, with other settings of its configuration.

        Raises:
            ConfigValidationError: the manifest names no ``tiny``, or it is of another class.
        """
        reference = self.architecture.tiny
        if reference is None:
            raise ConfigValidationError(
                f"The manifest of {self.model_type!r} has no tiny: a function that gives a small configuration, as "
                "'package.module:name'. The conformance kit needs one."
            )
        made = tiny_of(self.provider.load(reference), {**self.settings, **overrides})
        if type(made.config) is not self.config_class:
            raise ConfigValidationError(
                f"{reference} gives a {type(made.config).__name__}; the manifest of {self.model_type!r} names "
                f"{self.config_class.__name__}."
            )
        return made

    def config(self, **overrides: Any) -> PreTrainedConfig:
        """A small configuration."""
        return self.tiny(**overrides).config

    @cached_property
    def models(self) -> Models:
        """Models and inputs; imports torch.

        Raises:
            NotApplicable: the manifest has no models.
        """
        from .models import Models

        if not any(name.startswith("AutoModel") for name in self.architecture.auto):
            raise NotApplicable("the manifest has no models")
        return Models(self)

    @cached_property
    def tokenizer(self) -> Any:
        """A small tokenizer; raises as :func:`formers.testing.texts.make_tokenizer`."""
        from .texts import make_tokenizer

        return make_tokenizer(self)

    @cached_property
    def probe(self) -> Probe:
        """What is learnt about the plugin in processes of its own.

        Raises:
            NotApplicable: it is registered in this process only.
        """
        if self.provider.found is None:
            raise NotApplicable("registered in this process, where no other process finds it")
        return Probe(self.model_type)

    def folder(self) -> Path:
        """A new empty folder, removed with the subject."""
        self._folders += 1
        folder = self._workspace / str(self._folders)
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def _workspace(self) -> Path:
        path = tempfile.mkdtemp(prefix="formers-conformance-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Path(path)

    def close(self) -> None:
        """Remove what was written."""
        if "_workspace" in vars(self):
            shutil.rmtree(self._workspace, ignore_errors=True)
