"""Chat templates in files: written as transformers writes them, read in every form that there has been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_hub import FIRST, SECOND, Hub
from small_tokenizer import folder_of, small

from formers import AutoTokenizer
from formers.errors import CorruptFileError, TextInputError, UnsafePathError
from formers.tokenization import TokenizersBackend
from formers.tokenization.chat.saved import template_files

NAMED = {"default": "D", "rag": "R\n", "tool_use": "T {{ 1 }}"}


def tree(folder: Path) -> dict[str, str]:
    """The files that hold templates."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*.jinja"))
    }


def settings_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    return found


def loaded(folder: Path, **options: Any) -> Any:
    return TokenizersBackend.from_pretrained(folder, **options).chat_template


@pytest.mark.parametrize(
    ("template", "files"),
    [
        ("A {{ 1 }}\n", {"chat_template.jinja": "A {{ 1 }}\n"}),
        ("", {"chat_template.jinja": ""}),
        (
            NAMED,
            {
                "additional_chat_templates/rag.jinja": "R\n",
                "additional_chat_templates/tool_use.jinja": "T {{ 1 }}",
                "chat_template.jinja": "D",
            },
        ),
        ({"rag": "é"}, {"additional_chat_templates/rag.jinja": "é"}),
        (None, {}),
    ],
)
def test_templates_are_saved_as_files_and_come_back(
    template: Any, files: dict[str, str], tmp_path: Path
) -> None:
    paths = small(chat_template=template).save_pretrained(tmp_path)
    assert tree(tmp_path) == files
    assert {Path(path).relative_to(tmp_path).as_posix() for path in paths} >= files.keys()
    assert "chat_template" not in settings_of(tmp_path)
    assert loaded(tmp_path) == template
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == template


def test_saving_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "notes.txt").write_text("mine")
    for template in (NAMED, {"default": "D", "rag": "new"}, "only", {"other": "O"}, None):
        tokenizer = small(chat_template=template)
        tokenizer.save_pretrained(tmp_path)
        assert tree(tmp_path) == template_files(tokenizer.chat_template)
        assert loaded(tmp_path) == template
    assert (tmp_path / "additional_chat_templates" / "notes.txt").read_text() == "mine"


def test_a_prefix_is_put_before_every_name(tmp_path: Path) -> None:
    small(chat_template="plain").save_pretrained(tmp_path)
    small(chat_template=NAMED).save_pretrained(tmp_path, filename_prefix="pre")
    assert set(tree(tmp_path)) == {
        "chat_template.jinja",
        "pre-chat_template.jinja",
        "pre-additional_chat_templates/rag.jinja",
        "pre-additional_chat_templates/tool_use.jinja",
    }
    assert loaded(tmp_path) == "plain"


def test_the_older_form_is_written_if_asked(tmp_path: Path) -> None:
    small(chat_template=NAMED).save_pretrained(tmp_path)
    small(chat_template="text").save_pretrained(tmp_path, save_jinja_files=False)
    assert tree(tmp_path) == {}
    assert settings_of(tmp_path)["chat_template"] == "text"
    assert loaded(tmp_path) == "text"
    small(chat_template=NAMED).save_pretrained(tmp_path, save_jinja_files=False)
    assert settings_of(tmp_path)["chat_template"][1] == {"name": "rag", "template": "R\n"}
    assert loaded(tmp_path) == NAMED


@pytest.mark.parametrize(
    "name", ["../x", "../../x", "/x", "a/b", "a\\b", "..\\x", "C:x", "", "a\0b", "x" * 250, ".formers-x"]
)
def test_a_name_that_is_no_file_name_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner" / "folder"
    small(chat_template="old").save_pretrained(folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafePathError, match="chat_template"):
        small(chat_template={"default": "D", name: "X"}).save_pretrained(folder)
    assert sorted(tmp_path.rglob("*")) == before
    assert loaded(folder) == "old"


def test_a_link_at_the_place_of_the_subfolder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.jinja").write_text("X")
    folder = folder_of(tmp_path / "folder")
    (folder / "additional_chat_templates").symlink_to(outside)
    assert loaded(folder) is None
    with pytest.raises(UnsafePathError, match="symbolic link"):
        small(chat_template=NAMED).save_pretrained(folder)
    assert [path.name for path in outside.iterdir()] == ["x.jinja"]


