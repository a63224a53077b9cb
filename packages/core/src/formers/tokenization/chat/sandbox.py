"""The jinja2 environment of chat templates: immutable, sandboxed, metered. Imported when a template is rendered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError, TemplateRuntimeError, TemplateSyntaxError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter, safe_range
from jinja2.tests import TESTS
from jinja2.utils import Cycler, Joiner, Namespace, pass_context

from formers.tokenization.chat import metering, policy, spans
from formers.tokenization.chat.budget import BudgetExceededError, Meter

__all__ = ["ChatContext", "Sandbox"]

_Method = MethodType | BuiltinMethodType
_METHOD = (MethodType, BuiltinMethodType)
_HIDDEN = ("_loop_vars", "_block_vars")  # jinja2's, for functions that take a context; none of ours does
_MAX_TOKENS = 25_000
_MAX_COMPILE = 0.6  # seconds of processor time
_SCALARS = frozenset({bool, int, float, type(None)})
_SETTLED = _SCALARS | {str, list, tuple, dict}
_DICT = frozenset(dir(dict))
_HELPERS: dict[type, frozenset[str]] = {
    LoopContext: frozenset(
        {
            "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem",
            "previtem", "revindex", "revindex0",
        }
    ),
    Macro: frozenset({"arguments", "caller", "catch_kwargs", "catch_varargs", "name"}),
    Cycler: frozenset({"current", "next", "reset"}),
    BlockReference: frozenset({"super"}),
}  # fmt: skip
_PLAIN_ATTRIBUTES: dict[type, frozenset[str]] = {
    int: frozenset({"denominator", "imag", "numerator", "real"}),
    float: frozenset({"imag", "real"}),
    range: frozenset({"start", "step", "stop"}),
}


class ChatContext(Context):
    """The variables of one rendering, and its meter."""

    meter: Meter

    def derived(self, locals: dict[str, Any] | None = None) -> Context:  # noqa: A002 - the name is jinja2's
        """A context for a part of the same template."""
        context = super().derived(locals)
        context.meter = self.meter  # type: ignore[attr-defined]  # made by context_class
        return context


class _Namespace(Namespace):
    """``namespace()``. As text it is only a word: what it holds may hold it."""

    def __repr__(self) -> str:
        return "<Namespace>"


class _TokenLimit(Extension):
    """Refuses templates that are far larger than any published one, before they are compiled."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The tokens, counted."""
        for count, token in enumerate(stream):
            if count >= _MAX_TOKENS:
                raise TemplateSyntaxError(f"it has more than {_MAX_TOKENS:,} tokens", token.lineno)
            yield token


