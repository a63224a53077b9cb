"""Names that the core does not have, or cannot give: what to import or install instead."""

from __future__ import annotations

import importlib.util

from formers.errors import MissingExtraError

from . import discovery, messages
from .catalogue import model_type_of_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["explain_missing", "require_torch"]

_OTHER_FRAMEWORKS = ("TF", "Flax")


def require_torch(who: str) -> None:
    """Raise ``MissingExtraError`` if PyTorch is not installed; it is not imported."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f'{who} needs PyTorch, which is not installed: pip install "formers[torch]"')


def explain_missing(name: str, public: Collection[str]) -> None:
    """Raise an ImportError for a name that another package has, or that only other frameworks have.

    ``from formers import Name`` shows the text of an ImportError, but not that of an AttributeError.
    """
    for prefix in _OTHER_FRAMEWORKS:
        plain = name.removeprefix(prefix)
        if plain != name and (plain in public or plain.startswith("Auto") or _model_type(plain) is not None):
            instead = f" Use {plain}." if plain in public else ""
            raise ImportError(f"formers is for PyTorch only, and has no {name!r}.{instead}")
    model_type = _model_type(name)
    if model_type is not None:
        providers = discovery.index().providers(discovery.MODELS, model_type)
        raise ImportError(messages.import_hint(name, model_type, providers))


def _model_type(class_name: str) -> str | None:
    return model_type_of_class(class_name, tuple(discovery.index().names(discovery.MODELS)))
