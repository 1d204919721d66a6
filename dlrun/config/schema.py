"""The value types a config key can have, and the check of a value against one.

A signature or a dataclass writes `epochs: PositiveInt`, and that annotation is at once its
documentation, its type check and its range. Standard library only: a config error must be
found before torch is imported.
"""

import ast
import dataclasses
import difflib
import functools
import importlib.util
import inspect
import math
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union

F = TypeVar("F", bound=Callable)


@dataclass(frozen=True)
class Range:
    """An interval of numbers; `open_low` and `open_high` leave the bound itself out."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        words = []
        if self.low > -math.inf:
            words.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high < math.inf:
            words.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return " and ".join(words)


@dataclass(frozen=True)
class Place:
    """Of a text: it is the path of a file or folder, which a run keeps as an absolute one."""

    def __contains__(self, value: str) -> bool:
        return True


FilePath = Annotated[str, Place()]
PositiveInt = Annotated[int, Range(low=1)]
NonNegativeInt = Annotated[int, Range(low=0)]
PositiveFloat = Annotated[float, Range(low=0, open_low=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Fraction = Annotated[float, Range(low=0, high=1)]
ProperFraction = Annotated[float, Range(low=0, high=1, open_high=True)]
Number = Annotated[float, Range(low=-1e4, high=1e4)]  # of an example that somebody reads
Seed = Annotated[int, Range(low=0, high=2**63 - 1)]
Kernel = Literal[
    "vertical", "horizontal", "sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y", "laplacian"
]
Level = Literal["node", "graph"]  # what of a graph has an answer
Readout = Literal["sum", "mean", "max", "set2set"]  # from the vectors of nodes to one of a graph

# What an annotation read from source may name; anything else is refused by name.
VOCABULARY: dict[str, Any] = {
    "Annotated": Annotated, "Range": Range,
    "int": int, "float": float, "str": str, "bool": bool, "None": None, "tuple": tuple, "list": list, "dict": dict,
    "Any": Any, "Literal": Literal, "PositiveInt": PositiveInt, "NonNegativeInt": NonNegativeInt,
    "PositiveFloat": PositiveFloat, "NonNegativeFloat": NonNegativeFloat, "Fraction": Fraction,
    "ProperFraction": ProperFraction, "Number": Number, "Seed": Seed, "FilePath": FilePath, "Kernel": Kernel,
    "Level": Level, "Readout": Readout,
}  # fmt: skip

REQUIRED = inspect.Parameter.empty
# What a class says of itself alone: a subclass of the usual task of a target is another task.
NOT_INHERITED = ("is_default",)


@dataclass(frozen=True)
class Parameter:
    """One config key of a registered thing: its type and its default (`REQUIRED` if it has none)."""

    name: str
    annotation: Any
    default: Any = REQUIRED


@dataclass(frozen=True)
class Description:
    """What a registered thing says of itself, read without running it."""

    doc: str
    parameters: dict[str, Parameter]
    attributes: dict[str, Any]


def check(value: Any, annotation: Any) -> Any:
    """Returns `value` as `annotation` wants it (an int becomes a float, a list a tuple).

    **Raises:** `ValueError` with what is allowed and what was found, without the key's name.
    """
    if annotation is Any:
        return value
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _check_union(value, annotation, arguments)
    if origin is Literal:
        # True == 1 in Python, and a flag is not a number.
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        raise ValueError(f"must be {describe(annotation)}, found {value!r}{suggest(str(value), map(str, arguments))}")
    if origin is Annotated:
        checked = check(value, arguments[0])
        if checked not in arguments[1]:
            raise ValueError(f"must be {describe(annotation)}, found {value!r}")
        return checked
    if origin in (tuple, list):
        return _check_sequence(value, annotation, origin, arguments)
    if origin is dict:
        return _check_mapping(value, annotation, arguments)
    if typing.is_typeddict(annotation) or dataclasses.is_dataclass(annotation):
        return _check_record(value, annotation)
    return _check_plain(value, annotation)


def is_path(annotation: Any) -> bool:
    """Whether a key of this type holds the path of a file or folder."""
    return annotation == FilePath or any(is_path(each) for each in typing.get_args(annotation))


def describe(annotation: Any) -> str:
    """An annotation in words: `an integer of at least 1`, `one of cpu, cuda`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        choices = ", ".join(str(choice) for choice in arguments)
        return f"one of {choices}" if len(arguments) > 1 else choices
    if origin is Annotated and isinstance(arguments[1], Place):
        return "a path"
    if origin is Annotated:
        return f"{describe(arguments[0])} {'of ' if arguments[1].low > -math.inf else ''}{arguments[1]}"
    if origin is dict or typing.is_typeddict(annotation) or dataclasses.is_dataclass(annotation):
        return "a group of keys"
    if origin in (tuple, list):
        if Ellipsis in arguments or origin is list:
            return f"a list, each {describe(arguments[0])}" if arguments else "a list"
        return f"a list of {len(arguments)} values"
    names = {
        int: "an integer",
        float: "a finite number",
        str: "a text",
        bool: "true or false",
        type(None): "null",
        None: "null",
    }
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _check_union(value: Any, annotation: Any, arguments: tuple) -> Any:
    for argument in arguments:
        try:
            return check(value, argument)
        except ValueError:
            continue
    choices = [choice for each in arguments if typing.get_origin(each) is Literal for choice in typing.get_args(each)]
    raise ValueError(f"must be {describe(annotation)}, found {value!r}{suggest(str(value), map(str, choices))}")


