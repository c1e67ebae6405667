"""The annotation of an argument -> whether a value of the configuration is one, and words for what is."""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen
from pydantic import AllowInfNan, BeforeValidator, PydanticUserError, Strict, TypeAdapter, ValidationError

from dmt.ranges import Code, Empty, Infinite, Named

MOST = 10**9  # of a whole number, where its range does not say
LARGEST = 1e30  # of a number, where its range does not say; what is computed with in float32 ends at 3e38
SMALLEST = 1e-30  # of a number that must not be 0
NAME_LENGTH = 4096  # characters of text
LISTS = (Sequence, list, tuple, set)
MAPPINGS = (Mapping, dict)
_WORDS = "words"  # beside the ranges of text: a number is none


@dataclass(frozen=True)
class Part:
    """An object that the configuration describes, in its stead while values are checked."""

    made: Any  # the class that is built, or what the function says it returns; None where nobody says
    is_partial: bool = False  # handed over as a function that builds it


@cache
def parameters(target: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a class or function with their annotations; ``**`` where it takes others, too."""
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    if isinstance(target, type):  # a dataclass's generated constructor has lost where its annotations were written
        own = getattr(target, "__dataclass_fields__", {})
        hints |= {name: kind for name, kind in _class_hints(target).items() if name in own}
    found: dict[str, Any] = {}
    for name, parameter in _signature(target).parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            found["**"] = hints.get(name, Any)
        elif parameter.kind is not Parameter.VAR_POSITIONAL:
            found[name] = hints.get(name, Any)
    return found


def is_default(target: Callable[..., Any], name: str, value: Any) -> bool:
    """Whether an argument has this value unless one is given."""
    known = _signature(target).parameters.get(name)
    return known is not None and type(known.default) is type(value) and known.default == value


@cache
def _signature(target: Callable[..., Any]) -> Signature:
    return signature(target)


def _class_hints(target: type) -> dict[str, Any]:
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        return {}


def value_of(annotation: Any, value: Any) -> Any:
    """The value as the argument takes it: a whole number as an ``int``, a number that names something as text.

    Raises:
        ValueError: the value is none that the argument takes.
    """
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ValueError(str(error)) from error


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(_checked(annotation, ()))
    except PydanticUserError:  # an annotation of another package's that nobody can check
        return TypeAdapter(Any)


def _checked(annotation: Any, ranges: Sequence[Any]) -> Any:
    """An annotation with what goes without saying, as pydantic reads it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _checked(arguments[0], [*_flat(arguments[1:]), *ranges])
    if origin in (Union, types.UnionType):
        beside = [*ranges, *([_WORDS] if any(_is_number(each) for each in arguments) else [])]
        return Union[tuple(_checked(each, beside) for each in arguments)]  # noqa: UP007
    if annotation is Any or annotation is object:
        named = next((each for each in ranges if isinstance(each, Named)), None)
        return Any if named is None else Annotated[Any, BeforeValidator(_name(named.is_list))]
    if annotation is None or annotation is type(None):
        return None
    if annotation is bool:
        return Annotated[bool, Strict()]
    if annotation is int:
        bounds = _bounds(ranges)
        low = [] if any(isinstance(each, Gt | Ge) for each in bounds) else [Ge(-MOST)]
        high = [] if any(isinstance(each, Lt | Le) for each in bounds) else [Le(MOST)]
        return Annotated[int, Strict(), *bounds, *low, *high, BeforeValidator(_whole)]
    if annotation is float:
        return Annotated[float, Strict(), AllowInfNan(True), *_bounds(ranges), BeforeValidator(_number(ranges))]
    if annotation is str or annotation is Path:
        least = 0 if any(isinstance(each, Empty) for each in ranges) else 1
        return Annotated[str, Strict(), Len(least, NAME_LENGTH), BeforeValidator(_word if _WORDS in ranges else _text)]
    if origin is Literal:
        return annotation
    if (origin or annotation) in LISTS:
        item = next((each for each in arguments if each is not ...), Any)
        return Annotated[list[_checked(item, ())], Strict(), *_lengths(ranges)]  # type: ignore[misc]
    if (origin or annotation) in MAPPINGS:
        return Annotated[dict[Any, _checked(arguments[1] if arguments else Any, ())], Strict()]  # type: ignore[misc]
    return Annotated[Any, BeforeValidator(_part(annotation))]


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or (get_origin(annotation) is Annotated and _is_number(get_args(annotation)[0]))


def _flat(ranges: Sequence[Any]) -> list[Any]:
    """Ranges with intervals and lengths taken apart."""
    return [part for each in ranges for part in (each if isinstance(each, Interval | Len) else [each])]


def _bounds(ranges: Sequence[Any]) -> list[Any]:
    return [each for each in ranges if isinstance(each, Gt | Ge | Lt | Le)]


def _lengths(ranges: Sequence[Any]) -> list[Any]:
    return [each for each in ranges if isinstance(each, MinLen | MaxLen)]


def _whole(value: Any) -> Any:
    """A whole number that is written as another, such as 1e3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(ranges: Sequence[Any]) -> Callable[[Any], Any]:
    infinite = any(isinstance(each, Infinite) for each in ranges)
    positive = any(isinstance(each, Gt) and each.gt == 0 for each in ranges)

    def checked(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            is_infinite = value in (float("inf"), float("-inf"))
            if value != value or (is_infinite and not infinite) or (abs(value) > LARGEST and not is_infinite):
                raise ValueError("not finite")
            if positive and value < SMALLEST:
                raise ValueError("nothing")
        return value

    return checked


def _text(value: Any) -> Any:
    """Text; of a number, which may be a name, what stands for it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and ("\0" in value or (value and not value.strip()) or not _is_encodable(value)):
        raise ValueError("no text")
    return value


def _word(value: Any) -> Any:
    """Text that is not read off a number, where a number means something else."""
    return _text(value) if isinstance(value, str) else value


def _name(is_list: bool) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        inside = value if is_list and isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float | None) for each in inside):
            raise ValueError("no name")
        return value

    return checked


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _part(annotation: Any) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if value != {} and not (isinstance(value, Part) and _fits(value, annotation)):
            raise ValueError("no such part")
        return value

    return checked


