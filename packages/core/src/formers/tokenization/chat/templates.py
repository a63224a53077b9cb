"""The attribute ``chat_template`` of a tokenizer: no template, one, or several by name; and which one a call means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from formers.errors import TemplateError, TextInputError, TokenizerWarning, shorten, warn

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["ChatTemplate", "Templates", "checked", "choose"]

Templates = str | dict[str, str]
"""One template, or name to template."""

DEFAULT = "default"
_TOOLS = "tool_use"  # the name that is used for tools, where there are several


class ChatTemplate:
    """The attribute ``chat_template``: text, a mapping from name to text, or None.

    ``{"default": ..., "tool_use": ..., "rag": ...}`` are the customary names. A list of
    ``{"name": ..., "template": ...}``, as files hold them, is understood too.
    """

    @overload
    def __get__(self, tokenizer: None, owner: type) -> ChatTemplate: ...
    @overload
    def __get__(self, tokenizer: PreTrainedTokenizerBase, owner: type) -> Templates | None: ...
    def __get__(
        self, tokenizer: PreTrainedTokenizerBase | None, owner: type
    ) -> ChatTemplate | Templates | None:
        return self if tokenizer is None else tokenizer.__dict__.get("_chat_template")

    def __set__(self, tokenizer: PreTrainedTokenizerBase, value: Any) -> None:
        tokenizer.__dict__["_chat_template"] = checked(value)


def checked(value: Any) -> Templates | None:
    """A value as templates. Raises ``TextInputError`` for anything that does not hold any."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if not isinstance(item, Mapping) or not {"name", "template"} <= item.keys():
                raise TextInputError(
                    f"chat_template[{index}]={shorten(item)}: expected a mapping with 'name' and 'template'"
                )
        value = {item["name"]: item["template"] for item in value}
    if isinstance(value, Mapping):
        for name, template in value.items():
            if not isinstance(name, str) or not isinstance(template, str):
                raise TextInputError(
                    f"chat_template: {shorten(name)} is {shorten(template)}; expected names and texts of templates"
                )
        return dict(value)
    raise TextInputError(
        f"chat_template={shorten(value)}: expected the text of a template, a mapping from names to texts, or None"
    )


def choose(tokenizer: PreTrainedTokenizerBase, chat_template: str | None, tools: object) -> tuple[str, str]:
    """The name and the text of the template that a call means.

    Args:
        tokenizer: whose templates there are.
        chat_template: a name, a template, or None.
        tools: with tools, ``tool_use`` comes before ``default``.

    Raises:
        TemplateError: there is none, or there are several and none that is meant if no name is given.
    """
    own: Templates | None = tokenizer.chat_template
    if chat_template is not None and not isinstance(chat_template, str):
        raise TextInputError(
            f"chat_template={shorten(chat_template)}: expected a template, or the name of one"
        )
    if isinstance(own, dict):
        if chat_template is None:
            preferred = [
                name for name in (_TOOLS, DEFAULT) if name in own and (tools is not None or name != _TOOLS)
            ]
            if not preferred:
                raise TemplateError(
                    f"the tokenizer has the chat templates {', '.join(map(repr, own))}, and no default; pass "
                    "chat_template with one of these names"
                )
            chat_template = preferred[0]
        if chat_template in own:
            return chat_template, own[chat_template]
    if chat_template is not None:
        if chat_template and "{" not in chat_template and "\n" not in chat_template:
            names = ", ".join(map(repr, own)) if isinstance(own, dict) else "none"
            warn(
                f"chat_template={shorten(chat_template)} is taken for a template, which shows no message at all; if it "
                f"is a name, the tokenizer does not know it (it has {names})",
                TokenizerWarning,
            )
        return "chat_template", chat_template
    if own is None:
        raise TemplateError(
            f"{type(tokenizer).__name__} has no chat template: the checkpoint is not a chat model's, or was saved "
            "without one. Set tokenizer.chat_template, or pass chat_template"
        )
    assert isinstance(own, str)
    return DEFAULT, own
