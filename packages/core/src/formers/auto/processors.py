"""The Auto classes of what prepares inputs other than text: features, images, videos, or several kinds at once.

The core has no such class of its own; plugins and ``register`` provide them. What is here is the choice: the
class that the checkpoint's JSON names, else the one for the checkpoint's configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from formers.config import PreTrainedConfig
from formers.errors import LoadError, UnknownModelTypeError, UnsupportedHeadError, shorten
from formers.files.resolve import Source, resolve_folder, resolve_single_file
from formers.files.strict_json import read_json
from formers.plugins import messages, registry

from .configuration import load_config
from .construction import refuse_construction

__all__ = ["AutoFeatureExtractor", "AutoImageProcessor", "AutoProcessor", "AutoVideoProcessor"]


class _Factory:
    """Reads the JSON, finds the class, builds the object, applies the overrides.

    A class to be given has ``from_dict(dict)``, or takes the JSON's keys as keyword arguments.
    """

    kind: ClassVar[str]  # in words, for messages
    files: ClassVar[tuple[str, ...]]  # looked for in this order
    keys: ClassVar[tuple[str, ...]]  # the JSON keys that may name the class

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_construction(type(self).__name__, "from_pretrained(name)")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *inputs: Any,
        config: PreTrainedConfig | None = None,
        return_unused_kwargs: bool = False,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load the object that a checkpoint's JSON file describes.

        Args:
            pretrained_model_name_or_path: a folder, the JSON file itself, or the id of a repository on the hub.
            inputs: further positional arguments of the class.
            config: decides the class where the JSON does not, in place of the checkpoint's configuration.
            return_unused_kwargs: also return the keyword arguments that are not attributes of the object.
            trust_remote_code: as for ``AutoConfig.from_pretrained``; no code of a folder is ever run.
            code_revision: accepted, and of no effect.
            kwargs: where to look, as for ``AutoConfig.from_pretrained``; attributes that override the JSON's.

        Raises:
            UnsupportedHeadError: no installed plugin provides a class for it.
            LoadError: there is no such file, or it cannot be read.
        """
        source = Source.from_kwargs(pretrained_model_name_or_path, kwargs)
        path, data = cls._read(source, cls.files)
        known = config or _config_beside(source, path)
        factory = cls._class_for(data, path, known, (cls.__name__,), trusted=bool(trust_remote_code))
        return cls._build(factory, data, inputs, kwargs, return_unused_kwargs)

    @classmethod
    def _read(cls, source: Source, files: Sequence[str]) -> tuple[Path, dict[str, Any]]:
        """The JSON file and its content."""
        path = resolve_single_file(source)
        if path is None:
            folder = resolve_folder(source, files)
            path = next(filter(None, map(folder.file, files)), None)
            if path is None:
                raise LoadError(
                    f"{folder.path} holds no {cls.kind}: looked for {', '.join(files)}; "
                    f"found {', '.join(folder.names()) or 'nothing'}."
                )
        data = read_json(path)
        if not isinstance(data, dict):
            raise LoadError(f"{path}: expected a JSON object, found {shorten(data)}.")
        return path, data

    @classmethod
    def _class_for(
        cls,
        data: Mapping[str, Any],
        path: Path,
        config: PreTrainedConfig | Exception,
        roles: Sequence[str],
        *,
        trusted: bool,
    ) -> type:
        """The class that the JSON names, or that serves the configuration, in the first role that has one."""
        named = next((data[key] for key in cls.keys if isinstance(data.get(key), str)), None)
        if named is not None:
            plain = named.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
            for registered in (one for role in roles for one in registry.registered_classes(role)):
                if registered.__name__ in (named, plain, f"{plain}Fast"):
                    return registered
        reason = config
        if isinstance(config, PreTrainedConfig):
            for role in roles:
                try:
                    return registry.auto_class_for(role, config)
                except (UnsupportedHeadError, UnknownModelTypeError) as error:
                    reason = error
        if data.get("auto_map"):
            raise UnsupportedHeadError(messages.remote_code(None, str(path), trusted=trusted))
        what = f"the {cls.kind} {shorten(named)} that {path} names" if named else f"the {cls.kind} of {path}"
        raise UnsupportedHeadError(
            f"No installed plugin provides {what}. The core has none of its own: a plugin lists it as "
            f"{cls.__name__}, or {cls.__name__}.register adds it.\n{reason}"
        )

    @classmethod
    def _build(
        cls,
        factory: type,
        data: Mapping[str, Any],
        inputs: tuple[Any, ...],
        overrides: Mapping[str, Any],
        return_unused_kwargs: bool,
    ) -> Any:
        values = {key: value for key, value in data.items() if key not in (*cls.keys, "auto_map")}
        from_dict = getattr(factory, "from_dict", None)
        built = from_dict(values, *inputs) if callable(from_dict) else factory(*inputs, **values)
        unused: dict[str, Any] = {}
        for key, value in overrides.items():
            if hasattr(built, key):
                setattr(built, key, value)
            else:
                unused[key] = value
        return (built, unused) if return_unused_kwargs else built