@cache
def _fits(part: Part, wanted: Any) -> bool:
    """Whether an object will do where another is asked for; true where nobody can tell."""
    if wanted is Callable or get_origin(wanted) is Callable:
        return part.is_partial or not isinstance(part.made, type) or _is_callable(part.made)
    if part.is_partial:
        return False
    if get_origin(wanted) is not None or not isinstance(wanted, type) or not isinstance(part.made, type):
        return True
    if getattr(wanted, "_is_protocol", False):
        return wanted in part.made.__mro__ or _members(wanted) <= _members(part.made)
    return issubclass(part.made, wanted)


def _is_callable(kind: type) -> bool:
    return any("__call__" in vars(each) for each in kind.__mro__)


def _members(kind: type) -> set[str]:
    """The public names that objects of a class have, and calling."""
    found: set[str] = set()
    for each in kind.__mro__:
        if each.__module__ not in ("builtins", "typing", "abc"):
            found |= {*vars(each), *vars(each).get("__annotations__", {}), *_set_in_constructor(each)}
    return {name for name in found if not name.startswith("_") or name == "__call__"}


def _set_in_constructor(kind: type) -> set[str]:
    """What a constructor may assign: ``self.name = ...``."""
    code = getattr(vars(kind).get("__init__"), "__code__", None)
    return set() if code is None or getattr(kind, "_is_protocol", False) else set(code.co_names)


# In words


def described(annotation: Any) -> str:
    """What an argument takes, in words.

    >>> described(Annotated[float, Gt(0)] | Literal["mean", "median"])
    'a number above 0, mean or median'
    >>> described(Sequence[Annotated[int, Ge(1)]] | None)
    'a list of whole numbers above 0 or null'
    """
    *most, last = dict.fromkeys(_alternatives(annotation, ()))
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(annotation: Any, ranges: Sequence[Any], of: str = "a ", many: str = "") -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _alternatives(arguments[0], [*_flat(arguments[1:]), *ranges], of, many)
    elif origin in (Union, types.UnionType):
        for each in arguments:
            yield from _alternatives(each, ranges, of, many)
    elif annotation is None or annotation is type(None):
        yield "null"
    elif annotation is bool:
        yield from ("true", "false")
    elif annotation is int:
        yield f"{of}whole number{many}{_range(ranges, True)}"
    elif annotation is float:
        yield f"{of}number{many}{_range(ranges, False)}"
    elif annotation is str:
        is_code = any(isinstance(each, Code) for each in ranges)
        yield "a file or MODULE:FUNCTION" if is_code else "names" if many else "text"
    elif annotation is Path:
        yield "a path"
    elif origin is Literal:
        yield from map(str, arguments)
    elif (origin or annotation) in LISTS:
        item = next((each for each in arguments if each is not ...), Any)
        inside = list(_alternatives(item, (), "", "s"))
        length = next((f" {each.max_length}" for each in ranges if isinstance(each, MaxLen)), "")
        of_what = f" of{length} {' or '.join(inside)}" if item is not Any else ""
        yield f"lists{of_what}" if many else f"a list{of_what}"
    elif (origin or annotation) in MAPPINGS:
        inside = list(_alternatives(arguments[1] if arguments else Any, (), "", "s"))
        yield f"names with {' or '.join(inside)}, as {{a: ..., b: ...}}"
    elif any(isinstance(each, Named) for each in ranges):
        yield "names" if many else "a name"
    elif annotation is Any or annotation is object:
        yield "anything" if not many else "values"
    else:
        yield "parts with a _target_" if many else "a part with a _target_"


def _range(ranges: Sequence[Any], whole: bool) -> str:
    low = next((each for each in ranges if isinstance(each, Gt | Ge)), None)
    high = next((each for each in ranges if isinstance(each, Lt | Le)), None)
    top = None if high is None else high.le if isinstance(high, Le) else high.lt
    if isinstance(low, Ge) and whole and low.ge and high is None:
        return f" above {low.ge - 1}"  # type: ignore[operator]
    if isinstance(low, Ge) and high is None:
        return f", {low.ge} or more"
    if isinstance(low, Ge) and isinstance(high, Le):
        return f" from {low.ge} to {top}"
    if isinstance(low, Ge):
        return f" from {low.ge} to below {top}"
    if isinstance(low, Gt) and isinstance(high, Le):
        return f" above {low.gt}, at most {top}"
    if isinstance(low, Gt) and high is not None:
        return f" between {low.gt} and {top}"
    return f" above {low.gt}" if low is not None else ""
