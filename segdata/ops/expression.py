"""Expressions that choose samples by the columns of their rows: ``split == "val" and width >= 640``.

Their syntax is Python's, read by Python's own parser, and simpleeval works them out: it goes over the syntax tree and
calls nothing but the operators and functions given here. What is not in the list below is refused before any row is
looked at, and so is a column that no row has, or a comparison of a text with a number.
"""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from simpleeval import EvalWithCompoundTypes

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.licences import licence_of
from segdata.masks import merge_rles, rle_area
from segdata.sample import Person

NUMBER, TEXT, TRUTH, LIST = "number", "text", "yes or no", "list"
_ALL = frozenset({NUMBER, TEXT, TRUTH, LIST})
_NOTHING: frozenset[str] = frozenset()
_LONGEST = 10_000
_MOST_SIDE = 1 << 20
_SHOWN = 30
_TEXT_SHOWN = 200
_NAMES_SHOWN = 40

Kinds = frozenset[str]
Columns = Mapping[str, Kinds]
"""What kinds of values each column holds; none at all for one that is missing or null in every row."""


def _persons(row: Row) -> list[Person] | None:
    try:
        return msgspec.convert(row.get("persons"), list[Person])
    except msgspec.ValidationError:
        return None


def _count(row: Row, *, crowd: bool) -> int | None:
    persons = _persons(row)
    return None if persons is None else sum(person.crowd is crowd for person in persons)


def _keypoints(row: Row) -> int | None:
    persons = _persons(row)
    if persons is None:
        return None
    return max((sum(seen > 0 for _, _, seen in person.keypoints or ()) for person in persons), default=0)


def _score(row: Row) -> float | None:
    return min((person.score for person in _persons(row) or () if person.score is not None), default=None)


def _pixels(row: Row) -> tuple[int, int] | None:
    height, width = row.get("height"), row.get("width")
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    return (height, width) if 0 < height < _MOST_SIDE and 0 < width < _MOST_SIDE else None


def _aspect(row: Row) -> float | None:
    size = _pixels(row)
    return None if size is None else size[1] / size[0]


def _person_share(row: Row) -> float | None:
    size, persons = _pixels(row), _persons(row)
    if size is None or persons is None:
        return None
    rles = [person.rle for person in persons if person.rle is not None and person.rle.size == size]
    try:
        return rle_area(merge_rles(rles, *size)) / (size[0] * size[1])
    except (SampleError, ValueError):  # run lengths that are none
        return None


def _licence_code(row: Row) -> str | None:
    found = licence_of(row)
    return None if found.licence is None else found.licence.code


class _Derived(NamedTuple):
    kinds: Kinds
    value: Callable[[Row], Any]


DERIVED: dict[str, _Derived] = {
    "persons": _Derived(frozenset({NUMBER}), lambda row: _count(row, crowd=False)),
    "crowds": _Derived(frozenset({NUMBER}), lambda row: _count(row, crowd=True)),
    "keypoints": _Derived(frozenset({NUMBER}), _keypoints),
    "score": _Derived(frozenset({NUMBER}), _score),
    "aspect": _Derived(frozenset({NUMBER}), _aspect),
    "person_share": _Derived(frozenset({NUMBER}), _person_share),
    "licence_code": _Derived(frozenset({TEXT}), _licence_code),
}
"""Names that are worked out of a row: how many persons and crowd regions it has, the labelled keypoints of the person
with the most, the lowest score of a person, width / height, the share of the photo that its persons' masks cover, and
the licence as `licence_of` knows it. A column of the same name with a plain value counts instead."""


def columns_of(rows: Iterable[Row]) -> dict[str, Kinds]:
    """Say what kinds of values the columns of some rows hold, members of objects as ``object.member``.

    >>> sorted(columns_of([{"width": 640, "review": {"decision": "accept"}}])["review.decision"])
    ['text']
    """
    found: dict[str, set[str]] = {}

    def see(name: str, value: Any) -> None:
        kinds = found.setdefault(name, set())
        if isinstance(value, dict):
            for member, inner in value.items():
                see(f"{name}.{member}", inner)
        elif (kind := _kind(value)) is not None:
            kinds.add(kind)

    for row in rows:
        for name, value in row.items():
            if name != "fingerprints":
                see(name, value)
    return {name: frozenset(kinds) for name, kinds in found.items()}


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return TRUTH
    for types, kind in (((int, float), NUMBER), (str, TEXT), ((list, tuple), LIST)):
        if isinstance(value, types):
            return kind
    return None