def _check_sequence(value: Any, annotation: Any, origin: type, arguments: tuple) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be {describe(annotation)}, found {value!r}")
    open_ended = origin is list or Ellipsis in arguments or not arguments
    kinds = [arguments[0] if arguments else Any] * len(value) if open_ended else list(arguments)
    if len(kinds) != len(value):
        raise ValueError(f"must be {describe(annotation)}, found {len(value)}: {list(value)!r}")
    checked = []
    for position, (item, kind) in enumerate(zip(value, kinds, strict=True)):
        try:
            checked.append(check(item, kind))
        except ValueError as error:
            raise ValueError(f"item {position} {error}") from None
    return origin(checked)


def _check_mapping(value: Any, annotation: Any, arguments: tuple) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"must be {describe(annotation)}, found {value!r}")
    kind_of_key, kind = arguments
    checked = {}
    for key, inner in value.items():
        try:
            checked[check(key, kind_of_key)] = check(inner, kind)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return checked


def _check_record(value: Any, annotation: Any) -> Any:
    """The fields of a `TypedDict`, which may hold more, or of a dataclass, which is made of them."""
    if not isinstance(value, dict):
        raise ValueError(f"must be {describe(annotation)}, found {value!r}")
    hints, required = _fields(annotation)
    is_open = typing.is_typeddict(annotation)
    for key in hints:
        if key in required and key not in value:
            raise ValueError(f"{key}: is missing")
    checked = {}
    for key, inner in value.items():
        if key not in hints and not is_open:
            raise ValueError(f"{key}: unknown key")
        try:
            checked[key] = check(inner, hints.get(key, Any))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return checked if is_open else annotation(**checked)


