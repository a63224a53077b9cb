"""Uploading, with a client that notes what it is asked and has no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from fake_api import FakeApi
from huggingface_hub.errors import EntryNotFoundError

from formers.files.push import PushToHubMixin, push_folder


def write(folder: Path) -> None:
    (folder / "some.txt").write_text("content")


class Thing(PushToHubMixin):
    _kind = "thing"

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        write(Path(save_directory))
        if push_to_hub:
            self._push_saved(save_directory, kwargs)


def test_one_commit_with_everything(api: type[FakeApi]) -> None:
    url = push_folder(write, "thing", commit_message="Say", private=True, token="secret")
    assert url == "https://hub/me/thing/commit/1"
    assert api.uploaded == {"some.txt": "content"}
    assert api.made_with["token"] == "secret"
    assert api.calls == [
        ("create_repo", {"repo_id": "thing", "private": True, "exist_ok": True}),
        (
            "upload_folder",
            {
                "repo_id": "me/thing",
                "commit_message": "Say",
                "commit_description": None,
                "revision": None,
                "create_pr": False,
            },
        ),
    ]


def test_nothing_happens_on_the_hub_if_saving_fails(api: type[FakeApi]) -> None:
    def fail(folder: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        push_folder(fail, "thing", commit_message="Say")
    assert api.calls == []


@pytest.mark.parametrize(
    ("options", "branch"),
    [
        ({"revision": "next"}, True),
        ({"revision": "next", "create_pr": True}, False),
        ({"revision": "refs/pr/1"}, False),
    ],
)
def test_branches(api: type[FakeApi], options: dict[str, Any], branch: bool) -> None:
    push_folder(write, "me/thing", commit_message="Say", **options)
    assert [call for call, _ in api.calls] == ["create_repo", *["create_branch"] * branch, "upload_folder"]
    assert api.calls[-1][1]["revision"] == options["revision"]


@pytest.mark.parametrize("present", [None, "---\ntags:\n- old\nlicense: mit\n---\n# Mine\n"])
def test_tags_go_into_the_card(
    api: type[FakeApi], monkeypatch: pytest.MonkeyPatch, present: str | None
) -> None:
    def load(repo_id: str, **options: Any) -> huggingface_hub.ModelCard:
        if present is None:
            raise EntryNotFoundError("no card")
        return huggingface_hub.ModelCard(present)

    monkeypatch.setattr(huggingface_hub.ModelCard, "load", load)
    push_folder(write, "me/thing", commit_message="Say", tags=["old", "new"])
    card = huggingface_hub.ModelCard(api.uploaded["README.md"])
    assert card.data.tags == ["old", "new"]
    assert ("# Mine" in card.content) == (present is not None)


def test_defaults_of_the_mixin(api: type[FakeApi]) -> None:
    assert Thing().push_to_hub("org/thing").startswith("https://hub/org/thing")
    assert api.calls[-1][1]["commit_message"] == "Upload thing"
    assert api.calls[0][1]["private"] is None


@pytest.mark.parametrize(
    ("options", "repo_id"),
    [
        ({"repo_name": "thing"}, "thing"),
        ({"repo_name": "thing", "organization": "org"}, "org/thing"),
        ({"repo_id": "thing", "organization": "org"}, "org/thing"),
        ({"repo_url": "https://huggingface.co/org/thing"}, "org/thing"),
        ({"repo_url": "https://huggingface.co/org/thing.git"}, "org/thing"),
    ],
)
def test_names_of_transformers_4(api: type[FakeApi], options: dict[str, Any], repo_id: str) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        Thing().push_to_hub(**options, use_auth_token=True)
    assert api.calls[0][1]["repo_id"] == repo_id
    assert api.made_with["token"] is True


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, TypeError, "needs a repo_id"),
        ({"repo_id": "a", "repo": "b"}, TypeError, "unexpected argument repo"),
        ({"repo_id": "a", "repo_name": "b"}, ValueError, "several repositories"),
        ({"repo_id": "a", "token": "x", "use_auth_token": "y"}, ValueError, "same setting"),
    ],
)
@pytest.mark.filterwarnings("ignore:push_to_hub:FutureWarning")
def test_bad_arguments(
    api: type[FakeApi], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Thing().push_to_hub(**options)
    assert api.calls == []


def test_saving_and_pushing(api: type[FakeApi], tmp_path: Path) -> None:
    folder = tmp_path / "my-thing"
    folder.mkdir()
    Thing().save_pretrained(folder, push_to_hub=True, commit_message="Say")
    assert api.calls[0][1]["repo_id"] == "my-thing"
    assert api.calls[-1][1]["commit_message"] == "Say"
