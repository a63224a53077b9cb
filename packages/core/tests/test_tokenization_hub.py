"""Tokenizers on the hub: pushed with a client that notes what it is asked, loaded from a loopback server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi
from loopback_hub import FIRST, Hub
from small_tokenizer import folder_of, small

from formers.tokenization import TokenizersBackend


def test_pushing(api: type[FakeApi]) -> None:
    assert small().push_to_hub("org/tok", private=True, tags=None).startswith("https://hub/org/tok/commit")
    assert sorted(api.uploaded) == ["tokenizer.json", "tokenizer_config.json"]
    calls = dict(api.calls)
    assert calls["create_repo"] == {"repo_id": "org/tok", "private": True, "exist_ok": True}
    assert calls["upload_folder"]["commit_message"] == "Upload tokenizer"
    assert calls["upload_folder"]["create_pr"] is False


@pytest.mark.filterwarnings("ignore:push_to_hub:FutureWarning")
def test_the_names_of_transformers_4(api: type[FakeApi]) -> None:
    old: dict[str, Any] = {"repo_name": "tok", "organization": "org", "use_auth_token": "secret"}
    assert "org/tok" in small().push_to_hub(**old)
    assert api.made_with["token"] == "secret"


def test_saving_and_pushing(api: type[FakeApi], tmp_path: Path) -> None:
    small().save_pretrained(tmp_path / "my-tok", push_to_hub=True, commit_message="Say")
    assert dict(api.calls)["create_repo"]["repo_id"] == "my-tok"
    assert dict(api.calls)["upload_folder"]["commit_message"] == "Say"
    assert (tmp_path / "my-tok" / "tokenizer.json").is_file()
    with pytest.raises(TypeError, match="got commit_message, but push_to_hub is not set"):
        small().save_pretrained(tmp_path / "other", commit_message="Say")
    assert not (tmp_path / "other").exists()
    with pytest.raises(TypeError, match="needs a repo_id"):
        small().push_to_hub()


def test_loading(hub: Hub, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f", model_max_length=9)
    hub.add("org/tok", {path.name: path.read_bytes() for path in folder.iterdir()})
    hub.private.add("org/tok")
    options: dict[str, Any] = {"cache_dir": tmp_path / "cache", "token": "secret"}
    tokenizer = TokenizersBackend.from_pretrained("org/tok", revision=FIRST, **options)
    assert tokenizer("the cat").input_ids == small()("the cat").input_ids
    assert tokenizer.model_max_length == 9
    asked = len(hub.log)
    again = TokenizersBackend.from_pretrained("org/tok", revision=FIRST, local_files_only=True, **options)
    assert again("the cat") == tokenizer("the cat")
    assert len(hub.log) == asked
