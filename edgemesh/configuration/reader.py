"""Reading TOML into settings: variables filled in, unknown keys refused with the nearest right name."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.inspect

from edgemesh.errors import ConfigError
from edgemesh.model.settings import Bytes, BytesPerDay, Seconds, decode_amount

T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_AT = re.compile(r" - at `\$?([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
MAX_FILE_BYTES = 1_000_000
MAX_SECONDS = 100 * 365.25 * 86400
MAX_BYTES = 2**60


def read_toml(file: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Read a TOML file and fill `${NAME}` and `${NAME:-default}` in its texts from the environment.

    ConfigError names the file, the line of a syntax error, or the variable that is not set.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError("is larger than 1 MB", file=str(file), wish="is this really a configuration?")
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("there is no such file", file=str(file), wish="`configs/` has samples") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't be read: {error}", file=str(file)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", file=str(file)) from None
    filled: dict[str, Any] = _fill(tree, "", str(file), environment)
    return filled


def _fill(node: Any, path: str, file: str, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, f"{path}.{key}".lstrip("."), file, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, f"{path}[{index}]", file, environment) for index, value in enumerate(node)]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        value = environment.get(name, default)
        if value is None:
            raise ConfigError(
                f"the environment variable {name} is not set",
                file=file,
                path=path,
                wish=f"${{{name}:-default}} has one",
            )
        return value

    return _VARIABLE.sub(value_of, node)


def convert(tree: object, kind: type[T], *, file: str, path: str = "") -> T:
    """Turn a tree of plain values into settings of the given type.

    ConfigError says which key of which file is wrong and what would be right; `path` is put before its path.
    """
    try:
        return msgspec.convert(tree, kind, dec_hook=_decode_amount)
    except msgspec.ValidationError as error:
        raise _explain(error, kind, file, path) from None


def _decode_amount(kind: type, value: object) -> object:
    """As `decode_amount`, but an amount beyond all sense is refused here instead of overflowing somewhere later."""
    try:
        amount = decode_amount(kind, value)
    except OverflowError:
        amount = Bytes(MAX_BYTES + 1)
    if (isinstance(amount, Seconds) and amount > MAX_SECONDS) or (
        isinstance(amount, Bytes | BytesPerDay) and amount > MAX_BYTES
    ):
        raise ValueError("is beyond all measure: at most 100 years, or 1 EiB")
    return amount


def _explain(error: msgspec.ValidationError, kind: type, file: str, prefix: str) -> ConfigError:
    text = str(error)
    at = _AT.search(text)
    where = at[1] if at else ""
    problem = _AT.sub("", text)
    full = (prefix + where).lstrip(".")
    unknown, missing = _UNKNOWN.search(problem), _MISSING.search(problem)
    if unknown:
        names = _field_names(kind, where)
        near = difflib.get_close_matches(unknown[1], names, n=1, cutoff=0.5)
        wish = f"did you mean `{near[0]}`?" if near else "known here: " + ", ".join(sorted(names))
        return ConfigError("is not a setting", file=file, path=f"{full}.{unknown[1]}".lstrip("."), wish=wish)
    if missing:
        return ConfigError("is missing", file=file, path=f"{full}.{missing[1]}".lstrip("."))
    return ConfigError(problem[:1].lower() + problem[1:], file=file, path=full)


def _field_names(kind: type, where: str) -> list[str]:
    """The names that the struct at a path of the type may have; unions give the names of all their structs."""
    kinds = [msgspec.inspect.type_info(kind)]
    for name, _ in _STEP.findall(where):
        kinds = [inner for outer in kinds for inner in _inside(outer, name)]
    return sorted({field.encode_name for each in _structs(kinds) for field in each.fields})


def _structs(kinds: list[msgspec.inspect.Type]) -> list[msgspec.inspect.StructType]:
    flat: list[msgspec.inspect.StructType] = []
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.StructType):
            flat.append(kind)
        elif isinstance(kind, msgspec.inspect.UnionType):
            flat.extend(_structs(list(kind.types)))
    return flat


def _inside(kind: msgspec.inspect.Type, name: str) -> list[msgspec.inspect.Type]:
    if isinstance(kind, msgspec.inspect.UnionType):
        return [inner for each in kind.types for inner in _inside(each, name)]
    if name:
        if isinstance(kind, msgspec.inspect.StructType):
            return [field.type for field in kind.fields if field.encode_name == name]
        return [kind.value_type] if isinstance(kind, msgspec.inspect.DictType) else []
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return [kind.item_type]
    if isinstance(kind, msgspec.inspect.DictType):  # msgspec writes `[...]` for any of its keys
        return [kind.value_type]
    return []
