"""What passes between a `Cycle` and whoever runs it: steps, outcomes and rows, as dictionaries.

The shapes are those of the core's JSON, so that a step can be sent to another machine and its
outcome sent back. `scan_outcome` and `verify_outcome` make outcomes of Trivy's reports; the others
are written as they are.

>>> from cssc.cycle import StepOutcome
>>> outcome: StepOutcome = {"failed": {"kind": "transient", "message": "the registry timed out"}}
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict, Union, final

from cssc._native import scan_outcome, verify_outcome

__all__ = [
    "Assigned",
    "Attach",
    "AttestOutcome",
    "AttestStep",
    "ChangedCycle",
    "ChangedPlan",
    "ChangedRun",
    "Comparison",
    "Convention",
    "CycleImage",
    "CyclePlatform",
    "DiscardOutcome",
    "DiscardStep",
    "Evidence",
    "Exchange",
    "Failure",
    "Finding",
    "ImageMismatch",
    "LatestPatch",
    "LeftOut",
    "NextStep",
    "Outcome",
    "PatchOutcome",
    "PatchStep",
    "Patcher",
    "PinnedPolicy",
    "PlanOutcome",
    "PlanStep",
    "PlatformPatch",
    "PlatformRow",
    "PublishContent",
    "PublishOutcome",
    "PublishStep",
    "RecordChange",
    "RowFindings",
    "RowReason",
    "RunStatus",
    "ScanDecision",
    "ScanOutcome",
    "ScanStep",
    "Settings",
    "SeverityWord",
    "StatusRow",
    "Step",
    "StepOutcome",
    "TestOutcome",
    "TestStep",
    "Until",
    "VerifyOutcome",
    "VerifyStep",
    "WaitUntil",
    "scan_outcome",
    "verify_outcome",
]

# Words of options and answers.
Patcher = Literal["copa", "buildah", "command"]
Attach = Literal["auto", "always", "never"]
Until = Literal["scan", "verify"]
Convention = Literal["incremental", "floating"]
SeverityWord = Literal["critical", "high", "medium", "low", "unknown"]
Outcome = Literal[
    "patched", "clean", "vulnerable", "end-of-life", "unsupported", "failed", "canceled", "left-out"
]
RunStatus = Literal["Queued", "Running", "Succeeded", "Failed", "Skipped", "Canceled", "Unknown"]


# --- Images. ---


class _PlatformPatch(TypedDict):
    digest: str


class PlatformPatch(_PlatformPatch, total=False):
    """What the newest patch holds for a platform, and the ``origin`` that it was made from."""

    origin: str


class _CyclePlatform(TypedDict):
    platform: str
    digest: str


class CyclePlatform(_CyclePlatform, total=False):
    """A platform of an image: the original's manifest for it, and the newest patch's.

    ``size`` is that of the compressed layers in bytes; ``candidate`` is the tag of an earlier
    candidate that the registry would not delete, to be used again.
    """

    size: int
    patch: PlatformPatch
    candidate: str


class _LatestPatch(TypedDict):
    tag: str
    digest: str


class LatestPatch(_LatestPatch, total=False):
    """The newest patch; ``isForeign`` when nothing in it says what it was made from."""

    isForeign: bool


class _CycleImage(TypedDict):
    repository: str
    tag: str
    digest: str
    platforms: List[CyclePlatform]
    patchTag: Optional[str]


class CycleImage(_CycleImage, total=False):
    """An image of a cycle's plan, and what its tags stood for when it was made.

    ``unselected`` are further platforms of the original that the workflow does not take care of.
    """

    unselected: List[CyclePlatform]
    latestPatch: LatestPatch


class LeftOut(TypedDict):
    """What a policy names or matches and a cycle does not take care of.

    ``reason`` is ``notFound``, or an object of one field: ``skipped``, ``unavailable`` or ``notAnImage``.
    """

    repository: str
    tag: str
    reason: Union[str, Dict[str, Any]]


class PinnedPolicy(TypedDict):
    """The policy that a plan follows."""

    digest: str
    tagConvention: Convention


class Settings(TypedDict, total=False):
    """What is kept with a workflow."""

    limit: Union[int, Literal["none"]]
    patcher: Patcher
    attempts: int
    platforms: List[str]
    record: bool


# --- Findings. ---


class Finding(TypedDict):
    """A vulnerability of an installed package."""

    vulnerabilityId: str
    package: str
    installedVersion: str
    fixedVersion: Optional[str]
    severity: SeverityWord


class _Fixable(TypedDict):
    fixable: int


class _Patch(TypedDict):
    patch: _Fixable


class _Skip(TypedDict):
    skip: Literal["end-of-service-life", "no-vulnerability"]


class _Unsupported(TypedDict):
    unsupported: Union[str, Dict[str, str]]


# The image needs a patch, needs none, or cannot be judged.
ScanDecision = Union[_Patch, _Skip, _Unsupported]


class Evidence(TypedDict):
    """What a patch did; ``after`` is what follows from the scan of the candidate alone."""

    fixed: List[Finding]
    introduced: List[Finding]
    remaining: List[Finding]
    after: ScanDecision


class Comparison(TypedDict):
    """A candidate beside the manifest ``scanned`` before."""

    scanned: str
    evidence: Evidence


# What shows that a candidate is another image than the original: `layers`, or an object of one field.
ImageMismatch = Union[str, Dict[str, Any]]


# --- Steps: what is to be done now. ---


class _Assignment(TypedDict):
    """The run it belongs to, which attempt it is, and until when it must be done (RFC 3339)."""

    run: str
    attempt: int
    deadline: str


class _PlanStep(_Assignment):
    step: Literal["plan"]
    cycle: str
    leaveOutUnavailable: bool
    patches: bool
    forOthers: bool


class PlanStep(_PlanStep, total=False):
    """Read the policy, list the tags, make the plan, and pin what the tags of it stand for.

    ``platforms`` are those to take care of; all, where neither this nor the workflow says.
    """

    endedCycles: List[str]
    patcher: Patcher
    platforms: List[str]
    only: List[str]


class ScanStep(_Assignment):
    """Scan a manifest."""

    step: Literal["scan"]
    repository: str
    tag: str
    digest: str
    platform: str
    isPatch: bool


class _PatchStep(_Assignment):
    step: Literal["patch"]
    cycle: str
    repository: str
    original: str
    image: str
    manifest: str
    platform: str
    candidate: str
    patcher: Patcher


class PatchStep(_PatchStep, total=False):
    """Patch ``manifest``, one platform of ``original``, and push the result as ``candidate``.

    Where one of the tags ``published`` holds what this cycle has made already, that is the candidate.
    """

    published: List[str]
    previous: str


class _Candidate(_Assignment):
    repository: str
    original: str
    manifest: str
    platform: str
    candidate: str
    digest: str


class VerifyStep(_Candidate):
    """Find out whether a candidate is still the same image, and better than what was ``scanned``."""

    step: Literal["verify"]
    scanned: List[str]
    patcher: Patcher
    keepsReport: bool


class TestStep(_Candidate):
    """Try a candidate that was judged and is good."""

    step: Literal["test"]


class _AttestStep(_Candidate):
    step: Literal["attest"]
    cycle: str
    patcher: Patcher
    attach: Attach


class AttestStep(_AttestStep, total=False):
    """Attach to a candidate what is known of it; ``policy`` is the digest of the policy."""

    policy: str


@final
class _Manifest(TypedDict):
    manifest: str


class Exchange(TypedDict):
    """A manifest of an index, and the one that takes its place."""

    original: str
    patched: str


class _IndexContent(TypedDict):
    original: str
    exchanged: List[Exchange]


@final
class _Index(TypedDict):
    index: _IndexContent


# A manifest as it is, or the original's index with other manifests in it.
PublishContent = Union[_Manifest, _Index]


class _PublishStep(_Assignment):
    step: Literal["publish"]
    cycle: str
    repository: str
    original: str
    tag: str
    attach: Attach
    content: PublishContent


class PublishStep(_PublishStep, total=False):
    """Write a patched image under its patch tag.

    The tag must not exist, but for the digest ``replaces``; the same digest there already is success.
    """

    replaces: str
    previous: str
    policy: str


class DiscardStep(_Assignment):
    """Remove the tag of a candidate, and never the image it stands for."""

    step: Literal["discard"]
    repository: str
    candidate: str


Step = Union[
    PlanStep, ScanStep, PatchStep, VerifyStep, TestStep, AttestStep, PublishStep, DiscardStep
]


@final
class Assigned(TypedDict):
    """Do this, and report the outcome."""

    assigned: Step


@final
class WaitUntil(TypedDict):
    """Nothing before this time (RFC 3339), unless an outcome is reported earlier."""

    waitUntil: str


# `idle`: nothing until an outcome is reported; `done`: the cycle has ended.
NextStep = Union[Assigned, WaitUntil, Literal["idle", "done"]]


# --- Outcomes: what steps came to. ---


class _PlanOutcome(TypedDict):
    images: List[CycleImage]


class PlanOutcome(_PlanOutcome, total=False):
    """The plan of a cycle."""

    leftOut: List[LeftOut]
    policy: PinnedPolicy
    settings: Settings


class _ScanOutcome(TypedDict):
    verdict: ScanDecision


class ScanOutcome(_ScanOutcome, total=False):
    """What a scan came to; ``database`` is when the vulnerability database was made (RFC 3339)."""

    fixable: List[Finding]
    unfixed: int
    database: str


class VerifyOutcome(TypedDict, total=False):
    """What was found out about a candidate."""

    mismatch: ImageMismatch
    comparisons: List[Comparison]


class _Made(TypedDict):
    made: str


class _Refused(TypedDict):
    refused: str


class _Attached(TypedDict):
    attached: int


class _Published(TypedDict):
    published: str


class _Kept(TypedDict):
    kept: str


# The digest of the candidate, or that the patcher ended well without one.
PatchOutcome = Union[_Made, Literal["nothingMade"]]
# Fit to be published, or not and why.
TestOutcome = Union[Literal["passed"], _Refused]
# How many artifacts, or that the registry has no API for referrers.
AttestOutcome = Union[_Attached, Literal["unsupported"]]
# The digest that the patch tag stands for, or that it stands for something else.
PublishOutcome = Union[_Published, Literal["tagTaken"]]
# The tag is gone, stands for an empty manifest, or is still there and why.
DiscardOutcome = Union[Literal["removed", "emptied"], _Kept]


class Failure(TypedDict):
    """Why a step failed; after a ``transient`` failure it will be retried."""

    kind: Literal["transient", "permanent"]
    message: str


class _OfPlan(TypedDict):
    plan: PlanOutcome


class _OfScan(TypedDict):
    scan: ScanOutcome


class _OfPatch(TypedDict):
    patch: PatchOutcome


class _OfVerify(TypedDict):
    verify: VerifyOutcome


class _OfTest(TypedDict):
    test: TestOutcome


class _OfAttest(TypedDict):
    attest: AttestOutcome


class _OfPublish(TypedDict):
    publish: PublishOutcome


class _OfDiscard(TypedDict):
    discard: DiscardOutcome


class _Failed(TypedDict):
    failed: Failure


class _Interrupted(TypedDict):
    interrupted: Literal["stopped", "canceled", "overdue"]


# An object of one field: the name of the step, `failed` or `interrupted`.
StepOutcome = Union[
    _OfPlan,
    _OfScan,
    _OfPatch,
    _OfVerify,
    _OfTest,
    _OfAttest,
    _OfPublish,
    _OfDiscard,
    _Failed,
    _Interrupted,
]


# --- What is shown, and what is stored. ---


class RowReason(TypedDict):
    """Why an image ended as it did: ``code`` for programs, ``text`` for people."""

    code: str
    text: str


class RowFindings(TypedDict):
    """What is known of an image's findings, in numbers."""

    fixable: int
    fixed: int
    left: int
    introduced: int
    unfixed: int
    openSince: Optional[str]


