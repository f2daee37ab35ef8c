"""The tree of errors: drawn as it is, and each says enough for the one who must act."""

from __future__ import annotations

import inspect
import re

from edgemesh import errors
from edgemesh.errors import BusUnavailable, ConfigError, EdgemeshError, InputError, Rejected, StoreError


def test_the_drawing_is_the_tree() -> None:
    """Every error of the module is in the drawing, under its parent."""
    drawn: dict[str, str] = {}
    line_of = {0: "EdgemeshError"}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([│ ]*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            line_of[depth] = match[2]
            drawn[match[2]] = line_of[depth - 1]
    real = {
        name: each.__bases__[0].__name__
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, EdgemeshError) and each is not EdgemeshError
    }
    assert drawn == real


def test_each_says_where_what_and_what_would_be_right() -> None:
    """The texts that people read, with and without their parts."""
    assert str(ConfigError("is wrong", file="a.toml", path="x.y", wish="do z")) == "a.toml: x.y: is wrong (do z)"
    assert str(ConfigError("is wrong")) == "is wrong"
    assert str(InputError("no such file", source="a.csv", wish="look")) == "a.csv: no such file (look)"
    assert str(InputError("no such file")) == "no such file"
    assert str(Rejected("bad_id", "a+b")) == "bad_id: a+b"
    assert str(Rejected("bad_id")) == "bad_id"
    assert str(BusUnavailable("port in use", "take another")) == "port in use (take another)"
    assert StoreError("locked", retryable=True).retryable