class AutoFeatureExtractor(_Factory):
    """Loads the feature extractor of a checkpoint: for audio, and for images of older checkpoints."""

    kind = "feature extractor"
    files = ("preprocessor_config.json", "config.json")
    keys = ("feature_extractor_type",)

    @classmethod
    def register(
        cls, config_class: type[PreTrainedConfig], feature_extractor_class: type, exist_ok: bool = False
    ) -> None:
        """Give ``feature_extractor_class`` for checkpoints of ``config_class``, in this process."""
        registry.register_class(cls.__name__, config_class, feature_extractor_class, exist_ok)


class AutoVideoProcessor(_Factory):
    """Loads the video processor of a checkpoint."""

    kind = "video processor"
    files = ("video_preprocessor_config.json", "preprocessor_config.json", "config.json")
    keys = ("video_processor_type",)

    @classmethod
    def register(
        cls, config_class: type[PreTrainedConfig], video_processor_class: type, exist_ok: bool = False
    ) -> None:
        """Give ``video_processor_class`` for checkpoints of ``config_class``, in this process."""
        registry.register_class(cls.__name__, config_class, video_processor_class, exist_ok)


class AutoProcessor(_Factory):
    """Loads the processor of a checkpoint that takes several kinds of input.

    A class with a ``from_pretrained`` of its own is asked to load itself, since a processor has several files.
    """

    kind = "processor"
    files = ("processor_config.json", "preprocessor_config.json", "config.json")
    keys = ("processor_class",)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *inputs: Any,
        config: PreTrainedConfig | None = None,
        return_unused_kwargs: bool = False,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load the processor of a folder or repository; as for the other Auto classes, but not from one file."""
        name, given = pretrained_model_name_or_path, dict(kwargs)
        source = Source.from_kwargs(name, kwargs)
        if source.file is not None or source.single_file is not None:
            raise LoadError(
                f"AutoProcessor.from_pretrained({shorten(os.fspath(name))}): a processor has several files; "
                "give the folder that holds them."
            )
        path, data = cls._read(source, cls.files)
        known = config or _config_beside(source, path)
        factory: Any = cls._class_for(data, path, known, (cls.__name__,), trusted=bool(trust_remote_code))
        if callable(getattr(factory, "from_pretrained", None)):
            built = factory.from_pretrained(name, *inputs, **given)
            return (built, {}) if return_unused_kwargs else built
        return cls._build(factory, data, inputs, kwargs, return_unused_kwargs)

    @classmethod
    def register(
        cls, config_class: type[PreTrainedConfig], processor_class: type, exist_ok: bool = False
    ) -> None:
        """Give ``processor_class`` for checkpoints of ``config_class``, in this process."""
        registry.register_class(cls.__name__, config_class, processor_class, exist_ok)


class AutoImageProcessor(_Factory):
    """Loads the image processor of a checkpoint: one over numpy, or a fast one over torchvision."""

    kind = "image processor"
    files = ("preprocessor_config.json", "config.json")
    keys = ("image_processor_type", "feature_extractor_type")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *inputs: Any,
        config: PreTrainedConfig | None = None,
        use_fast: bool = False,
        image_processor_filename: str | None = None,
        return_unused_kwargs: bool = False,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load the image processor that a checkpoint's JSON file describes.

        Args:
            use_fast: prefer the class over torchvision; where a type has one of the two only, that one is given.
            image_processor_filename: name of the JSON file, instead of ``preprocessor_config.json`` or, failing
                that, ``config.json``.

        The other arguments and the errors are those of ``AutoFeatureExtractor.from_pretrained``.
        """
        source = Source.from_kwargs(pretrained_model_name_or_path, kwargs)
        files = cls.files if image_processor_filename is None else (image_processor_filename,)
        path, data = cls._read(source, files)
        roles = (cls.__name__, f"{cls.__name__}:fast")
        factory = cls._class_for(
            data,
            path,
            config or _config_beside(source, path),
            roles[::-1] if use_fast else roles,
            trusted=bool(trust_remote_code),
        )
        return cls._build(factory, data, inputs, kwargs, return_unused_kwargs)

    @classmethod
    def register(
        cls,
        config_class: type[PreTrainedConfig],
        image_processor_class: type | None = None,
        slow_image_processor_class: type | None = None,
        fast_image_processor_class: type | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Give image processors for checkpoints of ``config_class``, in this process.

        ``image_processor_class`` is the older name of ``slow_image_processor_class``; at least one of the three
        is needed.
        """
        slow = slow_image_processor_class or image_processor_class
        if slow is None and fast_image_processor_class is None:
            raise ValueError(f"{cls.__name__}.register: give a slow or a fast image processor class.")
        if slow is not None:
            registry.register_class(cls.__name__, config_class, slow, exist_ok)
        if fast_image_processor_class is not None:
            registry.register_class(
                f"{cls.__name__}:fast", config_class, fast_image_processor_class, exist_ok
            )


def _config_beside(source: Source, path: Path) -> PreTrainedConfig | Exception:
    """The checkpoint's configuration, or the reason why there is none: the JSON may do without."""
    if source.single_file is not None:
        source = source._replace(name=str(path.parent))
    try:
        return load_config(source, {})[0]
    except (LoadError, UnknownModelTypeError, UnsupportedHeadError) as error:
        return error
