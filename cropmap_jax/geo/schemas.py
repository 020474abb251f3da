"""Third-party JSON: bounded, and checked by a schema before anything uses it."""

import functools
import json
import math
import pathlib
import reprlib
from typing import Any, NoReturn

import jsonschema
import jsonschema.protocols

MAX_BYTES = 64 << 20
"""Size of a metadata file that is read unless another is given."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlist = _SHORT.maxdict = 4
_KEYWORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxProperties": "at most {} properties",
    "type": "{}",
    "const": "{!r}",
    "enum": "one of {}",
}


def read_json(file: pathlib.Path, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """Reads a JSON file, without NaN and Infinity, which JSON does not have.

    Args:
      file: its path.
      what: what it should be, for the message, e.g. "a cube's STAC item".
      max_bytes: of a longer file only the size is looked at.

    Raises:
      ValueError: no file, too long, or not JSON; names the file.
    """
    if not file.is_file():
        raise ValueError(f"{file}: expected {what}, found no file")
    size = file.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{file}: expected {what} of at most {max_bytes} bytes, found {size}")
    if not size:
        raise ValueError(f"{file}: expected {what}, found an empty file")
    try:
        text = file.read_bytes().decode("utf-8")
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        # Half of a surrogate pair is no text: it could be neither printed nor written again.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise ValueError(f"{file}: expected {what}, found JSON nested too deep") from error
    except json.JSONDecodeError as error:
        found = f"no JSON ({_first_line(error)})"
        raise ValueError(f"{file}: expected {what}, found {found}") from error
    except ValueError as error:  # of UTF-8, and of integers with thousands of digits
        raise ValueError(f"{file}: expected {what}, found {_first_line(error)}") from error
    return value


def check(
    value: object,
    schema: pathlib.Path,
    where: str | pathlib.Path,
    definition: str = "",
    at: str = "",
) -> None:
    """Requires a value that a schema of this package allows.

    Args:
      value: as `read_json` returns it.
      schema: file of a JSON schema; its descriptions say what was expected.
      where: what to name, e.g. the file.
      definition: which of the schema's definitions the value must obey; "" for all of it.
      at: where the value stands in the file, e.g. "assets/s1".

    Raises:
      ValueError: names `where`, the path inside, what was found and what was expected.
    """
    error = next(_validator(schema, definition).iter_errors(value), None)
    if error is not None:
        raise ValueError(f"{where}: {_explain(error, at)}")


def show(value: object) -> str:
    """A value for a message: short, on one line, control characters escaped."""
    return _SHORT.repr(value)


_BASE = jsonschema.Draft202012Validator
_Validator = jsonschema.validators.extend(
    _BASE,
    # JSON schema itself takes 64.0 and 1e300 for integers.
    type_checker=_BASE.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


@functools.cache
def _validator(schema: pathlib.Path, definition: str) -> jsonschema.protocols.Validator:
    found = json.loads(schema.read_text(encoding="utf-8"))
    defs = found.pop("$defs", {})
    return _Validator(_inline(defs[definition] if definition else found, defs))


def _inline(node: Any, defs: dict[str, Any]) -> Any:
    """Puts definitions in the place of references, which take most of the time of a check."""
    if isinstance(node, list):
        return [_inline(part, defs) for part in node]
    if not isinstance(node, dict):
        return node
    node = {key: _inline(part, defs) for key, part in node.items()}
    if "$ref" in node:
        target = _inline(defs[node.pop("$ref").removeprefix("#/$defs/")], defs)
        node = {"allOf": [target], **node} if node else target
    return node


def _explain(error: jsonschema.ValidationError, at: str) -> str:
    # Keys are as little to be trusted as values.
    parts = [show(p)[1:-1] if isinstance(p, str) else str(p) for p in error.absolute_path]
    path = "/".join([*([at] if at else []), *parts])
    if error.validator == "required":
        lacking = next(n for n in error.validator_value if n not in error.instance)
        return f"expected property {lacking!r}, found none{f' in {path}' if path else ''}"
    expected = error.schema.get("description") if isinstance(error.schema, dict) else None
    if expected is None:
        form = _KEYWORDS.get(error.validator, f"{error.validator} {{}}")
        expected = form.format(_plain(error.validator_value))
    return f"{f'{path}: ' if path else ''}expected {expected}, found {show(error.instance)}"


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number too large: {text[:40]}")
    return value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