@functools.cache
def _fields(record: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The annotations of a `TypedDict` or a dataclass, and which of its fields must be there."""
    hints = typing.get_type_hints(record, include_extras=True)
    if typing.is_typeddict(record):
        return hints, record.__required_keys__
    none = dataclasses.MISSING
    fields = dataclasses.fields(record)
    return hints, frozenset(field.name for field in fields if field.default is none and field.default_factory is none)


def _check_plain(value: Any, annotation: Any) -> Any:
    if annotation in (None, type(None)):
        fits = value is None
    elif annotation is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            fits = fits and math.isfinite(value)
        except OverflowError:
            fits = False
        value = float(value) if fits else value
    elif annotation is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        kind = typing.get_origin(annotation) or annotation
        if not isinstance(kind, type):
            raise ValueError(f"its annotation is {annotation}, which no value of a config can be checked by")
        fits = isinstance(value, kind)
    if not fits:
        raise ValueError(f"must be {describe(annotation)}, found {value!r}")
    return value


def says(**facts: Any) -> Callable[[F], F]:
    """Decorator of a registered function: facts that others need to know of it, as attributes.

    They are read from the source too, so each is written out: `@says(spans_run=True)`.
    """

    def add(function: F) -> F:
        vars(function).update(facts)
        return function

    return add


@functools.cache
def describe_source(target: str) -> Description:
    """Reads `module:name` from its source file, without importing the module.

    This is how `dlrun list`, and the check of every model and data key, stay free of torch. A class inherits attributes
    and parameters from those of its bases that are classes of this package.
    """
    module, _, name = target.partition(":")
    source, node = _definition(module, name)
    if isinstance(node, ast.FunctionDef):
        doc = ast.get_docstring(node) or ast.get_docstring(source) or ""
        return Description(doc, _parameters_from_ast(node.args), _facts(node))
    family = list(_family(module, name))
    doc = ast.get_docstring(node) or ast.get_docstring(source) or ""
    attributes: dict[str, Any] = {}
    for distance, (_, base) in reversed(list(enumerate(family))):
        for line in base.body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name) or line.value is None:
                continue
            if distance == 0 or line.target.id not in NOT_INHERITED:
                attributes |= _literal(line.target.id, line.value)
    inits = [n for _, base in family for n in base.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return Description(doc, _parameters_from_ast(inits[0].args) if inits else {}, attributes)


def _literal(name: str, value: ast.expr) -> dict[str, Any]:
    """The attribute, if it is written out."""
    try:
        return {name: ast.literal_eval(value)}
    except ValueError:
        return {}


@functools.cache
def _source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module {module}")
    return ast.parse(pathlib.Path(spec.origin).read_text(encoding="utf-8"))


def _definition(module: str, name: str) -> tuple[ast.Module, ast.ClassDef | ast.FunctionDef]:
    tree = _source(module)
    return tree, next(n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name)


def _family(module: str, name: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """A class and, depth first, its bases that stand in this package."""
    tree, node = _definition(module, name)
    assert isinstance(node, ast.ClassDef)
    yield module, node
    local = {n.name for n in tree.body if isinstance(n, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: (n.module, alias.name)
        for n in tree.body
        if isinstance(n, ast.ImportFrom) and n.module and n.module.split(".")[0] == module.split(".")[0]
        for alias in n.names
    }
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in local:
            yield from _family(module, base.id)
        elif isinstance(base, ast.Name) and base.id in imported:
            yield from _family(*imported[base.id])


def _facts(node: ast.FunctionDef) -> dict[str, Any]:
    calls = [d for d in node.decorator_list if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)]
    said = [keyword for call in calls if call.func.id == says.__name__ for keyword in call.keywords]  # type: ignore[attr-defined]
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in said if keyword.arg}


def _parameters_from_ast(arguments: ast.arguments) -> dict[str, Parameter]:
    found = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        text = ast.unparse(argument.annotation) if argument.annotation else "Any"
        annotation = eval(text, {"__builtins__": {}}, VOCABULARY)
        value = REQUIRED if default is None else ast.literal_eval(default)
        found[argument.arg] = Parameter(argument.arg, annotation, value)
    return found


def describe_object(thing: Any) -> Description:
    """The same for a live class or function, as a plug-in registers it.

    Its keyword-only parameters are its keys; where there are none, all of its parameters.
    """
    is_class = inspect.isclass(thing)
    hints = typing.get_type_hints(thing.__init__ if is_class else thing, include_extras=True)
    signature = [
        p for p in inspect.signature(thing).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    keyword_only = [p for p in signature if p.kind is p.KEYWORD_ONLY]
    found = {p.name: Parameter(p.name, hints.get(p.name, Any), p.default) for p in keyword_only or signature}
    attributes: dict[str, Any] = {}
    for base in reversed(thing.__mro__ if is_class else (thing,)):
        own = {name: value for name, value in vars(base).items() if not name.startswith("_") and _is_plain(value)}
        attributes |= {name: value for name, value in own.items() if base is thing or name not in NOT_INHERITED}
    return Description(inspect.getdoc(thing) or "", found, attributes)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | tuple | list | dict | None)


def suggest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean resnet?` if a choice is near, else nothing."""
    # Of two letters one in its place is a half: `lt` is near `lr`.
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6 if len(word) > 2 else 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def few(names: Iterable[str], most: int = 12) -> str:
    """`a, b and 3 more`: a list that a message has room for; `none` if it is empty."""
    listed = list(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "none") + rest
