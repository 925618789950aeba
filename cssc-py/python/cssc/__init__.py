"""Continuous patching of container images: policy, tags, plan, schedule and workflow.

Give it the policy, the tags and the time, and it answers which images to scan, what a patch would
be called, and when the workflow runs. That does no I/O; `Client` alone speaks to registries.

>>> import cssc
>>> policy = {"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}
>>> for image in cssc.plan(policy, {"python": ["3.11", "3.11-1", "3.12"]}):
...     print(image.scan_tag, "->", image.patch_tag)
3.11-1 -> 3.11-2
3.12 -> 3.12-1
"""

from __future__ import annotations

import json as _json
import sys as _sys
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

if not getattr(_sys, "_is_gil_enabled", lambda: True)():
    raise ImportError(
        "cssc has no build for free-threaded Python yet: use a standard build of Python"
    )

from cssc._native import (
    DEFAULT_LIMIT,
    Client,
    Policy,
    Cycle,
    Plan,
    Schedule,
    __version__,
    check,
    dialect_differences,
)
from cssc import _native, _types
from cssc._types import (
    PolicyError,
    Diagnostic,
    Dialect,
    DialectDifference,
    Error,
    Evidence,
    Explanation,
    Image,
    ImageStory,
    InvalidValueError,
    Lineage,
    NotFound,
    PlatformStory,
    RegistryError,
    Rule,
    ScanError,
    ScanVerdict,
    Severity,
    Skipped,
    Story,
    TagConvention,
    Unavailable,
    WorkflowError,
)

__all__ = [
    "Policy",
    "PolicyError",
    "Client",
    "Cycle",
    "DEFAULT_LIMIT",
    "Diagnostic",
    "Dialect",
    "DialectDifference",
    "Error",
    "Evidence",
    "Explanation",
    "Image",
    "ImageStory",
    "InvalidValueError",
    "Lineage",
    "NotFound",
    "PatchTag",
    "Plan",
    "PlatformStory",
    "Registry",
    "RegistryError",
    "Repository",
    "Rule",
    "ScanError",
    "ScanVerdict",
    "Schedule",
    "Severity",
    "Skipped",
    "Story",
    "Tag",
    "TagConvention",
    "Unavailable",
    "WorkflowError",
    "__version__",
    "check",
    "compare_scans",
    "dialect_differences",
    "lineages",
    "matches",
    "newest",
    "next_tag",
    "plan",
    "scan_verdict",
    "schema",
    "template",
]

# Where people find them, in tracebacks and for `pickle`; the module they are in is private.
for _name in _types.__all__:
    getattr(_types, _name).__module__ = __name__

# What the native module refers to by the package's types.
_types.Policy = Policy  # type: ignore[attr-defined]

_T = TypeVar("_T", bound="_Name")


class _Name(str):
    """A checked name; otherwise an ordinary string."""

    __slots__ = ()

    @classmethod
    def _checked(cls: Type[_T], text: str, check: Callable[[str], str]) -> _T:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"a {cls.__name__.lower()} must be a string, not {kind}")
        return super().__new__(cls, check(text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self: _T) -> Tuple[Type[_T], Tuple[str]]:
        return type(self), (str(self),)


class Tag(_Name):
    """A tag of an image: a letter, digit or ``_``, then at most 127 of those, ``.`` and ``-``."""

    __slots__ = ()

    def __new__(cls, text: str) -> Tag:
        return cls._checked(text, _native.check_tag)


class Repository(_Name):
    """The name of a repository inside a registry: ``python``, ``library/ubuntu``."""

    __slots__ = ()

    def __new__(cls, text: str) -> Repository:
        return cls._checked(text, _native.check_repository)


class Registry(_Name):
    """The host of a registry, its port included; Azure's short form is completed."""

    __slots__ = ()

    def __new__(cls, text: str) -> Registry:
        return cls._checked(text, _native.check_registry)


class PatchTag(NamedTuple):
    """A tag this system made, taken apart. ``number`` is None for the floating convention."""

    tag: str
    original: str
    convention: TagConvention
    number: Optional[int]

    @classmethod
    def parse(cls, tag: str, convention: Optional[str] = None) -> Optional[PatchTag]:
        """Read ``tag`` as a patch tag, of one convention or of either; None if it is none.

        >>> PatchTag.parse("3.11-2").original
        '3.11'
        >>> PatchTag.parse("jammy-20240111") is None
        True
        """
        conventions = [convention] if convention is not None else list(TagConvention)
        for name in conventions:
            parsed = _native.parse_patch(name, tag)
            if parsed is not None:
                original, number = parsed
                return cls(tag, original, TagConvention(name), number)
        return None


def plan(
    policy: Union[Policy, _types.PolicySource],
    inventory: _types.Inventory,
    *,
    dialect: str = Dialect.DOCUMENTED,
    limit: Optional[int] = DEFAULT_LIMIT,
) -> Plan:
    """Plan ``policy`` for a registry.

    ``policy`` is a `Policy` or anything one is made from. ``inventory`` is a mapping of
    repositories to their tags, or a callable that is given a repository's name. Its tags are an
    iterable of strings in any order, None when there is no such repository, or an exception
    when they could not be read; what a callable raises comes through unchanged.
    """
    return Plan(policy, inventory, dialect=dialect, limit=limit)


def lineages(
    tags: Iterable[str], convention: str = TagConvention.INCREMENTAL
) -> Tuple[List[Lineage], List[str]]:
    """Tell a repository's tags apart: the originals, and the patch tags without an original.

    >>> originals, orphans = lineages(["3.11", "3.11-2", "3.11-10", "3.9-4"])
    >>> originals[0].newest, originals[0].next, orphans
    ('3.11-10', '3.11-11', ['3.9-4'])
    """
    return _native.lineages(tags, convention)


def newest(
    tags: Iterable[str], original: str, convention: str = TagConvention.INCREMENTAL
) -> str:
    """The newest version of ``original``, what a deployment should use.

    >>> newest(["3.11", "3.11-2", "3.11-10"], "3.11")
    '3.11-10'
    """
    return _native.lineage(tags, original, convention).newest


def next_tag(
    tags: Iterable[str], original: str, convention: str = TagConvention.INCREMENTAL
) -> Optional[str]:
    """The tag the next patch of ``original`` gets; None when there is no next tag."""
    return _native.lineage(tags, original, convention).next


def matches(selector: str, tag: str) -> bool:
    """Whether an entry of a rule's ``tags`` takes in ``tag``: by name, ``*``, or as a glob."""
    return _native.check_selector(selector, tag)


def scan_verdict(report: bytes) -> ScanVerdict:
    """What follows from a Trivy report in JSON."""
    return _native.scan_report(report)


def compare_scans(before: bytes, after: bytes) -> Evidence:
    """Whether the patch between two Trivy reports fixes something and breaks nothing."""
    return _native.compare_scans(before, after)


def schema() -> Dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a policy."""
    document: Dict[str, Any] = _json.loads(_native.schema())
    return document


def template() -> str:
    """A policy to start from, as text."""
    return _native.template()
