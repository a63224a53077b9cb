"""A client of the hub that notes what it is asked and has no network; request the fixture ``api``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest


class FakeApi:
    calls: list[tuple[str, dict[str, Any]]]
    uploaded: dict[str, str]
    made_with: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        type(self).made_with = options

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

    def create_branch(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_branch", {"repo_id": repo_id, **options}))

    def upload_folder(self, *, folder_path: str, **options: Any) -> Any:
        self.calls.append(("upload_folder", options))
        self.uploaded.update({path.name: path.read_text() for path in Path(folder_path).iterdir()})
        return SimpleNamespace(commit_url=f"https://hub/{options['repo_id']}/commit/1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    FakeApi.calls, FakeApi.uploaded, FakeApi.made_with = [], {}, {}
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    return FakeApi
