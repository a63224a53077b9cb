"""The methods of a tokenizer that apply a chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from formers.errors import TextInputError, TokenizerWarning, shorten, warn
from formers.tokenization.chat import templates

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["apply_chat_template", "encode_message_with_chat_template", "get_chat_template"]

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any] | Callable[..., Any]]


def apply_chat_template(
    self: PreTrainedTokenizerBase,
    conversation: Messages | Sequence[Messages],
    tools: Tools | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    chat_template: str | None = None,
    add_generation_prompt: bool = False,
    continue_final_message: bool | str = False,
    tokenize: bool = True,
    sanitize_control_tokens: bool = False,
    padding: bool | str = False,
    truncation: bool | str = False,
    max_length: int | None = None,
    return_tensors: str | None = None,
    return_dict: bool = True,
    return_assistant_tokens_mask: bool = False,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Turn a conversation into the inputs of a chat model, or into the text that the model was trained on.

    A template sees copies of what is passed, as values of JSON; it runs in a sandbox, and within a budget
    (``chat_template_budget``). Text that looks like a special token becomes that token, in messages as well,
    unless ``sanitize_control_tokens`` is True: leave it False for text that you trust only.

    Args:
        conversation: messages, each a mapping such as ``{"role": "user", "content": "..."}``; or a list of
            conversations.
        tools: JSON schemas; or functions with type hints and a docstring, see ``get_json_schema``.
        documents: mappings such as ``{"title": "...", "text": "..."}``.
        chat_template: a template, or the name of one of the tokenizer's.
        add_generation_prompt: end with what begins the assistant's answer.
        continue_final_message: end within the last message, for the model to go on; a string names the field
            that is continued, by default ``content``.
        tokenize: return tokens instead of text.
        sanitize_control_tokens: control tokens in what is passed are ordinary text. They are the special tokens
            and those of ``chat_control_tokens``, by default the added tokens that the template writes. A template
            that puts one together from pieces is not stopped. Only ``input_ids`` and ``attention_mask`` are returned.
        padding, truncation, max_length, return_tensors: as in a call of the tokenizer.
        return_dict: return all fields; False for ``input_ids`` alone.
        return_assistant_tokens_mask: add ``assistant_masks``, 1 for tokens that have a character between
            ``{% generation %}`` and ``{% endgeneration %}``.
        tokenizer_kwargs: further arguments for the tokenizer.
        kwargs: further variables for the template; they come before special tokens of the same name.

    Returns:
        A ``BatchEncoding``, ids, or text; for several conversations, of all of them.

    Raises:
        TemplateError: there is no template, it is wrong, refuses the conversation, or exceeds its budget.
        TextInputError: an argument or a message is wrong; the message has its index.
        MissingExtraError: jinja2 is not installed.
    """
    from formers.tokenization.chat import chats, encoding, inputs

    field = "content" if continue_final_message is True else continue_final_message or None
    literal, masked = sanitize_control_tokens, return_assistant_tokens_mask
    _check_flags(add_generation_prompt, field, masked, literal, tokenize, return_dict)
    found, is_batch = inputs.conversations(conversation)
    template = templates.choose(self, chat_template, tools)
    _check_variables(kwargs, template[1])
    request = chats.request_for(
        self,
        template,
        {"tools": tools, "documents": documents},
        {**kwargs, "add_generation_prompt": add_generation_prompt},
        field,
        literal,
    )
    places = [f"conversation[{index}]" for index in range(len(found))] if is_batch else ["conversation"]
    rendered = chats.render_chats(self, found, places, request)
    if not tokenize:
        texts = [chat.text for chat in rendered]
        return texts if is_batch else texts[0]
    options: dict[str, Any] = {
        "padding": padding,
        "truncation": truncation,
        "max_length": max_length,
        "return_tensors": return_tensors,
    }
    encoding.check_options(options, tokenizer_kwargs or {})
    options |= tokenizer_kwargs or {}
    encoded = (
        encoding.encode_literally(self, rendered, is_batch, options, request.controls)
        if literal
        else encoding.encode_chats(self, rendered, is_batch, options)
    )
    if masked:
        encoded = encoding.with_mask(self, encoded, rendered, is_batch, return_tensors, template)
    return encoded if return_dict else encoded.data[self.model_input_names[0]]


def get_chat_template(
    self: PreTrainedTokenizerBase, chat_template: str | None = None, tools: object = None
) -> str:
    """The text of the template that ``apply_chat_template`` uses with these arguments.

    Raises:
        TemplateError: there is none, or there are several and none that is meant if no name is given.
    """
    return templates.choose(self, chat_template, tools)[1]


def encode_message_with_chat_template(
    self: PreTrainedTokenizerBase,
    message: Mapping[str, Any],
    conversation_history: Messages | None = None,
    **kwargs: Any,
) -> list[int]:
    """The ids that one more message adds to a conversation.

    Args:
        message: the message.
        conversation_history: the messages before it.
        kwargs: arguments of ``apply_chat_template``, but for ``add_generation_prompt``.

    Returns:
        The ids of the conversation with the message, from the first that differs from those without it.
    """
    for name in ("add_generation_prompt", "tokenize", "return_dict"):
        if name in kwargs:
            raise TextInputError(f"{name} cannot be used here; call apply_chat_template for that")
    history = list(conversation_history or ())
    ids: list[int] = self.apply_chat_template([*history, message], return_dict=False, **kwargs)
    before: list[int] = self.apply_chat_template(history, return_dict=False, **kwargs) if history else []
    common = takewhile(lambda pair: pair[0] == pair[1], zip(ids, before, strict=False))
    return ids[len(list(common)) :]


def _check_flags(
    prompt: bool, field: object, masked: bool, literal: bool, tokenize: bool, return_dict: bool
) -> None:
    if field is not None and not isinstance(field, str):
        raise TextInputError(
            f"continue_final_message={shorten(field)}: expected True, False or the name of a field"
        )
    if prompt and field is not None:
        raise TextInputError(
            "continue_final_message and add_generation_prompt contradict each other: one ends within the last message, "
            "the other begins a new one"
        )
    if masked and not (tokenize and return_dict):
        raise TextInputError("return_assistant_tokens_mask=True needs tokenize=True and return_dict=True")
    if masked and (field is not None or literal):
        raise TextInputError(
            "return_assistant_tokens_mask=True cannot be combined with continue_final_message, nor with "
            "sanitize_control_tokens"
        )
    if literal and not tokenize:
        raise TextInputError(
            "sanitize_control_tokens=True needs tokenize=True: text cannot say which tokens it means"
        )


def _check_variables(variables: Mapping[str, Any], source: str) -> None:
    """Raise for a variable that the call makes itself; warn of one that looks like a misspelt argument."""
    if "messages" in variables:
        raise TextInputError("messages is the conversation, which is passed as the first argument")
    unknown = [name for name in variables if name not in source]
    if not unknown:
        return
    import difflib  # only where something is odd

    code = apply_chat_template.__code__
    known = code.co_varnames[1 : code.co_argcount]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if near:
            warn(
                f"apply_chat_template has no argument {name!r}, and the chat template uses no variable of that name; "
                f"did you mean {near[0]!r}?",
                TokenizerWarning,
            )
