"""Exceptions, enumerations and rows: plain Python, made by the native module."""

from __future__ import annotations

import calendar as _calendar
import datetime as _datetime
import os as _os
from enum import Enum
from html import escape as _escape
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    TypedDict,
    Union,
)

__all__ = [
    "PolicyError",
    "Diagnostic",
    "Dialect",
    "DialectDifference",
    "Error",
    "Evidence",
    "Explanation",
    "Image",
    "InvalidValueError",
    "Lineage",
    "ImageStory",
    "NotFound",
    "PlatformStory",
    "RegistryError",
    "Rule",
    "ScanError",
    "ScanVerdict",
    "Severity",
    "Skipped",
    "Story",
    "TagConvention",
    "Unavailable",
    "WorkflowError",
]

# What a policy is made from, and what is known of a registry.
PolicySource = Union[str, bytes, "_os.PathLike[str]", Dict[str, Any]]
Listing = Union[Iterable[str], None, Exception]
Inventory = Union[Mapping[str, Listing], Callable[[str], Listing]]


class Error(Exception):
    """The base of every exception of this package."""


class InvalidValueError(Error, ValueError):
    """A value that is not what it must be: a tag, a schedule, a naive datetime."""


class PolicyError(Error, ValueError):
    """A policy that cannot be used.

    ``diagnostics`` holds everything found, warnings included, in the order of the text.
    """

    def __init__(self, message: str, diagnostics: Tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message, diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return str(self.args[0])


class ScanError(Error, ValueError):
    """A scan report that cannot be read; it says nothing of the image."""


class RegistryError(Error):
    """A registry that did not do what was asked of it.

    ``kind`` is ``absent``, ``unauthorized``, ``unsupported`` (the registry has no such operation),
    ``input`` (what was asked makes no sense), ``answer`` (what came back cannot be used) or
    ``unavailable``; only of the last another attempt may succeed.
    """

    def __init__(self, message: str, kind: str = "unavailable") -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class WorkflowError(Error):
    """An outcome that does not fit: of an unknown run, twice, after a cancel."""


class _TextEnum(str, Enum):
    """An enumeration whose members are their text."""

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Dialect(_TextEnum):
    """Whose reading of the rules decides: the documentation's, or the deployed service's."""

    DOCUMENTED = "documented"
    SERVICE = "service"


class TagConvention(_TextEnum):
    """How patches are tagged: ``3.11-1``, ``3.11-2`` …, or ``3.11-patched``."""

    INCREMENTAL = "incremental"
    FLOATING = "floating"


class Severity(_TextEnum):
    """Whether a finding makes a policy unusable."""

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(NamedTuple):
    """One finding about a policy.

    ``pointer`` is a JSON pointer; ``line`` and ``column`` count from 1 and are None when the
    policy was not given as text. The codes are stable.
    """

    code: str
    severity: Severity
    message: str
    pointer: str
    line: Optional[int]
    column: Optional[int]


class Rule(NamedTuple):
    """One entry of a policy's ``repositories``."""

    repository: str
    tags: Tuple[str, ...]
    enabled: bool


class Image(NamedTuple):
    """An image of a plan: which tag to scan, and what a patch would be called.

    ``latest_patch`` is None when there is none. ``patch_tag`` is None only in the service
    dialect, for an image at patch 999.
    """

    repository: str
    tag: str
    latest_patch: Optional[str]
    scan_tag: str
    patch_tag: Optional[str]


class Skipped(NamedTuple):
    """A tag that cannot be patched: ``base-missing``, ``exhausted`` or ``tag-too-long``."""

    repository: str
    tag: str
    reason: str


class NotFound(NamedTuple):
    """An entry of a rule that selects nothing."""

    repository: str
    tag: str


class Unavailable(NamedTuple):
    """A repository whose tags could not be read."""

    repository: str
    reason: str


class Explanation(NamedTuple):
    """The verdict on one tag, and the entry of the policy that decided it."""

    repository: str
    tag: str
    verdict: str
    explanation: str
    rule: Optional[str]
    selector: Optional[str]


class DialectDifference(NamedTuple):
    """A row that the two dialects do not have in common."""

    list: str
    repository: str
    tag: str
    documented: Optional[str]
    service: Optional[str]


class Lineage(NamedTuple):
    """An original tag: its patches from old to new, the newest version, and the next tag.

    ``newest`` is what a deployment should use; ``next`` is None when there is no next tag.
    """

    original: str
    patches: Tuple[str, ...]
    newest: str
    next: Optional[str]


class ScanVerdict(NamedTuple):
    """What follows from a Trivy report: ``patch``, ``skip`` or ``unsupported``, and why."""

    verdict: str
    reason: Optional[str]
    fixable: int
    findings: int
    os: Optional[Tuple[Optional[str], Optional[str]]]
    architecture: Optional[str]


class Evidence(NamedTuple):
    """What a patch changed: whether it is worth a tag, and why not."""

    publish: bool
    reason: Optional[str]
    fixed: int
    introduced: int
    remaining: int


class PlatformStory(TypedDict):
    """A platform of an image or of a patch, as it is in a registry.

    ``origin`` is the manifest it was made from; ``fixed`` lists the vulnerabilities that the attached
    VEX calls fixed; ``attached`` counts the referrers by predicate type, or else by artifact type.
    """

    platform: Optional[str]
    digest: str
    origin: Optional[str]
    fixed: List[str]
    attached: Dict[str, int]


class ImageStory(TypedDict):
    """An original or a patch, as it is in a registry: what it was made from, by which cycle."""

    tag: str
    digest: str
    origin: Optional[str]
    cycle: Optional[str]
    previous: Optional[str]
    platforms: List[PlatformStory]


class Story(TypedDict):
    """An image and its patches, oldest first; ``original`` is None when it is gone."""

    repository: str
    original: Optional[ImageStory]
    patches: List[ImageStory]


def _table(images: List[Image]) -> Dict[str, List[Optional[str]]]:
    """Rows as columns."""
    return {field: [getattr(image, field) for image in images] for field in Image._fields}


def _plan_html(plan: Any) -> str:
    """A plan as a table, for notebooks; the first images of a large one."""
    shown = plan.images[:100]
    cells = "".join(
        "<tr>" + "".join(f"<td>{_escape(cell or '')}</td>" for cell in image) + "</tr>"
        for image in shown
    )
    heads = "".join(f"<th>{field.replace('_', ' ')}</th>" for field in Image._fields)
    more = f" (the first {len(shown)} are shown)" if len(plan) > len(shown) else ""
    return f"<table><tr>{heads}</tr>{cells}</table><p>{_escape(repr(plan))}{more}</p>"


def _schedule_html(schedule: Any) -> str:
    """The month of the next run as a calendar with the run days marked, for notebooks."""
    first = next(iter(schedule), None)
    if first is None:
        return f"<p>{_escape(repr(schedule))}</p>"
    days = {day.day for day in schedule.run_days(first.year, first.month)}
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{f'<b>[{day}]</b>' if day in days else day or ''}</td>" for day in week
        )
        + "</tr>"
        for week in _calendar.monthcalendar(first.year, first.month)
    )
    heads = "".join(f"<th>{day}</th>" for day in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"))
    caption = f"{_calendar.month_name[first.month]} {first.year}"
    return f"<table><caption>{caption}</caption><tr>{heads}</tr>{rows}</table>"


def _schedule(interval: str, created: _datetime.datetime, dialect: str) -> Any:
    """Make a schedule again, for pickle."""
    from cssc import Schedule

    return Schedule(interval, created=created, dialect=dialect)


def _plan(policy: str, inventory: Any, dialect: str, limit: Optional[int]) -> Any:
    """Make a plan again, for pickle."""
    from cssc import Plan

    return Plan(policy, inventory, dialect=dialect, limit=limit)