def value_of(row: Row, name: str) -> Any:
    """Give what a name means for a row: a column's value, or a derived one; None where there is none.

    >>> value_of({"width": 640, "height": 480}, "aspect"), value_of({"review": {"by": "me"}}, "review.by")
    (1.3333333333333333, 'me')
    """
    value: Any = row
    for part in [name] if name in row else name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if name in DERIVED and (value is None or isinstance(value, list)):
        return DERIVED[name].value(row)
    return value


def check_column(name: str, columns: Columns, option: str) -> Kinds:
    """Give the kinds of a column; raises `InputError` that names near ones where no row has it."""
    if name in columns:
        kinds = columns[name]
        return DERIVED[name].kinds if name in DERIVED and kinds <= {LIST} else kinds
    if name in DERIVED:
        return DERIVED[name].kinds
    raise InputError(f"{option}: there is no column {name!r}", _columns_hint(name, columns))


def _columns_hint(name: str, columns: Columns) -> str:
    names = sorted({*columns, *DERIVED})
    near = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"did you mean {near[0]}?" if near else f"the columns are {listed}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(a: Any, b: Any) -> bool:
        alike = (_number(a) and _number(b)) or (isinstance(a, str) and isinstance(b, str))
        return alike and compare(a, b)

    return compared


def _arithmetic(compute: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*values: Any) -> Any:
        if not all(map(_number, values)):
            return None
        try:
            return compute(*values)
        except ArithmeticError:  # a division by zero, or more than a float holds
            return None

    return computed


def _equal(a: Any, b: Any) -> bool:
    return (isinstance(a, bool) == isinstance(b, bool)) and bool(a == b)


def _within(a: Any, b: Any) -> bool:
    if isinstance(b, str):
        return isinstance(a, str) and a in b
    return isinstance(b, list | tuple) and any(_equal(a, each) for each in b)


def _on_text(method: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
    return lambda *values: method(*values) if all(isinstance(value, str) for value in values) else otherwise


_ORDERINGS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    **{kind: _ordering(compare) for kind, compare in _ORDERINGS.items()},
    **{kind: _arithmetic(compute) for kind, compute in _ARITHMETIC.items()},
    ast.Eq: _equal,
    ast.NotEq: lambda a, b: not _equal(a, b),
    ast.Is: _equal,
    ast.IsNot: lambda a, b: not _equal(a, b),
    ast.In: _within,
    ast.NotIn: lambda a, b: not _within(a, b),
    ast.Not: operator.not_,
}


class _Function(NamedTuple):
    takes: tuple[Kinds, ...]
    gives: str
    call: Callable[..., Any]


_TEXT = frozenset({TEXT})
_FUNCTIONS = {
    "lower": _Function((_TEXT,), TEXT, _on_text(str.lower, None)),
    "startswith": _Function((_TEXT, _TEXT), TRUTH, _on_text(str.startswith, False)),
    "endswith": _Function((_TEXT, _TEXT), TRUTH, _on_text(str.endswith, False)),
    "len": _Function(
        (frozenset({TEXT, LIST}),), NUMBER, lambda value: len(value) if isinstance(value, str | list) else None
    ),
}


