"""Compiling and rendering a chat template, and saying what is wrong with it. Imported when a template is rendered."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jinja2
from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from formers.errors import TemplateError, shorten
from formers.tokenization.chat import spans
from formers.tokenization.chat.budget import Budget, BudgetExceededError, Meter, Size
from formers.tokenization.chat.metering import metered
from formers.tokenization.chat.sandbox import ChatContext, Sandbox

__all__ = ["RenderError", "Rendered", "literals", "render"]

_FILE = "<chat template>"
_MAX_SOURCE = 512 * 1024  # characters; published templates have up to about 20 thousand
_LONGEST = 1000  # characters of a message that a template makes
_ENVIRONMENT = Sandbox()


class RenderError(TemplateError, jinja2.TemplateError):
    """A chat template cannot be rendered. Inherits what transformers lets through."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class RenderSyntaxError(RenderError, TemplateSyntaxError):
    """A chat template is not one."""

    __str__ = Exception.__str__

    def __init__(self, message: str, lineno: int = 0) -> None:
        TemplateSyntaxError.__init__(self, message, lineno, _FILE)

    def __reduce__(self) -> tuple[type[RenderSyntaxError], tuple[str, int]]:
        return type(self), (str(self), self.lineno)


class RenderUndefinedError(RenderError, UndefinedError):
    """A chat template uses something that the conversation does not have."""


class RenderSecurityError(RenderError, SecurityError):
    """A chat template tried what the sandbox refuses."""


class Rendered(NamedTuple):
    """A rendered chat: the text, and the spans between ``{% generation %}`` tags.

    ``lost`` counts those whose place is unknown, because a filter or an operator has worked on the text.
    """

    text: str
    spans: tuple[spans.Span, ...]
    lost: int


def render(source: str, name: str, variables: Mapping[str, Any], budget: Budget, passed: Size) -> Rendered:
    """Render a template.

    Args:
        source: the template.
        name: what error messages call it.
        variables: values of JSON, and nothing else.
        budget: what it may cost.
        passed: the size of the variables.

    Raises:
        TemplateError: the template is wrong, raises an error itself, or exceeds its budget.
    """
    template = None
    try:
        template = _compiled(source)
        context = template.new_context(dict(variables))
        assert isinstance(context, ChatContext)
        context.meter = meter = Meter(budget, passed)
        text = spans.joined(template.root_render_func(context))
    except Exception as error:
        raise _explained(error, source, name, template) from error
    found = text.spans if isinstance(text, spans.Marked) else ()
    lost = set(range(1, meter.marked + 1)).difference(span.number for span in found)
    return Rendered(str.__str__(text), found, len(lost))


def literals(source: str) -> list[str]:
    """The pieces of text in a template: what it writes as it is, and its string literals.

    Raises ``TemplateError`` if it is no template.
    """
    try:
        tree = _parsed(source)
    except Exception as error:
        raise _explained(error, source, "chat_template", None) from error
    data = [node.data for node in tree.find_all(nodes.TemplateData)]
    return data + [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    code = _ENVIRONMENT.compile(metered(_parsed(source)), filename=_FILE)
    return Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))


def _parsed(source: str) -> nodes.Template:
    if len(source) > _MAX_SOURCE:
        raise TemplateSyntaxError(f"it has {len(source):,} characters; the limit is {_MAX_SOURCE:,}", 1)
    return _ENVIRONMENT.parse(source)


def _explained(error: Exception, source: str, name: str, template: Template | None) -> TemplateError:
    """The error, as one that names the template and the line, and says what to do."""
    line = _line(error, template)
    place = f"chat template {name!r}"
    if line is not None:
        lines = source.splitlines() or [""]
        place += f", line {line}: {shorten(lines[min(line, len(lines)) - 1].strip(), 120)}"
    if isinstance(error, BudgetExceededError):
        return RenderError(
            f"the template is stopped: {error}. If you trust it, raise tokenizer.chat_template_budget. ({place})"
        )
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, jinja2.TemplateError):
        message = error.message or ""
    if isinstance(error, RecursionError):
        message = "the template calls itself, or nests values, without end; " + message
    elif isinstance(error, MemoryError):
        message = "the template needs more memory than there is"
    elif "no loader" in message:
        message = "a chat template cannot include, import or extend another; put everything into one"
    text = f"{message[:_LONGEST]} ({place})"
    if isinstance(error, TemplateSyntaxError | SyntaxError):
        return RenderSyntaxError(text, line or 0)
    if isinstance(error, UndefinedError):
        return RenderUndefinedError(text)
    return RenderSecurityError(text) if isinstance(error, SecurityError) else RenderError(text)


def _line(error: Exception, template: Template | None) -> int | None:
    """The line of the template that an error is about."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None and template is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
