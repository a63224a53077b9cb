"""The registrations of a process as a value that repeats them in another.

What is installed needs none of this: every process finds it by itself.
"""

from __future__ import annotations

import pickle
import sys

from formers.errors import FormersError

from . import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .manifest import Architecture
    from .session import Session

__all__ = ["Registrations", "exported_registrations"]


class Registrations:
    """Calling it registers in this process what was registered in the one that made it.

    Arguments are ignored, so that it can be the ``initializer`` of a pool and the ``worker_init_fn`` of a loader.
    """

    __slots__ = ("_architectures", "_classes", "_configs")

    def __init__(self, session: Session) -> None:
        self._architectures: dict[str, Architecture] = {
            name: provider.architecture for name, provider in session.architectures.items()
        }
        self._configs = dict(session.configs)
        self._classes = [
            (role, config_class, classes)
            for role, by_config in session.classes.items()
            for config_class, classes in by_config.items()
        ]
        for one in (
            *self._configs.values(),
            *(one for _, key, classes in self._classes for one in (key, *classes)),
        ):
            _check_importable(one)

    def __call__(self, *ignored: object) -> None:
        """Register everything, in place of what this process has registered for the same types."""
        for architecture in dict.fromkeys(self._architectures.values()):
            registry.register(architecture, exist_ok=True)
        for model_type, config_class in self._configs.items():
            registry.register_config(model_type, config_class, exist_ok=True)
        for role, config_class, classes in self._classes:
            registry.register_class(role, config_class, classes, exist_ok=True)

    def __len__(self) -> int:
        return len(self._architectures) + len(self._configs) + len(self._classes)

    def __repr__(self) -> str:
        types = sorted({*self._architectures, *self._configs})
        return f"<{len(self)} registrations, of model types {', '.join(types) or '(none)'}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (self._architectures, self._configs, self._classes)


def exported_registrations() -> Registrations:
    """What ``formers.register`` and the ``register`` methods have made known in this process, for workers.

    A worker that is spawned, and not forked, knows what is installed but not what was registered. Pass the result to
    whatever starts it:

        with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=formers.exported_registrations()) as pool:
            ...
        DataLoader(dataset, num_workers=2, worker_init_fn=formers.exported_registrations())

    Raises:
        FormersError: a registered class cannot be imported by another process, because it was defined inside a function
            or at a prompt.
    """
    return Registrations(registry.session())


def _remade(
    architectures: dict[str, Architecture],
    configs: dict[str, type],
    classes: list[tuple[str, type, tuple[type, ...]]],
) -> Registrations:
    made = object.__new__(Registrations)
    made._architectures, made._configs, made._classes = architectures, configs, classes
    return made


def _check_importable(one: type) -> None:
    where = "at a prompt or in a notebook"
    at_prompt = one.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__")
    if not at_prompt:
        try:
            pickle.dumps(one)
        except (pickle.PicklingError, AttributeError):
            where = "inside a function"
        else:
            return
    raise FormersError(
        f"{one.__module__}.{one.__qualname__} is registered, but a worker cannot import it: it was defined {where}. "
        "Move it to a module of its own and register it from there."
    )