class _Generator(CodeGenerator):
    """Turns templates into Python, for a limited time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until = time.thread_time() + _MAX_COMPILE

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        if time.thread_time() > self._until:
            raise TemplateSyntaxError(f"it takes more than {_MAX_COMPILE} seconds to compile", node.lineno)
        return super().visit(node, *args, **kwargs)


class _Formatter(SandboxedFormatter):
    """``str.format``, with each field paid for."""

    def __init__(self, environment: Sandbox, meter: Meter) -> None:
        super().__init__(environment)
        self._meter = meter

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion is not None:
            self._meter.room(10 * self._meter.weigh(value).characters)  # \U0001f600 is one character
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        policy.format_field(self._meter, value, format_spec)
        return self._meter.made(super().format_field(value, format_spec))


class Sandbox(ImmutableSandboxedEnvironment):
    """Renders chat templates. Without state: several threads may render at once."""

    code_generator_class = _Generator
    context_class = ChatContext
    concat = staticmethod(spans.joined)
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_TokenLimit, metering.Generation, loopcontrols],
            finalize=_output,
            cache_size=0,
        )
        functions: dict[str, Callable[..., Any]] = {
            "cycler": lambda *items: Cycler(*items),
            "dict": lambda *args, **kwargs: dict(*args, **kwargs),
            "joiner": lambda sep=", ": Joiner(sep),
            "namespace": lambda *args, **kwargs: _Namespace(*args, **kwargs),
            "raise_exception": _raise_exception,
            "range": safe_range,
            "strftime_now": _strftime_now,
        }
        self._functions: frozenset[Any] = frozenset(functions.values())
        self.globals = dict(functions)
        originals: dict[str, Callable[..., Any]] = {**FILTERS, "tojson": _tojson}
        tests: dict[str, Any] = {**TESTS}
        self.filters = {name: _paid_filter(originals[name], rule) for name, rule in policy.FILTERS.items()}
        self.filters |= _CHECKS
        self.tests = {
            name: _paid_test(test) if name in policy.TESTS else test
            for name, test in tests.items()
            if name not in ("filter", "test")  # they look names up in a dict, whatever is given as a name
        }

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may see an attribute: those of ``policy.METHODS``, and what jinja2's helpers show."""
        kind = _kind(obj)
        return (
            attr in policy.METHODS.get(kind, ())
            or attr in _PLAIN_ATTRIBUTES.get(kind, ())
            or attr in _HELPERS.get(kind, ())
            or (kind is _Namespace and super().is_safe_attribute(obj, attr, value))
        )

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether a template may call an object."""
        if isinstance(obj, _METHOD):
            kind, name = _kind(obj.__self__), obj.__name__
            return name in policy.METHODS.get(kind, ()) or name in _HELPERS.get(kind, ())
        if isinstance(obj, FunctionType):
            return obj in self._functions
        return isinstance(obj, (Macro, LoopContext, Joiner, BlockReference, Undefined))

    def wrap_str_format(self, value: Any) -> None:
        """Nothing: ``call`` formats, as it knows the meter. A format method that is not called does no harm."""
        return

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``; a field of a message without the detour that jinja2 takes."""
        if type(obj) is dict and attribute in obj and attribute not in _DICT:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call(self, context: ChatContext, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call something for a template, paid for."""
        meter = context.meter
        meter.spend(2)
        for hidden in _HIDDEN:
            kwargs.pop(hidden, None)
        if not self.is_safe_callable(function):
            raise SecurityError(f"a value of type {type(function).__name__} cannot be called by a template")
        if isinstance(function, FunctionType):
            _weigh_all(meter, args, {})  # by name they are only kept
        elif isinstance(function, _METHOD):
            _weigh_all(meter, args, kwargs)
        if isinstance(function, _METHOD) and _kind(function.__self__) in policy.METHODS:
            return self._call_method(meter, function, args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Apply a filter that a template names in a string, as ``map`` does; the meter's own checks are none."""
        if name in _CHECKS:
            raise TemplateRuntimeError(f"No filter named {name!r}.")
        return super().call_filter(name, *args, **kwargs)

    def call_binop(self, context: ChatContext, operator: str, left: Any, right: Any) -> Any:  # type: ignore[override]
        """Compute ``left operator right``, paid for."""
        policy.pay_binary(context.meter, operator, left, right)
        result = self.binop_table[operator](left, right)
        return context.meter.made(result) if operator == "%" else result

    def _call_method(
        self, meter: Meter, method: _Method, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        owner, name = method.__self__, method.__name__
        args = tuple(map(_settled, args))
        if isinstance(owner, str) and name in ("format", "format_map"):
            fields = (args, kwargs) if name == "format" else ((), args[0])
            return meter.made(_Formatter(self, meter).vformat(owner, *fields))
        policy.METHODS[_kind(owner)][name](meter, owner, args, kwargs)
        return meter.made(method(*args, **kwargs))


def _kind(obj: Any) -> type:
    """The type under which the tables know an object: marked texts, and those for HTML, are texts."""
    return str if isinstance(obj, str) else type(obj)


def _settled(value: Any) -> Any:
    """The value; what can be gone through only once as a list, so that its size is known."""
    if type(value) in _SETTLED or not isinstance(value, Iterator) or isinstance(value, LoopContext):
        return value
    return list(value)


def _weigh_all(meter: Meter, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Pay for arguments that may be hashed, compared or shown."""
    for value in (*args, *kwargs.values()):
        if type(value) not in _SCALARS:
            meter.weigh(value)


def _paid_filter(function: Callable[..., Any], rule: policy.Rule) -> Callable[..., Any]:
    """A filter that pays before it works, and for what it returns."""
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @pass_context
    @wraps(function)
    def paid(context: ChatContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        meter = context.meter
        meter.spend(2)
        value = _settled(value)
        _weigh_all(meter, args, kwargs)
        rule(meter, value, args, kwargs)
        if passed is None:
            return meter.made(function(value, *args, **kwargs))
        first = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}[
            passed
        ]
        return meter.made(function(first, value, *args, **kwargs))

    return paid


def _paid_test(function: Callable[..., Any]) -> Callable[..., Any]:
    """A test that pays before it compares."""

    @pass_context
    @wraps(function)
    def paid(context: ChatContext, value: Any, *args: Any) -> Any:
        for operand in args:
            (_haystack if function is TESTS["in"] else _guard)(context, operand)
        return function(_guard(context, value), *args)

    return paid


@pass_context
def _output(context: ChatContext, value: Any) -> Any:
    """What ``{{ value }}`` writes."""
    meter = context.meter
    characters = len(value) if isinstance(value, str) else meter.weigh(value).characters
    meter.copied(6 * characters if context.eval_ctx.autoescape else characters)
    if type(value) is spans.Marked:
        meter.spend(len(value.spans))
    return value


@pass_context
def _step(context: ChatContext, cost: int) -> bool:
    context.meter.spend(cost)
    return True


@pass_context
def _guard(context: ChatContext, value: Any) -> Any:
    if isinstance(value, str):
        context.meter.spend(len(value) // 4096)
    elif type(value) not in _SCALARS:
        context.meter.weigh(value)
    return value


@pass_context
def _haystack(context: ChatContext, value: Any) -> Any:
    if isinstance(value, str):
        policy.pay_search(context.meter, value, None)
        return value
    return _guard(context, value)


@pass_context
def _contains(context: ChatContext, value: Any, container: Any) -> bool:
    if isinstance(container, str) and isinstance(value, str):
        policy.pay_search(context.meter, container, value)
    else:
        _guard(context, container)
    return _guard(context, value) in container


@pass_context
def _text(context: ChatContext, value: Any) -> Any:
    return _output(context, value)


@pass_context
def _unpacked(context: ChatContext, value: Any) -> Any:
    """What ``*value`` makes arguments of; the characters of a text are texts of their own."""
    value = _settled(value)
    context.meter.copied((policy.PIECE if isinstance(value, str) else 8) * len(value))
    return value


@pass_context
def _copied(context: ChatContext, value: Any) -> Any:
    return context.meter.made(value)


@pass_context
def _mark(context: ChatContext, text: str) -> str:
    return spans.mark(context.meter, text)


_CHECKS: dict[str, Callable[..., Any]] = {
    metering.CONTAINS: _contains,
    metering.COPIED: _copied,
    metering.GUARD: _guard,
    metering.HAYSTACK: _haystack,
    metering.MARK: _mark,
    metering.STEP: _step,
    metering.TEXT: _text,
    metering.UNPACKED: _unpacked,
}


def _raise_exception(message: Any) -> NoReturn:
    raise JinjaError(str(message))


def _strftime_now(format: Any) -> str:  # noqa: A002 - the name that templates may use
    if isinstance(format, str) and len(format) > 256:
        raise BudgetExceededError(
            f"strftime_now is given a format of {len(format):,} characters; the limit is 256"
        )
    return datetime.now().strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models are trained on it: characters as they are, and nothing escaped for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
