"""Files of a model on the Hugging Face hub, through huggingface_hub and its cache.

The only module that downloads. One request asks for the present commit of the revision; all files are then taken
from that commit, and what is cached is not asked for again. In offline mode no connection is opened at all.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from formers.errors import CorruptFileError, FormersWarning, LoadError, shorten, warn
from formers.files.names import flat_name

if TYPE_CHECKING:
    from formers.files.resolve import Source

__all__ = ["fetch", "offline_note", "quiet_client"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASHED_ON_REUSE = (
    8 * 2**20
)  # cached files up to this size are checked against their hash whenever they are used
_TRUE = ("1", "true", "yes", "on")


class _Answer(NamedTuple):
    """What the hub says about a revision: its commit, and the size of the file that was asked about, if known."""

    commit: str | None
    size: int | None


def fetch(source: Source, names: Sequence[str]) -> dict[str, Path]:
    """Where the files ``names`` of a repository lie in the cache, downloaded if need be; absent ones are left out.

    A name that ends with a slash is a folder, and stands for the files directly in it. All are of one commit. If
    the hub cannot be reached, cached files are used, with a warning.

    Raises:
        LoadError: there is no such repository or revision, access is denied, or neither hub nor cache has it.
        CorruptFileError: a file is not what its hash says, and cannot be downloaded again.
    """
    files = [name for name in names if not name.endswith("/")]
    folders = [name for name in names if name.endswith("/")]
    switch = _offline_switch(source)
    if switch is not None:
        return _from_cache(source, files, f"offline mode is on ({switch})") | _cached_below(source, folders)
    revision = source.commit or source.revision
    if _COMMIT.fullmatch(revision) and not source.force_download:
        cached = {name: _lookup(source, name, revision) for name in files}
        if all(path is False or (path and _is_intact(path, None)) for path in cached.values()):
            found = {name: path for name, path in cached.items() if path}
            return found | _fetch_below(source, folders, revision)
    answer = _ask(source, files[0], revision)
    if isinstance(answer, str):
        found = _from_cache(source, files, answer)
        warn(
            f"{source.name}: {answer}; using what is cached. Set HF_HUB_OFFLINE=1 or local_files_only=True to "
            "skip the attempt.",
            FormersWarning,
        )
        return found | _cached_below(source, folders)
    found = _download_missing(source, files, revision, answer)
    return found | _fetch_below(source, folders, answer.commit or revision)


def offline_note(source: Source) -> str:
    """A sentence about the switch that keeps the hub out of reach, to append to a message; empty if there is none."""
    switch = _offline_switch(source)
    return "" if switch is None else f" Only the cache was searched, since offline mode is on ({switch})."


def quiet_client() -> Any:
    """The module huggingface_hub, with its telemetry off.

    Unless told otherwise it lists installed libraries in every request, and asks the hub once a day for the names
    of programs whose use it then reports. The setting is a global of that library, read when a request is made.
    """
    import huggingface_hub
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def endpoint() -> str | None:
    """The address of the hub if the environment changes it."""
    return os.environ.get("HF_ENDPOINT") or None


def _offline_switch(source: Source) -> str | None:
    if source.local_files_only:
        return "local_files_only=True"
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").lower() in _TRUE:
            return f"{variable}={os.environ[variable]}"
    return "HF_HUB_OFFLINE was set when huggingface_hub was imported" if _constants().HF_HUB_OFFLINE else None


def _constants() -> Any:
    from huggingface_hub import constants

    return constants


def _download_missing(
    source: Source, names: Sequence[str], revision: str, answer: _Answer
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    commit = answer.commit
    for index, name in enumerate(names):
        # The first request is for the branch, so that huggingface_hub notes which commit it stands for.
        wanted = revision if index == 0 or commit is None else commit
        path = None if source.force_download else _lookup(source, name, wanted)
        if path and (commit is None or commit in path.parts):
            size = answer.size if index == 0 else _size_on_hub(source, name, wanted, path)
            if _is_intact(path, size):
                found[name] = path
                continue
        elif path is False and wanted == commit:
            continue
        downloaded = _download(source, name, wanted, force=source.force_download or bool(path))
        if downloaded is not None:
            found[name] = downloaded
            commit = downloaded.parents[name.count("/")].name
    return found


def _fetch_below(source: Source, folders: Sequence[str], commit: str) -> dict[str, Path]:
    """The files directly in folders of a commit, which the hub is asked about once."""
    found: dict[str, Path] = {}
    for folder in folders:
        listed = _repository(source) / ".no_exist" / commit / f"{folder.rstrip('/')}.listed"
        if source.force_download or not listed.exists():
            for name in _names_below(source, folder, commit):
                _download(source, name, commit, force=source.force_download)
            with suppress(OSError):  # a cache that cannot be written is asked about again
                listed.parent.mkdir(parents=True, exist_ok=True)
                listed.touch()
        found |= _files_below(source, folder, commit)
    return found


def _cached_below(source: Source, folders: Sequence[str]) -> dict[str, Path]:
    snapshot = _snapshot(source, source.commit or source.revision)
    if snapshot is None:
        return {}
    return {
        name: path for folder in folders for name, path in _files_below(source, folder, snapshot.name).items()
    }


def _files_below(source: Source, folder: str, commit: str) -> dict[str, Path]:
    path = _repository(source) / "snapshots" / commit / folder
    if not path.is_dir():
        return {}
    return {folder + entry.name: entry for entry in sorted(path.iterdir()) if entry.is_file()}


def _names_below(source: Source, folder: str, commit: str) -> list[str]:
    """The names of the files directly in a folder on the hub; none if it has no such folder."""
    from huggingface_hub import errors

    client = quiet_client().HfApi(endpoint=endpoint(), token=source.token, library_name="formers")
    failures: tuple[type[Exception], ...] = (ValueError, *_connection_errors())
    try:
        entries = list(client.list_repo_tree(source.name, folder.rstrip("/"), revision=commit))
    except errors.EntryNotFoundError:
        return []
    except failures as error:
        raise LoadError(f"{source.name}: the files in {folder} could not be listed: {error}") from error
    names = [entry.path for entry in entries if hasattr(entry, "size")]
    return [
        folder + flat_name(name.removeprefix(folder), source=f"{source.name}: {folder}") for name in names
    ]


def _download(source: Source, name: str, revision: str, force: bool) -> Path | None:
    from huggingface_hub import errors

    hub = quiet_client()
    failures: tuple[type[Exception], ...] = (ValueError, *_connection_errors())
    try:
        path = Path(
            hub.hf_hub_download(
                source.name,
                name,
                revision=revision,
                cache_dir=source.cache_dir,
                token=source.token,
                force_download=force,
                endpoint=endpoint(),
                library_name="formers",
            )
        )
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise LoadError(f"{source.name}: {name} could not be downloaded: {error}") from error
        return None
    except failures as error:
        raise LoadError(f"{source.name}: {name} could not be downloaded: {error}") from error
    if not _matches_hash(path):
        _forget(path)
        raise CorruptFileError(
            f"{source.name}: the content of {name} is not what its SHA-256 says; the download was deleted. "
            "Try again; if it happens again, something between here and the hub changes files."
        )
    return path


def _ask(source: Source, name: str, revision: str) -> _Answer | str:
    """The hub's answer to one request, without retries; a reason if there was none but the cache may help.

    Raises ``LoadError`` if the hub has answered that it has no such repository or revision.
    """
    from huggingface_hub import errors

    hub = quiet_client()
    described = f"{source.name} (revision {revision!r})"
    try:
        address = hub.hf_hub_url(source.name, name, revision=revision, endpoint=endpoint())
        metadata = hub.get_hf_file_metadata(
            address, token=source.token, timeout=_constants().HF_HUB_ETAG_TIMEOUT, library_name="formers"
        )
    except errors.RevisionNotFoundError as error:
        raise LoadError(
            f"{source.name} has no revision {revision!r} (branch, tag or commit).{_cached_note(source)}"
        ) from error
    except errors.GatedRepoError as error:
        raise LoadError(
            f"{described} is gated: ask for access on its page, then pass token=... or run 'hf auth login'."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise LoadError(_not_found(source)) from error
    except errors.EntryNotFoundError as error:
        response = getattr(error, "response", None)
        return _Answer(None if response is None else response.headers.get("X-Repo-Commit"), None)
    except errors.LocalTokenNotFoundError as error:
        raise LoadError(f"{described}: token=True, but no token is stored; run 'hf auth login'.") from error
    except errors.HFValidationError as error:
        raise LoadError(
            f"{shorten(source.name)} is neither a path that exists nor a model id: {error}"
        ) from error
    except _connection_errors() as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise LoadError(_not_found(source)) from error
        where = endpoint() or _constants().ENDPOINT
        return f"the hub at {where} " + (
            f"answered with status {status}"
            if status
            else f"cannot be reached ({type(error).__name__}: {error})"
        )
    return _Answer(metadata.commit_hash, metadata.size)


def _connection_errors() -> tuple[type[Exception], ...]:
    """What a request that fails raises; the HTTP library differs between versions of huggingface_hub."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)))


