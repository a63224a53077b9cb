"""From the arguments of ``apply_chat_template`` to rendered chats. Imported with the first call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from formers.errors import MissingExtraError
from formers.tokenization.chat import continuing, inputs, sanitizing, spans, tools
from formers.tokenization.chat.budget import Size

if TYPE_CHECKING:
    from types import ModuleType

    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["Chat", "Request", "import_rendering", "render_chats", "request_for"]


class Request(NamedTuple):
    """How chats are to be rendered.

    Attributes:
        name: what error messages call the template.
        source: the template.
        variables: what it sees beside the messages; values of JSON.
        size: of the variables.
        field: the field of the last message to continue, or None.
        controls: the control tokens that the caller's texts may hold but not use.
    """

    name: str
    source: str
    variables: Mapping[str, Any]
    size: Size
    field: str | None
    controls: Sequence[str]


class Chat(NamedTuple):
    """A rendered chat.

    Attributes:
        text: the text.
        generated: the spans of it that the assistant wrote; ``lost`` counts those whose place is unknown.
        quoted: (start, end) of each control token that the caller wrote.
    """

    text: str
    generated: Sequence[spans.Span] = ()
    lost: int = 0
    quoted: Sequence[tuple[int, int]] = ()


def request_for(
    tokenizer: PreTrainedTokenizerBase,
    template: tuple[str, str],
    given: Mapping[str, Any],
    variables: Mapping[str, Any],
    field: str | None,
    sanitize: bool,
) -> Request:
    """The request of a call; ``given`` holds its ``tools`` and ``documents``.

    Raises ``TextInputError`` for tools and documents that are none.
    """
    copier = inputs.Copier()
    seen = {name: copier.copy(value, name) for name, value in variables.items()}
    seen["tools"] = copier.copy(inputs.as_tools(given["tools"], tools.get_json_schema), "tools")
    seen["documents"] = copier.copy(inputs.as_documents(given["documents"]), "documents")
    controls: Sequence[str] = ()
    if sanitize:
        controls = sanitizing.control_tokens(tokenizer, import_rendering().literals(template[1]))
    return Request(*template, seen, copier.size, field, controls)


def render_chats(
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[Sequence[Any]],
    places: Sequence[str],
    request: Request,
) -> list[Chat]:
    """Render each chat by itself; the places are their names in error messages.

    Raises:
        TemplateError: the template is wrong, raises an error itself, or exceeds its budget.
        TextInputError: there is nothing to continue.
    """
    return [_render_one(tokenizer, chat, place, request) for chat, place in zip(chats, places, strict=True)]


def _render_one(
    tokenizer: PreTrainedTokenizerBase, chat: Sequence[Any], place: str, request: Request
) -> Chat:
    copier = inputs.Copier()
    messages = copier.copy(list(chat), place)
    variables = dict(request.variables)
    end, marks = "", sanitizing.Marks("", "")
    if request.field is not None or request.controls:
        end, *pair = continuing.unused_characters(
            (messages, variables, request.source), 3, continuing.PRINTABLE
        )
        marks = sanitizing.Marks(*pair)
        messages = sanitizing.wrap(messages, request.controls, marks)
        variables = sanitizing.wrap(variables, request.controls, marks)
    if request.field is not None:
        continuing.mark_end(messages, request.field, end, place)
    size = Size(copier.size.characters + request.size.characters, copier.size.parts + request.size.parts)
    found = import_rendering().render(
        request.source,
        request.name,
        {**tokenizer.special_tokens_map, **variables, "messages": messages},
        tokenizer.chat_template_budget,
        size,
    )
    text = found.text
    if request.field is not None:
        text = continuing.cut(text, end, request.field)
    if not request.controls:
        return Chat(text, found.spans, found.lost)
    return Chat(*_with_quotes(text, marks))


def _with_quotes(text: str, marks: sanitizing.Marks) -> tuple[str, tuple[()], int, list[tuple[int, int]]]:
    separated, quoted = sanitizing.separate(text, marks)
    return separated, (), 0, quoted


def import_rendering() -> ModuleType:
    """The module ``rendering``, or a ``MissingExtraError`` if jinja2 is not installed."""
    try:
        from formers.tokenization.chat import rendering
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        raise MissingExtraError(
            "apply_chat_template needs jinja2, which is not installed. Install it: pip install 'formers[chat]'"
        ) from error
    return rendering
