"""Find the mutants of a source file.

Positions come from Python's syntax tree and each change is an edit of the text, so line numbers and
comments stay. Not changed: annotations, decorators, strings, debug and info logging, protocols.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Change = tuple[str, ast.AST, str]
"""The kind of change, the node that it replaces, and the new text."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file. ``start`` and ``end`` are byte offsets into its text."""

    path: str
    line: int
    where: str
    """The qualified name of the function or class that is changed."""
    kind: str
    start: int
    end: int
    new: str
    key: str
    """Identifies the change as long as its line and its function exist, also when the file moves."""

    def applied(self, source: bytes) -> bytes:
        """The file's text with this change."""
        return source[: self.start] + self.new.encode() + source[self.end :]

    def compiles(self, source: bytes) -> bool:
        """Whether the result is valid Python; a syntax error would always be noticed."""
        try:
            compile(self.applied(source), self.path, "exec")
        except SyntaxError:
            return False
        return True


def find(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of ``source``, in the order of the text."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    seen: Counter[str] = Counter()
    found = []
    for where, (kind, node, new) in _changes(ast.parse(source), ""):
        start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        text = " ".join(lines[node.lineno - 1].decode().split())  # type: ignore[attr-defined]
        name = "\0".join((where, text, kind, source[start:end].decode(), new))
        seen[name] += 1
        key = hashlib.sha256(f"{name}\0{seen[name]}".encode()).hexdigest()[:10]
        found.append(Mutant(path, node.lineno, where, kind, start, end, new, key))  # type: ignore[attr-defined]
    return sorted(found, key=lambda each: (each.start, each.end, each.new))


def _changes(node: ast.AST, where: str) -> Iterator[tuple[str, Change]]:
    if _is_left_alone(node):
        return
    for change in RULES.get(type(node), lambda _: iter(()))(node):
        if not (where.endswith("__init__") and change[0] == "assignment removed"):
            yield where, change
    for child in _children(node):
        name = getattr(child, "name", None) if isinstance(child, _NAMED) else None
        yield from _changes(child, f"{where}.{name}".lstrip(".") if name else where)


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SKIPPED = {"annotation", "returns", "decorator_list", "bases", "keywords", "type_params"}


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED and not isinstance(node, ast.Call):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                yield each


def _is_quiet(node: ast.AST) -> bool:
    """A log call that is not shown by default, or reports no fault."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and ast.unparse(node.value.func) in ("log.debug", "log.info")
    )


def _is_left_alone(node: ast.AST) -> bool:
    """Strings, quiet log calls, and code for type checkers or object layout only."""
    if isinstance(node, ast.JoinedStr) or _is_quiet(node):
        return True
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation) == "TypeAlias"
    if isinstance(node, ast.Assign):
        names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        called = node.value.func if isinstance(node.value, ast.Call) else None
        return "__slots__" in names or (called is not None and ast.unparse(called) == "TypeVar")
    return False


# ---------------------------------------------------------------- the changes

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
OTHER_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
SMALL = 100
"""Integers up to this are changed by one; larger ones are doubled."""
UNWRAPPED = {"min", "max", "abs", "round", "sorted"}
"""Functions whose call can be replaced by their first argument."""


def _copy(node: ast.AST, **fields: object) -> str:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    text = ast.unparse(made)
    return f"({text})" if isinstance(node, ast.expr) else text


def _compare(node: ast.Compare) -> Iterator[Change]:
    for place, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
            yield "comparison", node, _copy(node, ops=ops)


def _operator(node: ast.BinOp | ast.AugAssign) -> Iterator[Change]:
    if isinstance(node, ast.AugAssign):
        yield "statement removed", node, "pass"
    if not _are_types(node) and type(node.op) in OPERATORS:
        yield "operator", node, _copy(node, op=OPERATORS[type(node.op)]())


def _are_types(node: ast.AST) -> bool:
    """``int | None`` outside an annotation."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and ast.unparse(node.right).rpartition(".")[2] in ("None", "int", "float", "str", "bytes")
    )


def _and_or(node: ast.BoolOp) -> Iterator[Change]:
    yield "and, or", node, _copy(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if len(node.values) > 2:  # drop one condition of several
        for place in range(len(node.values)):
            values = [*node.values[:place], *node.values[place + 1 :]]
            yield "condition removed", node, _copy(node, values=values)


def _unary(node: ast.UnaryOp) -> Iterator[Change]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield "sign or not removed", node, f"({ast.unparse(node.operand)})"


def _constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", node, str(not value)
    elif isinstance(value, float) or (isinstance(value, int) and value > SMALL):
        yield "constant", node, repr(value * 2 if value else 1.0)
    elif isinstance(value, int):
        yield "constant", node, str(value + 1)
        if value > 0:
            yield "constant", node, str(value - 1)


def _branches(node: ast.If | ast.IfExp | ast.While) -> Iterator[Change]:
    negated_anyway = isinstance(node.test, ast.Compare) and len(node.test.ops) == 1
    negated_anyway = negated_anyway or isinstance(node.test, ast.UnaryOp)
    if not negated_anyway and not isinstance(node.test, ast.Constant):
        yield "branches swapped", node.test, f"(not ({ast.unparse(node.test)}))"


def _call(node: ast.Call) -> Iterator[Change]:
    name = ast.unparse(node.func)
    if name in OTHER_CALLS:
        yield "other function", node.func, OTHER_CALLS[name]
    if name in UNWRAPPED and node.args and not isinstance(node.args[0], ast.Starred):
        yield "call removed", node, f"({ast.unparse(node.args[0])})"
    for each in node.keywords:
        if each.arg is not None:
            yield "argument removed", each, "**{}"


def _expression(node: ast.Expr) -> Iterator[Change]:
    if isinstance(node.value, ast.Call | ast.Await | ast.Yield):
        yield "statement removed", node, "pass"


def _assignment(node: ast.Assign | ast.AnnAssign) -> Iterator[Change]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if node.value is not None and all(
        isinstance(t, ast.Attribute | ast.Subscript) for t in targets
    ):
        yield "assignment removed", node, "pass"


def _removed(node: ast.AST) -> Iterator[Change]:
    yield "statement removed", node, "pass"


def _return(node: ast.Return) -> Iterator[Change]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield "nothing returned", node, "return None"


def _jump(node: ast.Break | ast.Continue) -> Iterator[Change]:
    yield "loop", node, "continue" if isinstance(node, ast.Break) else "break"


RULES: dict[type[ast.AST], Callable[..., Iterator[Change]]] = {
    ast.Compare: _compare, ast.BinOp: _operator, ast.AugAssign: _operator, ast.BoolOp: _and_or,
    ast.UnaryOp: _unary, ast.Constant: _constant, ast.If: _branches, ast.IfExp: _branches,
    ast.While: _branches, ast.Call: _call, ast.Expr: _expression, ast.Assign: _assignment,
    ast.AnnAssign: _assignment, ast.Delete: _removed, ast.Raise: _removed, ast.Return: _return,
    ast.Break: _jump, ast.Continue: _jump,
}  # fmt: skip
