"""From the name of a model to a local folder.

A name is a folder, a single file, or an id on the hub. What is on disk, or looks as if it should be, never
touches the network and never imports huggingface_hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formers.errors import LoadError, shorten, warn
from formers.files.folder import Folder
from formers.files.names import contained_name

__all__ = ["LOADING_OPTIONS", "Source", "resolve_file", "resolve_folder", "resolve_single_file"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[\w.-]{1,96})?", re.ASCII)
_FILE_SUFFIXES = (".json", ".txt", ".bin", ".safetensors", ".model", ".pt", ".pth")
_HUB_URL = re.compile(
    r"(?P<endpoint>https?://[^/]+)/(?P<id>[^/]+/[^/]+|[^/]+)/(?:resolve|blob|raw)/(?P<revision>[^/]+)/(?P<file>[^?#]+)"
)

LOADING_OPTIONS = frozenset(
    {
        "cache_dir",
        "force_download",
        "local_files_only",
        "token",
        "revision",
        "subfolder",
        "return_unused_kwargs",
    }
)


class Source(NamedTuple):
    """Where something is loaded from: a name and the options of every ``from_pretrained``.

    Made by ``from_kwargs``, which validates. ``file`` is set when the name was the address of one file on the hub,
    ``is_path`` when it was given as a path object.
    """

    name: str
    revision: str = "main"
    subfolder: str = ""
    cache_dir: str | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False
    commit: str | None = None
    file: str | None = None
    is_path: bool = False

    def __repr__(self) -> str:  # without the token
        return f"Source({self.name!r}, revision={self.revision!r}, subfolder={self.subfolder!r})"

    @classmethod
    def from_kwargs(cls, name: str | os.PathLike[str], kwargs: MutableMapping[str, Any]) -> Source:
        """Take the options about loading out of ``kwargs``.

        Takes ``cache_dir``, ``force_download``, ``local_files_only``, ``token``, ``revision``, ``subfolder`` and
        ``_commit_hash``; warns (``FutureWarning``) of ``use_auth_token``, ``resume_download``, ``mirror`` and
        ``proxies``, of which only the first has an effect.

        Raises:
            TypeError: ``name`` is neither a string nor a path.
            ValueError: both ``token`` and ``use_auth_token`` are given.
            UnsafePathError: ``subfolder`` or ``revision`` climbs out of its place.
            LoadError: the name is the address of something that is not on the hub.
        """
        if not isinstance(name, str | os.PathLike):
            raise TypeError(f"a folder, a file or a model id is expected as name, not {shorten(name)}")
        text = os.fspath(name)
        token = kwargs.pop("token", None)
        old_token = kwargs.pop("use_auth_token", None)
        if old_token is not None:
            _deprecated("use_auth_token", "use token")
            if token is not None:
                raise ValueError("token and use_auth_token are the same setting; give token alone")
            token = old_token
        for option, remedy in _WITHOUT_EFFECT.items():
            if kwargs.pop(option, None) is not None:
                _deprecated(option, remedy)
        cache_dir = kwargs.pop("cache_dir", None)
        revision = kwargs.pop("revision", None) or "main"
        address = _parse_address(text) if text.startswith(("http://", "https://")) else {}
        return cls(
            name=address.get("name", text),
            revision=_checked_revision(address.get("revision", revision)),
            subfolder=_checked_subfolder(kwargs.pop("subfolder", None) or ""),
            cache_dir=None if cache_dir is None else os.fspath(cache_dir),
            token=token,
            local_files_only=bool(kwargs.pop("local_files_only", False)),
            force_download=bool(kwargs.pop("force_download", False)),
            commit=kwargs.pop("_commit_hash", None),
            file=address.get("file"),
            is_path=not isinstance(name, str),
        )

    @property
    def single_file(self) -> Path | None:
        """The local file that the name is the path of, or None."""
        return Path(self.name) if self.name and os.path.isfile(self.name) else None

    @property
    def is_local(self) -> bool:
        """Whether the name is a path: one that exists, or one that can be nothing else."""
        return (
            self.is_path
            or os.path.exists(self.name)
            or _HUB_ID.fullmatch(self.name) is None
            or _is_path_like(self.name)
        )

    def commit_of(self, path: Path) -> str | None:
        """The commit that ``path`` belongs to if it lies in the cache of the hub."""
        if self.is_local:
            return None
        parts = path.parts
        for repository, snapshots, commit in zip(parts, parts[1:], parts[2:], strict=False):
            if repository.startswith("models--") and snapshots == "snapshots":
                return commit
        return None


def resolve_folder(source: Source, wanted: Sequence[str]) -> Folder:
    """The local folder of ``source``. From the hub, those of the ``wanted`` files that exist are in it.

    Args:
        source: where to look.
        wanted: file names, relative to the folder, and names of folders with a slash at their end; ignored for a
            local folder.

    Raises:
        LoadError: there is no such folder or model, the hub cannot be reached, or it has none of the files.
        UnsafePathError: a name leads out of the folder.
    """
    if source.is_local:
        return Folder.open(_local_folder(source))
    from formers.files import hub

    names = [_below(source, name) for name in wanted]
    found = hub.fetch(source, names)
    if not found:
        raise LoadError(
            f"{source.name} (revision {source.revision!r}) has none of the files {', '.join(names)}; "
            f"check the name, the revision and the subfolder.{hub.offline_note(source)}"
        )
    name, path = next(iter(found.items()))
    snapshot = path.parents[name.count("/")]
    return Folder.open(snapshot / source.subfolder)


def resolve_file(source: Source, filename: str) -> Path | None:
    """One file of ``source``, or None if there is no such file. Raises as ``resolve_folder``."""
    if source.is_local:
        return Folder.open(_local_folder(source)).file(filename)
    from formers.files import hub

    return hub.fetch(source, [_below(source, filename)]).get(_below(source, filename))


def resolve_single_file(source: Source) -> Path | None:
    """The file that the name itself stands for, a path or an address on the hub; None for a folder or a model.

    Raises ``LoadError`` for an address without such a file.
    """
    if source.file is None:
        return source.single_file
    path = resolve_file(source, source.file)
    if path is None:
        raise LoadError(f"{source.name} (revision {source.revision!r}) has no file {source.file!r}.")
    return path


def _local_folder(source: Source) -> str:
    if os.path.isdir(source.name):
        return os.path.join(source.name, source.subfolder) if source.subfolder else source.name
    if os.path.exists(source.name):
        raise LoadError(f"{source.name} is a file; the folder that holds it is expected here.")
    raise LoadError(
        f"{shorten(source.name)} does not exist. It is taken for a path, since a model on the hub is called "
        f"'name' or 'owner/name'; nothing was downloaded. The working directory is {os.getcwd()}."
    )


def _is_path_like(name: str) -> bool:
    return name.startswith((".", "~")) or name.endswith(_FILE_SUFFIXES) or ".." in name


def _below(source: Source, name: str) -> str:
    contained_name(name.removesuffix("/"), source=source.name)
    return f"{source.subfolder}/{name}" if source.subfolder else name


def _checked_subfolder(subfolder: str) -> str:
    stripped = os.fspath(subfolder).rstrip("/")
    return contained_name(stripped, source="subfolder") if stripped else ""


def _checked_revision(revision: str) -> str:
    """A git reference or commit; it becomes part of paths in the cache."""
    if not isinstance(revision, str):
        raise TypeError(f"revision={shorten(revision)}: a branch, a tag or a commit is expected, as a string")
    return contained_name(revision, source="revision")


def _parse_address(address: str) -> Mapping[str, str]:
    match = _HUB_URL.fullmatch(address)
    known = {"https://huggingface.co", "https://hf.co", os.environ.get("HF_ENDPOINT", "").rstrip("/")}
    if match is None or match["endpoint"] not in known:
        raise LoadError(
            f"{shorten(address)} is not the address of a file on the hub (https://huggingface.co/owner/name/"
            "resolve/main/config.json). Download other files yourself and give their path."
        )
    from urllib.parse import unquote

    return {"name": match["id"], "revision": unquote(match["revision"]), "file": unquote(match["file"])}


_WITHOUT_EFFECT = {
    "resume_download": "it has no effect, downloads are always resumed",
    "mirror": "it has no effect; set the environment variable HF_ENDPOINT",
    "proxies": "it has no effect; set the environment variables HTTP_PROXY and HTTPS_PROXY",
}


def _deprecated(option: str, remedy: str) -> None:
    warn(f"{option} is deprecated: {remedy}.", FutureWarning)