class PlatformRow(TypedDict):
    """What is shown of one platform of an image."""

    platform: str
    outcome: Optional[Outcome]
    scanRunId: Optional[str]
    patchRunId: Optional[str]
    findings: Optional[RowFindings]
    reason: Optional[RowReason]


class StatusRow(TypedDict):
    """What is shown of one image of a cycle, or of what was left out; times are RFC 3339."""

    image: str
    workflowType: str
    outcome: Optional[Outcome]
    scanStatus: RunStatus
    scanDate: Optional[str]
    scanRunId: Optional[str]
    patchStatus: RunStatus
    patchDate: Optional[str]
    patchedImage: Optional[str]
    patchedDigest: Optional[str]
    patchRunId: Optional[str]
    findings: Optional[RowFindings]
    reason: Optional[RowReason]
    platforms: List[PlatformRow]


class ChangedCycle(TypedDict):
    """The record of the cycle itself."""

    cycle: Dict[str, Any]


class _StoredPlan(TypedDict):
    cycle: str
    plan: Dict[str, Any]


class ChangedPlan(TypedDict):
    """The plan of a cycle, which is stored once."""

    plan: _StoredPlan


class ChangedRun(TypedDict):
    """The record of one run, in place of what was stored under its ``id``."""

    run: Dict[str, Any]


# Documents to be stored as they are; what is in them may change with the version they carry.
RecordChange = Union[ChangedCycle, ChangedPlan, ChangedRun]
