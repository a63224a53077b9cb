"""Puts the meter into a template: a pass over its syntax tree, before jinja2 turns that into Python.

Wherever something can run again (the body of a loop, a macro, a block) a step is put first, which pays for the nodes
that follow up to the next such place. Operations that jinja2 compiles to bare Python, and which may cost more than
a node, get their operands checked: comparisons, ``in``, ``~``, slices, keys. The checks are filters whose names no
template can write, and which ``Sandbox.call_filter`` does not find.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

from formers.tokenization.chat.budget import CHARACTERS

__all__ = [
    "CONTAINS", "COPIED", "GUARD", "HAYSTACK", "MARK", "STEP", "TEXT", "UNPACKED", "Generation", "metered",
]  # fmt: skip

STEP = "formers step"
GUARD = "formers guard"
UNPACKED = "formers unpacked"
TEXT = "formers text"
COPIED = "formers copied"
CONTAINS = "formers contains"
HAYSTACK = "formers haystack"
MARK = "formers mark"


def metered(template: nodes.Template) -> nodes.Template:
    """The template with its checks; the given one is used up."""
    pass_over = _Metering()
    template.body = pass_over.region(template.body, 1)
    template.set_environment(template.environment)  # type: ignore[arg-type]  # set by the parser
    return template


class Generation(Extension):
    """The tag ``{% generation %}`` … ``{% endgeneration %}``."""

    tags = {"generation"}  # noqa: RUF012 - the form that jinja2 asks for

    def parse(self, parser: Parser) -> nodes.Node:
        """The block, as one that is passed through a filter."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        mark = nodes.Filter(None, MARK, [], [], None, None, lineno=line)
        return nodes.FilterBlock(body, mark, lineno=line)


class _Metering(NodeTransformer):
    def __init__(self) -> None:
        self._cost = 0
        self._special: dict[type[nodes.Node], Callable[[Any], nodes.Node]] = {
            nodes.Block: self._called,
            nodes.CallBlock: self._called,
            nodes.Compare: self._comparison,
            nodes.Concat: self._concatenation,
            nodes.For: self._loop,
            nodes.Getitem: self._item,
            nodes.Macro: self._called,
            nodes.Pair: self._pair,
        }

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """The node with its checks; its cost is added to that of the region."""
        self._cost += 1
        text = getattr(node, "data", None) or getattr(node, "value", None)
        if isinstance(text, str):
            self._cost += len(text) // CHARACTERS
        arguments = getattr(node, "dyn_args", None)
        change = self._special.get(type(node))
        if arguments is not None:
            node.dyn_args = _filter(arguments, UNPACKED)  # type: ignore[attr-defined]  # of the kinds that have them
        return self.generic_visit(node) if change is None else change(node)

    def region(self, body: list[nodes.Node], line: int) -> list[nodes.Node]:
        """Nodes that run together, with the step that pays for them."""
        outer, self._cost = self._cost, 1
        visited = [self.visit(node) for node in body]
        step = nodes.ExprStmt(self._step(line), lineno=line)
        self._cost = outer
        return [step, *visited]

    def _step(self, line: int) -> nodes.Filter:
        return _filter(nodes.Const(self._cost, lineno=line), STEP)

    def _loop(self, node: nodes.For) -> nodes.Node:
        """The condition of a loop is evaluated for items that the body never sees."""
        node.iter = self.visit(node.iter)
        if node.test is not None:
            outer, self._cost = self._cost, 1
            test = self.visit(node.test)
            node.test = nodes.And(self._step(node.lineno), test, lineno=node.lineno)
            self._cost = outer
        step, node.target, *node.body = self.region([node.target, *node.body], node.lineno)
        node.body.insert(0, step)
        node.else_ = [self.visit(child) for child in node.else_]
        return node

    def _called(self, node: Any) -> nodes.Node:
        """A macro, or another block that is called by its name."""
        body, node.body = node.body, []
        self.generic_visit(node)
        node.body = self.region(body, node.lineno)
        return cast(nodes.Node, node)

    def _comparison(self, node: nodes.Compare) -> nodes.Node:
        """With a literal, ``==`` and its like look at no more than that is long."""
        self.generic_visit(node)
        if len(node.ops) == 1 and node.ops[0].op in ("in", "notin"):
            found = _filter(node.expr, CONTAINS, node.ops[0].expr)
            return found if node.ops[0].op == "in" else nodes.Not(found, lineno=node.lineno)
        if len(node.ops) > 1 or not any(isinstance(e, nodes.Const) for e in (node.expr, node.ops[0].expr)):
            node.expr = _filter(node.expr, GUARD)
            for operand in node.ops:
                operand.expr = _filter(operand.expr, HAYSTACK if "in" in operand.op else GUARD)
        return node

    def _concatenation(self, node: nodes.Concat) -> nodes.Node:
        """The operands of ``~`` become text."""
        self.generic_visit(node)
        node.nodes = [_filter(part, TEXT) for part in node.nodes]
        return node

    def _item(self, node: nodes.Getitem) -> nodes.Node:
        """A slice is a copy; any other key is hashed."""
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter(node.node, COPIED)
        elif not isinstance(node.arg, nodes.Const):
            node.arg = _filter(node.arg, GUARD)
        return node

    def _pair(self, node: nodes.Pair) -> nodes.Node:
        """A key of a literal mapping is hashed."""
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filter(node.key, GUARD)
        return node


def _filter(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
