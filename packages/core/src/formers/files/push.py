"""Uploading a saved folder to the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from formers.errors import shorten, warn

__all__ = ["PushToHubMixin", "push_folder"]


def push_folder(
    writer: Callable[[Path], None],
    repo_id: str,
    *,
    commit_message: str,
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    tags: Sequence[str] | None = None,
) -> str:
    """Upload what ``writer`` saves into an empty temporary folder, as one commit.

    Args:
        writer: called with the folder; nothing is created on the hub if it raises.
        repo_id: ``"name"`` in your own namespace, or ``"organisation/name"``. Created if it is missing.
        commit_message: first line of the commit.
        commit_description: further lines.
        private: whether a *new* repository is private; None leaves that to the settings of the organisation.
        token: access token; True or None for the stored one.
        revision: branch to commit to, created if it is missing; None for the default branch.
        create_pr: open a pull request instead.
        tags: added to the metadata of the model card.

    Returns:
        The address of the commit.

    Raises whatever huggingface_hub raises; its errors say what the hub answered.
    """
    import tempfile

    from formers.files.hub import endpoint, quiet_client

    hub = quiet_client()
    with tempfile.TemporaryDirectory(prefix="formers-push-") as temporary:
        folder = Path(temporary)
        writer(folder)
        client = hub.HfApi(endpoint=endpoint(), token=token, library_name="formers")
        target = str(client.create_repo(repo_id, private=private, exist_ok=True).repo_id)
        if revision is not None and not create_pr and not revision.startswith("refs/"):
            client.create_branch(target, branch=revision, exist_ok=True)
        if tags:
            _write_card(folder / "README.md", target, tags, token)
        commit = client.upload_folder(
            repo_id=target,
            folder_path=str(folder),
            commit_message=commit_message,
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.commit_url)


class PushToHubMixin:
    """``push_to_hub`` for whatever has ``save_pretrained``."""

    _kind: ClassVar[str] = "config"  # in the default commit message

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> Any:
        """Save into a folder; provided by the class that this is mixed into."""
        raise NotImplementedError

    def push_to_hub(
        self,
        repo_id: str | None = None,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str | None = "50GB",
        tags: list[str] | None = None,
        **deprecated: Any,
    ) -> str:
        """Upload to the hub.

        Args:
            repo_id: ``"name"`` in your own namespace, or ``"organisation/name"``; required.
            commit_message: ``"Upload config"``, ``"Upload model"`` or ``"Upload tokenizer"`` if not given.
            commit_description: further lines of the commit message.
            private: whether a new repository is private; None leaves that to the settings of the organisation.
            token: access token; True or None for the one that ``hf auth login`` stored.
            revision: branch to commit to; None for the default branch.
            create_pr: open a pull request instead.
            max_shard_size: largest weights file of a model, in bytes or as ``"5MB"``; nothing else is sharded.
            tags: added to the metadata of the model card.
            **deprecated: the names of transformers 4: ``repo_name``, ``organization``, ``repo_url``,
                ``use_auth_token``.

        Returns:
            The address of the commit.

        Raises:
            TypeError: no ``repo_id``, or an argument that does not exist.
            ValueError: an old and a new name of one argument are both given.
        """
        repo_id, token = _with_old_names(repo_id, token, deprecated)
        return push_folder(
            lambda folder: self._save_to_push(folder, max_shard_size),
            repo_id,
            commit_message=commit_message or f"Upload {self._kind}",
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            tags=tags,
        )

    def _save_to_push(self, folder: Path, max_shard_size: int | str | None) -> None:
        """Save what is to be uploaded. Models pass ``max_shard_size`` on."""
        self.save_pretrained(folder)

    def _push_saved(self, save_directory: str | os.PathLike[str], kwargs: Mapping[str, Any]) -> str:
        """The upload of ``save_pretrained(push_to_hub=True)``: to the folder's name unless told otherwise."""
        options = dict(kwargs)
        if not options.keys() & {"repo_id", "repo_name", "repo_url"}:
            options["repo_id"] = Path(save_directory).resolve().name
        return self.push_to_hub(**options)


def _with_old_names(
    repo_id: str | None, token: bool | str | None, deprecated: Mapping[str, Any]
) -> tuple[str, bool | str | None]:
    """``repo_id`` and ``token``, also from the argument names of transformers 4."""
    old = {name: value for name, value in deprecated.items() if value is not None}
    unknown = deprecated.keys() - {
        "repo_name",
        "organization",
        "repo_url",
        "use_auth_token",
        "repo_path_or_name",
    }
    if unknown:
        raise TypeError(f"push_to_hub() got an unexpected argument {', '.join(sorted(unknown))}")
    if old:
        warn(
            f"push_to_hub({', '.join(sorted(old))}) is deprecated: use repo_id='organisation/name' and token.",
            FutureWarning,
        )
    if "use_auth_token" in old:
        if token is not None:
            raise ValueError("token and use_auth_token are the same setting; give token alone")
        token = old["use_auth_token"]
    names = [_id_in(old[key]) for key in ("repo_name", "repo_path_or_name", "repo_url") if key in old]
    if repo_id is not None:
        names.append(repo_id)
    if not names:
        raise TypeError("push_to_hub() needs a repo_id, such as 'my-model' or 'my-organisation/my-model'")
    if len(set(names)) > 1:
        raise ValueError(
            f"several repositories are named: {', '.join(shorten(name) for name in names)}; give repo_id"
        )
    name = names[0]
    if "organization" in old and "/" not in name:
        name = f"{old['organization']}/{name}"
    return name, token


def _id_in(name: str) -> str:
    """``owner/name`` from the address of a repository; another name as it is."""
    if not name.startswith(("http://", "https://")):
        return name
    path = name.split("://", 1)[1].partition("/")[2]
    return "/".join(path.rstrip("/").removesuffix(".git").split("/")[:2])


def _write_card(path: Path, repo_id: str, tags: Sequence[str], token: str | bool | None) -> None:
    """The model card of the repository, or a new one, with ``tags`` added."""
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.errors import EntryNotFoundError

    try:
        card = ModelCard.load(repo_id, token=token if isinstance(token, str) else None)
    except EntryNotFoundError:
        data = ModelCardData()
        card = ModelCard(f"---\n{data.to_yaml()}\n---\n")
    present = list(card.data.tags or [])
    card.data.tags = [*present, *(tag for tag in tags if tag not in present)]
    card.save(path)