@pytest.mark.parametrize(
    ("stored", "files", "expected"),
    [
        ("old", {}, "old"),
        (
            [{"name": "default", "template": "x"}, {"name": "r", "template": "y"}],
            {},
            {"default": "x", "r": "y"},
        ),
        ([{"name": "r", "template": "y"}], {}, {"r": "y"}),
        ({"default": "x"}, {}, {"default": "x"}),
        (None, {}, None),
        ("old", {"chat_template.jinja": "new"}, "new"),
        ([{"name": "r", "template": "y"}], {"chat_template.jinja": "new"}, "new"),
        ("old", {"additional_chat_templates/r.jinja": "R"}, {"r": "R"}),
        (
            None,
            {"additional_chat_templates/r.jinja": "R", "chat_template.jinja": "J"},
            {"default": "J", "r": "R"},
        ),
        (None, {"additional_chat_templates/default.jinja": "R"}, "R"),
        (None, {"additional_chat_templates/a.b.jinja": "R"}, {"a.b": "R"}),
        (None, {"additional_chat_templates/x.txt": "R", "additional_chat_templates/s/y.jinja": "R"}, None),
        (None, {"chat_template.jinja": "a\r\nb\r"}, "a\nb\n"),
        (None, {"chat_template.jinja": "\ufeffbom"}, "bom"),
        (None, {"chat_template.json": '{"chat_template": "of a processor"}'}, None),
    ],
)
def test_every_form_is_read(stored: Any, files: dict[str, str], expected: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **({} if stored is None else {"chat_template": stored}))
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode("utf-8"))
    assert loaded(folder) == expected
    assert loaded(folder, chat_template="given") == "given"
    assert loaded(folder, chat_template=None) is None


@pytest.mark.parametrize("stored", [3, [1], [{"name": "a"}], [{"name": "a", "template": 3}], {"a": 1}, True])
def test_a_setting_that_is_no_template_names_the_file(stored: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, chat_template=stored)
    with pytest.raises(CorruptFileError, match=r"tokenizer_config\.json: chat_template"):
        loaded(folder)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "chat_template.jinja").write_bytes(b"abc\xff")
    with pytest.raises(CorruptFileError, match=r"chat_template\.jinja: byte 3, b'\\xff', is not UTF-8"):
        loaded(folder)


def test_what_the_caller_gives_wrong_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(TextInputError, match="chat_template=3"):
        loaded(folder_of(tmp_path), chat_template=3)


names = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:."), min_size=1, max_size=8)
sources = st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff"), max_size=20)


@given(st.one_of(st.none(), sources, st.dictionaries(names, sources, min_size=1, max_size=3)))
def test_what_was_saved_is_what_is_loaded(tmp_path_factory: pytest.TempPathFactory, template: Any) -> None:
    folder = tmp_path_factory.mktemp("saved")
    small(chat_template=template).save_pretrained(folder)
    first = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = TokenizersBackend.from_pretrained(folder)
    expected = (
        template["default"] if isinstance(template, dict) and list(template) == ["default"] else template
    )
    assert again.chat_template == expected
    again.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == first


# On the hub.


def files_of(tmp_path: Path, template: Any) -> dict[str, bytes]:
    small(chat_template=template).save_pretrained(tmp_path)
    return {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }


def test_templates_are_fetched_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/chat", files_of(tmp_path / "files", NAMED))
    cache = tmp_path / "cache"
    assert AutoTokenizer.from_pretrained("owner/chat", cache_dir=cache).chat_template == NAMED
    hub.log.clear()
    assert loaded("owner/chat", cache_dir=cache) == NAMED  # type: ignore[arg-type]
    assert not any("/tree/" in request for request in hub.requests()), (
        "the folder is listed once for each commit"
    )
    assert loaded("owner/chat", cache_dir=cache, local_files_only=True) == NAMED  # type: ignore[arg-type]
    hub.add("owner/chat", files_of(tmp_path / "newer", {"default": "D", "other": "O"}), commit=SECOND)
    assert loaded("owner/chat", cache_dir=cache) == {"default": "D", "other": "O"}  # type: ignore[arg-type]
    assert loaded("owner/chat", cache_dir=cache, revision=FIRST) == NAMED  # type: ignore[arg-type]


def test_a_repository_without_templates_is_asked_once(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/plain", files_of(tmp_path / "files", None))
    cache = tmp_path / "cache"
    for _ in range(3):
        assert loaded("owner/plain", cache_dir=cache) is None  # type: ignore[arg-type]
    assert sum("/tree/" in request for request in hub.requests()) == 1


def test_a_hub_that_names_files_elsewhere_is_refused(hub: Hub, tmp_path: Path) -> None:
    files = files_of(tmp_path / "files", "D")
    hub.add("owner/evil", {**files, "additional_chat_templates/..": b"X"})
    with pytest.raises(UnsafePathError, match="owner/evil"):
        loaded("owner/evil", cache_dir=tmp_path / "cache")  # type: ignore[arg-type]
