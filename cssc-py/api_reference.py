"""Writes the book's reference of the Python package: from the installed package to Markdown."""

from __future__ import annotations

import enum
import inspect
import sys
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import cssc
import cssc.cycle


def signature(name: str, value: Any) -> str:
    try:
        return f"{name}{inspect.signature(value)}".replace("'", "").replace("_types.", "")
    except (TypeError, ValueError):
        return name


def members(cls: type) -> list[str]:
    """The public methods and properties of a class of the native module."""
    lines = []
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        doc = (inspect.getdoc(getattr(cls, name)) or "").split("\n\n")[0].replace("\n", " ")
        callable_ = callable(value) or isinstance(value, staticmethod)
        shown = signature(name, getattr(cls, name)) if callable_ else name
        shown = shown.replace("(self, /)", "()").replace("(self, /, ", "(").replace("(self, ", "(")
        lines.append(f"- `{shown}`: {doc}" if doc else f"- `{shown}`")
    return lines


def shape(kind: Any) -> str:
    """A type as JSON looks: what has no name of its own is told where it is used."""
    arguments = get_args(kind)
    if kind is Any:
        return "any"
    if get_origin(kind) is Literal:
        return " | ".join(f'"{word}"' for word in arguments)
    if get_origin(kind) is Union:
        return " | ".join(shape(argument) for argument in arguments)
    if get_origin(kind) is list:
        return f"[{shape(arguments[0])}, …]"
    if get_origin(kind) is dict:
        return "{…: " + shape(arguments[1]) + "}"
    if kind is type(None):
        return "None"
    if not kind.__name__.startswith("_"):
        return str(kind.__name__)
    fields = [
        f'"{name}": {shape(field)}' + ("" if name in kind.__required_keys__ else " (may be absent)")
        for name, field in get_type_hints(kind).items()
    ]
    return "{" + ", ".join(fields) + "}"


def describe_cycle(name: str) -> list[str]:
    """A dictionary or a set of alternatives of `cssc.cycle`."""
    value = getattr(cssc.cycle, name)
    if inspect.isbuiltin(value):
        return [f"### `{signature(name, value)}`", "", inspect.getdoc(value) or "", ""]
    if get_origin(value) is not None:
        return [f"### `{name}`", "", f"`{shape(value)}`", ""]
    lines = [
        f"- `{key}: {shape(kind)}`" + ("" if key in value.__required_keys__ else ", may be absent")
        for key, kind in get_type_hints(value).items()
    ]
    doc = (inspect.getdoc(value) or "").replace("``", "`")
    return [f"### `{name}: dict`", "", doc, "", *lines, ""]


def describe(name: str) -> list[str]:
    value = getattr(cssc, name)
    lines = []
    if isinstance(value, type) and issubclass(value, enum.Enum):
        lines = [f"- `{member!r}`: `{member}`" for member in value]
        title = name
    elif isinstance(value, type) and issubclass(value, tuple):
        title = f"{name}({', '.join(value._fields)})"  # type: ignore[attr-defined]
    elif isinstance(value, type) and issubclass(value, dict):
        title = f"{name}: dict"
        fields = value.__annotations__.items()
        lines = [f"- `{key}: {kind.__forward_arg__}`" for key, kind in fields]
    elif isinstance(value, type) and issubclass(value, BaseException):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        title = f"{name}({bases})"
    elif isinstance(value, type):
        title = signature(name, value)
        lines = members(value) if value.__module__ == "cssc" else []
        lines = [] if issubclass(value, str) else lines
    elif callable(value):
        title = signature(name, value)
    else:
        return []
    doc = inspect.getdoc(value) or ""
    # Examples are told in the chapter; the reference says what things are.
    doc = doc.split("\n>>> ")[0].strip().replace("``", "`")
    return [f"### `{title}`", "", doc, "", *lines, *([""] if lines else [])]


def main() -> None:
    sections: dict[str, list[str]] = {"Functions": [], "Classes": [], "Rows": [], "Errors": []}
    for name in sorted(cssc.__all__, key=str.lower):
        value = getattr(cssc, name)
        if not isinstance(value, type):
            section = "Functions"
        elif issubclass(value, BaseException):
            section = "Errors"
        elif issubclass(value, (tuple, dict)):
            section = "Rows"
        else:
            section = "Classes"
        sections[section] += describe(name)
    print("# Python reference\n\nWritten by `cssc-py/api_reference.py`.\n")
    for title, lines in sections.items():
        print(f"## {title}\n")
        print("\n".join(lines).strip() + "\n")
    print("## `cssc.cycle`\n")
    print((inspect.getdoc(cssc.cycle) or "").split("\n>>> ")[0].strip() + "\n")
    names = sorted(cssc.cycle.__all__, key=str.lower)
    print("\n".join(line for name in names for line in describe_cycle(name)).strip() + "\n")


if __name__ == "__main__":
    sys.stdout.reconfigure(newline="\n")  # type: ignore[union-attr]
    main()