def _not_found(source: Source) -> str:
    return (
        f"{source.name} is neither a local folder nor a model on the hub that you may read. Check the spelling; "
        f"for a private model pass token=... or run 'hf auth login'.{_cached_note(source)}"
    )


def _from_cache(source: Source, names: Sequence[str], reason: str) -> dict[str, Path]:
    """The cached ones of ``names``; ``reason`` is why the hub is not asked for the others.

    Raises ``LoadError`` if nothing of the revision is cached.
    """
    if source.force_download:
        raise LoadError(f"{source.name}: force_download=True needs the hub, but {reason}.")
    revision = source.commit or source.revision
    found: dict[str, Path] = {}
    for name in names:
        path = _lookup(source, name, revision)
        if path and not _is_intact(path, None):
            raise CorruptFileError(
                f"{path} is damaged: its content does not match its name in the cache. Delete it, or load once with "
                f"force_download=True; that needs the hub, but {reason}."
            )
        if path:
            found[name] = path
    if not found and _snapshot(source, revision) is None:
        raise LoadError(
            f"{source.name} (revision {revision!r}) is not in the cache, and {reason}.{_cached_note(source)} "
            f"Looked in {_repository(source)}. Load it once while the hub can be reached, or give the path of a folder."
        )
    return found


def _lookup(source: Source, name: str, revision: str) -> Path | Literal[False] | None:
    """The cached file; False if the hub is known not to have it; None if nothing is known."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    path = try_to_load_from_cache(source.name, name, cache_dir=source.cache_dir, revision=revision)
    if isinstance(path, str):
        return Path(path)
    return False if path is _CACHED_NO_EXIST else None


def _repository(source: Source) -> Path:
    root = Path(source.cache_dir or _constants().HF_HUB_CACHE)
    return root / ("models--" + source.name.replace("/", "--"))


def _snapshot(source: Source, revision: str) -> Path | None:
    repository = _repository(source)
    reference = repository / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def _cached_note(source: Source) -> str:
    """A sentence that lists the cached revisions."""
    repository = _repository(source)
    references = repository / "refs"
    names = [path.relative_to(references).as_posix() for path in references.rglob("*") if path.is_file()]
    snapshots = repository / "snapshots"
    commits = [path.name for path in snapshots.iterdir()] if snapshots.is_dir() else []
    known = sorted(names) + sorted(commits)
    return f" Cached revisions: {', '.join(known[:10])}." if known else " No revision of it is cached."


def _size_on_hub(source: Source, name: str, revision: str, path: Path) -> int | None:
    """The size that the hub gives for a file too large to be hashed whenever it is used."""
    if path.stat().st_size <= _HASHED_ON_REUSE:
        return None
    answer = _ask(source, name, revision)
    return answer.size if isinstance(answer, _Answer) else None


def _is_intact(path: Path, size: int | None) -> bool:
    """Whether a cached file has the size that the hub gives and, if small, the content that its name promises."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        return False
    return actual > _HASHED_ON_REUSE or _matches_hash(path, strict=True)


def _matches_hash(path: Path, *, strict: bool = False) -> bool:
    """Whether the content of a cached file has the hash that its name is, if that is one.

    Names of 64 digits are SHA-256, of large files; those of 40, looked at if ``strict``, are git's SHA-1 of others.
    """
    promised = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", promised):
        return _digest(path, hashlib.sha256()) == promised
    if strict and _COMMIT.fullmatch(promised):
        git = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        return promised in (_digest(path, git), _digest(path, hashlib.sha1(usedforsecurity=False)))
    return True


def _digest(path: Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return str(digest.hexdigest())


def _forget(path: Path) -> None:
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
