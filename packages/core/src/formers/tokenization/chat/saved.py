"""Chat templates in files, as transformers has them.

``chat_template.jinja`` is the default, ``additional_chat_templates/NAME.jinja`` are those with names. Older folders
have them in ``tokenizer_config.json``, under ``chat_template``; where there are files, these are the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from formers.errors import CorruptFileError, LoadError, TextInputError, UnsafePathError, shorten
from formers.files.folder import Folder
from formers.files.names import flat_name
from formers.tokenization.chat.templates import DEFAULT, Templates, checked

__all__ = ["ADDITIONAL", "KEY", "SUFFIX", "TEMPLATE", "read_templates", "template_files", "template_settings"]

TEMPLATE = "chat_template.jinja"
ADDITIONAL = "additional_chat_templates"
SUFFIX = ".jinja"
KEY = "chat_template"


def read_templates(folder: Folder, stored: Mapping[str, Any], source: Path) -> Templates | None:
    """The templates of a folder.

    Args:
        folder: where the files are.
        stored: the settings, of which ``chat_template`` is used if there are no files.
        source: the file of the settings, for errors.

    Raises:
        CorruptFileError: a file is not text, or the settings hold something else than templates.
    """
    found: dict[str, str] = {}
    path = folder.file(TEMPLATE)
    if path is not None:
        found[DEFAULT] = _read(path)
    for name in folder.names(ADDITIONAL):
        path = folder.file(f"{ADDITIONAL}/{name}") if name.endswith(SUFFIX) else None
        if path is not None:
            found[name.removesuffix(SUFFIX)] = _read(path)
    if found:
        return found[DEFAULT] if list(found) == [DEFAULT] else found
    try:
        return checked(stored.get(KEY))
    except TextInputError as error:
        raise CorruptFileError(f"{source}: {error}") from error


def template_files(templates: Templates | None) -> dict[str, str]:
    """Name to content, of the files that hold the templates.

    Raises ``UnsafePathError`` for the name of a template that is no plain file name.
    """
    named = {DEFAULT: templates} if isinstance(templates, str) else templates or {}
    files = {TEMPLATE: named[DEFAULT]} if DEFAULT in named else {}
    for name, template in named.items():
        if name == DEFAULT:
            continue
        if not name:
            raise UnsafePathError(
                "chat_template: a template has the name ''; a name that a file can have is expected"
            )
        files[f"{ADDITIONAL}/{flat_name(name + SUFFIX, source='chat_template')}"] = template
    return files


def template_settings(templates: Templates | None) -> dict[str, Any]:
    """What ``tokenizer_config.json`` holds where there are to be no files of templates."""
    if isinstance(templates, dict):
        return {KEY: [{"name": name, "template": template} for name, template in templates.items()]}
    return {} if templates is None else {KEY: templates}


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: the chat template cannot be read ({error})") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = shorten(raw[error.start : error.start + 1])
        raise CorruptFileError(
            f"{path}: byte {error.start}, {byte}, is not UTF-8; a text is expected"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