class Expression:
    """An expression that is checked against the columns of a data set; calling it with a row tells whether that fits.

    Known are ``and or not``, ``== != < <= > >=``, ``in``, ``+ - * / %``, numbers, texts, lists of them, True, False,
    None, and the functions ``lower``, ``startswith``, ``endswith`` and ``len``. ``in`` looks for a value in a list, or
    for a text in a text. A name is a column, a member of one (``review.decision``), or one of `DERIVED`;
    ``column("my column")`` stands for a name that is none in Python.

    A missing value equals None alone: with it ``<`` and its like are False, and sums are missing.

    Raises `InputError`, one sentence that tells the place, for bad syntax, what is not known, a column that no row has
    and values that cannot be compared.

    >>> fits = Expression('split == "val" and 640 <= width', columns_of([{"split": "val", "width": 640}]))
    >>> fits({"split": "val", "width": 800}), fits({"split": "val"}), sorted(fits.names)
    (True, False, ['split', 'width'])
    """

    def __init__(self, text: str, columns: Columns, *, option: str = "--where") -> None:
        self.text = " ".join(text.strip().splitlines())
        self.names: set[str] = set()
        self._columns = columns
        self._option = option
        try:
            body = self._parse()
            node = self._plain(body)
            self._require(self._kinds(node), TRUTH, node, "is not a yes or no")
        except RecursionError as error:
            raise InputError(f"{option}: the expression is nested too deeply", "write it in fewer brackets") from error
        self._node = ast.Expr(node)
        self._evaluator = EvalWithCompoundTypes(
            operators=_OPERATORS, functions={name: function.call for name, function in _FUNCTIONS.items()}
        )

    def __call__(self, row: Row) -> bool:
        """Tell whether a row fits."""
        self._evaluator.names = {name: value_of(row, name) for name in self.names}
        return self._evaluator.eval(self.text, previously_parsed=self._node) is True

    def _parse(self) -> ast.expr:
        if not self.text:
            raise InputError(f"{self._option}: the expression is empty", "write one such as split == 'val'")
        if len(self.text) > _LONGEST:
            raise InputError(f"{self._option}: the expression has {len(self.text):,} characters", "write a shorter one")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd backslash in a text, `is` with a number
                return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            place = max((error.offset or 1) - 1, 0)
            raise self._error(place, f"this cannot be read ({error.msg})", _syntax_hint(self.text)) from error
        except (ValueError, MemoryError) as error:
            raise InputError(
                f"{self._option}: the expression cannot be read ({error})", "write a simpler one"
            ) from error

    def _error(self, place: ast.expr | int, what: str, hint: str = "") -> InputError:
        """Say what is wrong at a node, or from a character on."""
        if isinstance(place, int):
            start, found = place, self.text[place:]
        else:
            encoded = self.text.encode()  # the parser counts bytes
            start = len(encoded[: place.col_offset].decode())
            found = encoded[place.col_offset : place.end_col_offset].decode()
        where = f"at character {start + 1}, {_short(found)!r}" if found else "at its end"
        return InputError(f"{self._option} {_short(self.text, _TEXT_SHOWN)!r}: {where}: {what}", hint)

    def _plain(self, node: ast.expr) -> ast.expr:
        """Put names in the place of ``object.member`` and ``column("...")``, and refuse what is not known."""
        match node:
            case ast.BoolOp():
                return self._at(ast.BoolOp(node.op, [self._plain(value) for value in node.values]), node)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                return self._at(ast.UnaryOp(node.op, self._plain(node.operand)), node)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return self._at(ast.BinOp(self._plain(node.left), node.op, self._plain(node.right)), node)
            case ast.Compare():
                others = [self._plain(other) for other in node.comparators]
                return self._at(ast.Compare(self._plain(node.left), node.ops, others), node)
            case ast.List() | ast.Tuple() | ast.Set():
                return self._at(ast.List([self._plain(each) for each in node.elts], ast.Load()), node)
            case ast.Constant(value=str() | int() | float() | None):
                return node
            case ast.Name() | ast.Attribute() if (name := _dotted(node)) is not None:
                return self._name(name, node)
            case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str(name))], keywords=[]):
                return self._name(name, node)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
                arguments = [self._plain(each) for each in node.args]
                if len(arguments) != len(_FUNCTIONS[name].takes):
                    raise self._error(node, f"{name} takes {len(_FUNCTIONS[name].takes)}, not {len(arguments)}")
                return self._at(ast.Call(node.func, arguments, []), node)
            case ast.Call():
                raise self._error(node, "there is no such function", f"known are {', '.join(_FUNCTIONS)} and column")
        raise self._error(
            node, "this is not known here", "use and, or, not, comparisons, in, + - * / %, numbers, texts and lists"
        )

    @staticmethod
    def _at(new: ast.expr, old: ast.expr) -> ast.expr:
        return ast.copy_location(new, old)

    def _name(self, name: str, node: ast.expr) -> ast.expr:
        if name not in self._columns and name not in DERIVED:
            hint = _columns_hint(name, self._columns)
            if name.lower() in ("true", "false", "none", "null"):
                hint = "write True, False or None"
            elif isinstance(node, ast.Name) and not hint.startswith("did you"):
                hint += "; write a text in quotes"
            raise self._error(node, f"there is no column {name!r}", hint)
        self.names.add(name)
        return self._at(ast.Name(name, ast.Load()), node)

    def _kinds(self, node: ast.expr) -> Kinds:  # noqa: PLR0912 - one a kind of node
        """Give the kinds that a node may have; none for what is always missing."""
        match node:
            case ast.Constant():
                kind = _kind(node.value)
                return _NOTHING if kind is None else frozenset({kind})
            case ast.Name():
                return check_column(node.id, self._columns, self._option)
            case ast.List():
                for each in node.elts:
                    self._kinds(each)
                return frozenset({LIST})
            case ast.BoolOp():
                for value in node.values:
                    self._require(self._kinds(value), TRUTH, value, "is not a yes or no")
                return frozenset({TRUTH})
            case ast.UnaryOp():
                kind = TRUTH if isinstance(node.op, ast.Not) else NUMBER
                self._require(self._kinds(node.operand), kind, node.operand, f"is no {kind}")
                return frozenset({kind})
            case ast.BinOp():
                for side in (node.left, node.right):
                    self._require(self._kinds(side), NUMBER, side, "is no number to reckon with")
                return frozenset({NUMBER})
            case ast.Call(func=ast.Name(id=name)):
                for argument, wanted in zip(node.args, _FUNCTIONS[name].takes, strict=True):
                    kinds = self._kinds(argument)
                    if kinds and not kinds & wanted:
                        raise self._error(argument, f"{name} takes {_or(wanted)}, and this is {_or(kinds)}")
                return frozenset({_FUNCTIONS[name].gives})
            case ast.Compare():
                left = node.left
                for op, right in zip(node.ops, node.comparators, strict=True):
                    self._check_pair(left, op, right)
                    left = right
        return frozenset({TRUTH})

    def _check_pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        a, b = self._kinds(left), self._kinds(right)
        if isinstance(op, ast.In | ast.NotIn):
            if b and not b & {LIST, TEXT}:
                raise self._error(right, f"'in' looks in a list or a text, and this is {_or(b)}", "write [1, 2]")
            if isinstance(right, ast.List):
                for each in right.elts:
                    self._check_alike(left, a, each, self._kinds(each))
            return
        if type(op) in _ORDERINGS:
            for side, kinds in ((left, a), (right, b)):
                if kinds and not kinds & {NUMBER, TEXT}:
                    raise self._error(side, f"this is {_or(kinds)}, and has no order", "use == or !=")
        self._check_alike(left, a, right, b)

    def _check_alike(self, left: ast.expr, a: Kinds, right: ast.expr, b: Kinds) -> None:
        if a and b and not a & b:
            hint = ""
            if a | b == {NUMBER, TEXT}:
                hint = "write numbers without quotes" if TEXT in b else "write texts in quotes"
            what = f"{_or(b)} is compared with {ast.unparse(left)}, which is {_or(a)}"
            raise self._error(right, what, hint)

    def _require(self, kinds: Kinds, kind: str, node: ast.expr, what: str) -> None:
        if kinds and kind not in kinds:
            hint = "compare it, as in width > 640" if kind == TRUTH else ""
            raise self._error(node, f"{ast.unparse(node)} {what}, but {_or(kinds)}", hint)


def _short(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _or(kinds: Kinds) -> str:
    return " or ".join(f"a {kind}" for kind in sorted(kinds))


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _syntax_hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return "write 'and' and 'or'"
    if "=" in text and not any(sign in text for sign in ("==", "!=", "<=", ">=")):
        return "write == to compare"
    return "write an expression such as split == 'val' and width >= 640"
