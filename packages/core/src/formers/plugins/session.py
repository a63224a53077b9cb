"""What has been registered in this process, and the checks that a registration must pass."""

from __future__ import annotations

from formers.errors import ConfigValidationError, shorten

from .loading import Provider

__all__ = ["Session", "check_classes", "checked_config_class"]


class Session:
    """Registrations: manifests and configuration classes by model type, classes by role and configuration."""

    __slots__ = ("architectures", "classes", "configs")

    def __init__(self) -> None:
        self.architectures: dict[str, Provider] = {}
        self.configs: dict[str, type] = {}
        self.classes: dict[str, dict[type, tuple[type, ...]]] = {}

    def copy(self) -> Session:
        """A copy that later registrations do not reach."""
        other = Session()
        other.architectures = dict(self.architectures)
        other.configs = dict(self.configs)
        other.classes = {role: dict(classes) for role, classes in self.classes.items()}
        return other

    def holds(self, model_type: str) -> bool:
        """Whether a model type is registered."""
        return model_type in self.architectures or model_type in self.configs

    def classes_for(self, role: str, config_class: type) -> tuple[type, ...]:
        """The classes registered for a role and exactly this configuration class."""
        return self.classes.get(role, {}).get(config_class, ())

    def knows(self, config_class: type) -> bool:
        """Whether anything is registered for a configuration class or one of its bases."""
        known = set(self.configs.values()).union(*self.classes.values())
        return not known.isdisjoint(config_class.__mro__)


def checked_config_class(config_class: object, argument: str, model_type: str | None = None) -> str:
    """The model type of a configuration class that is being registered.

    Raises:
        ConfigValidationError: it is not a configuration class, or its ``model_type`` is not the given one.
    """
    own = getattr(config_class, "model_type", None)
    if not isinstance(config_class, type) or not isinstance(own, str) or not own:
        raise ConfigValidationError(
            f"{argument}={shorten(config_class)} is not a configuration class: a class with a model_type."
        )
    if model_type is not None and own != model_type:
        raise ConfigValidationError(
            f"{config_class.__name__}.model_type is {own!r}, but the class is being registered as "
            f"{model_type!r}. Make them equal: the name in config.json is what finds the class again."
        )
    return own


def check_classes(role: str, config_class: type, classes: tuple[type, ...]) -> None:
    """Refuse what is not a class, or declares another ``config_class`` than it is registered for.

    Raises:
        ConfigValidationError: see above; the message names both classes.
    """
    if not classes:
        raise ConfigValidationError(f"{role}.register: no class given for {config_class.__name__}.")
    for one in classes:
        if not isinstance(one, type):
            raise ConfigValidationError(f"{role}.register: {shorten(one)} is not a class.")
        declared = getattr(one, "config_class", None)
        if declared is not None and declared is not config_class:
            raise ConfigValidationError(
                f"{role}.register: {one.__name__}.config_class is {getattr(declared, '__name__', declared)}, "
                f"but the class is being registered for {config_class.__name__}. Make them the same class."
            )
