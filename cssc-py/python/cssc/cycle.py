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
    "BegunPublication",
    "ChangedCycle",
    "ChangedPlan",
    "ChangedRun",
    "Comparison",
    "Convention",
    "CopyContent",
    "CopyOutcome",
    "CopyStep",
    "CycleImage",
    "CyclePlatform",
    "Evidence",
    "Failure",
    "FailureCode",
    "Finding",
    "ImageMismatch",
    "LatestPatch",
    "LeftOut",
    "LeftOutReason",
    "ManifestReplacement",
    "NextStep",
    "Outcome",
    "PatchOutcome",
    "PatchRefusal",
    "PatchStep",
    "Patcher",
    "PinnedPolicy",
    "PlanOutcome",
    "PlanStep",
    "PlatformPatch",
    "PlatformRow",
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
    "SignOutcome",
    "SignStep",
    "StatusRow",
    "Step",
    "StepOutcome",
    "TestOutcome",
    "TestStep",
    "Unsupported",
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
FailureCode = Literal["relay-full", "relay-not-reached"]
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

    ``size`` is that of the compressed layers in bytes.
    """

    size: int
    patch: PlatformPatch


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


class _Skipped(TypedDict):
    skipped: Literal["base-missing", "exhausted", "tag-too-long"]


class _ListingError(TypedDict):
    kind: Literal["transient", "unauthorized", "permanent"]
    message: str


class _Unavailable(TypedDict):
    unavailable: _ListingError


class _NotAnImage(TypedDict):
    notAnImage: str


# There is no such tag; it cannot be patched; it could not be read; it stands for something else
# than a container image; the workflow takes care of none of its platforms.
LeftOutReason = Union[
    Literal["notFound", "platformNotSelected"], _Skipped, _Unavailable, _NotAnImage
]


class LeftOut(TypedDict):
    """What a policy names or matches and a cycle does not take care of."""

    repository: str
    tag: str
    reason: LeftOutReason


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


_NoOsPackages = TypedDict("_NoOsPackages", {"no-os-packages": str})
_NoPackages = TypedDict("_NoPackages", {"no-packages": str})

# Why an image cannot be judged; some name the family of its operating system.
Unsupported = Union[Literal["unknown-os", "windows"], _NoOsPackages, _NoPackages]


class _Unsupported(TypedDict):
    unsupported: Unsupported


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


class _Changed(TypedDict):
    before: str
    candidate: str


class _ChangedField(TypedDict):
    field: str
    original: str
    candidate: str


class _Gone(TypedDict):
    count: int
    package: str


_FromTo = TypedDict("_FromTo", {"package": str, "from": str, "to": str})


class _Downgrade(_FromTo, total=False):
    architecture: str


@final
class _OtherOs(TypedDict):
    os: _Changed


@final
class _OtherArchitecture(TypedDict):
    architecture: _Changed


@final
class _OtherPlatform(TypedDict):
    platform: _ChangedField


@final
class _OtherConfig(TypedDict):
    config: str


_PackagesGone = TypedDict("_PackagesGone", {"packages-gone": _Gone})
_PackageDowngraded = TypedDict("_PackageDowngraded", {"package-downgraded": _Downgrade})

# What shows that a candidate is another image than the original.
ImageMismatch = Union[
    _OtherOs,
    _OtherArchitecture,
    _OtherPlatform,
    _OtherConfig,
    Literal["no-packages"],
    _PackagesGone,
    _PackageDowngraded,
]


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

    ``platforms`` are those to take care of; all, where neither this nor the workflow says. ``only``
    are the images to take of those that the policy selects, `python` or `python:3.11`; all, where
    none is named.
    """

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


class BegunPublication(TypedDict):
    """A publication that was begun: the patch tag, and what it was to stand for."""

    repository: str
    tag: str
    digest: str


class _PatchStep(_Assignment):
    step: Literal["patch"]
    cycle: str
    repository: str
    original: str
    image: str
    manifest: str
    platform: str
    patcher: Patcher


class PatchStep(_PatchStep, total=False):
    """Patch ``manifest``, one platform of ``original``. What is made is judged before it is copied.

    ``image`` is what the tag of the original stands for: this manifest, or an index with it. Where
    one of ``begun`` was published, that is the candidate. ``previous`` is the patch before.
    """

    begun: List[BegunPublication]
    previous: str


class _Candidate(_Assignment):
    repository: str
    original: str
    manifest: str
    platform: str
    digest: str


class _VerifyStep(_Candidate):
    step: Literal["verify"]
    scanned: List[str]
    keepsReport: bool


class VerifyStep(_VerifyStep, total=False):
    """Find out whether a candidate is still the same image, and better than what was ``scanned``.

    ``allowConfig`` is what of the configuration may be another than the original's.
    """

    allowConfig: List[str]


class TestStep(_Candidate):
    """Try a candidate that was judged and is good."""

    step: Literal["test"]


@final
class _Manifest(TypedDict):
    manifest: str


class ManifestReplacement(TypedDict):
    """A manifest in the index of an original, and the one that takes its place."""

    original: str
    patched: str


class _IndexOfOriginal(TypedDict):
    original: str
    replacements: List[ManifestReplacement]


class _IndexContent(_IndexOfOriginal, total=False):
    previous: str


@final
class _Index(TypedDict):
    index: _IndexContent


# The candidate with this digest, or the original's index with other manifests in it.
CopyContent = Union[_Manifest, _Index]


class CopyStep(_Assignment):
    """Copy into the repository, by digest and without a tag, what has passed the gate.

    The manifests that an index names are there already.
    """

    step: Literal["copy"]
    cycle: str
    repository: str
    original: str
    content: CopyContent


class _AttestStep(_Assignment):
    step: Literal["attest"]
    cycle: str
    repository: str
    original: str
    origin: str
    subject: str
    patcher: Patcher
    attach: Attach


class AttestStep(_AttestStep, total=False):
    """Attach to ``subject``, which was made from ``origin``, what is known of it.

    The two are manifests of ``platform``, or indexes where there is none; ``policy`` is the digest
    of the policy.
    """

    platform: str
    policy: str


class SignStep(_Assignment):
    """Sign an image, which gets ``tag`` afterwards. Signing it twice must do no harm."""

    step: Literal["sign"]
    repository: str
    tag: str
    digest: str


class _PublishStep(_Assignment):
    step: Literal["publish"]
    repository: str
    tag: str
    digest: str


class PublishStep(_PublishStep, total=False):
    """Write the patch tag of an image that is in the repository by its digest.

    The tag must not exist, but for the digest ``replaces``; the same digest there already is success.
    """

    replaces: str


Step = Union[
    PlanStep,
    ScanStep,
    PatchStep,
    VerifyStep,
    TestStep,
    CopyStep,
    AttestStep,
    SignStep,
    PublishStep,
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


class _TooManyLayers(TypedDict):
    tooManyLayers: int


class _NotRunnable(TypedDict):
    notRunnable: str


# It would have this many layers; its lowest layers are not those of the original; programs of its
# platform cannot be run where it would be patched, and why.
PatchRefusal = Union[_TooManyLayers, Literal["otherLayers"], _NotRunnable]


class _RefusedPatch(TypedDict):
    refused: PatchRefusal


class _Refused(TypedDict):
    refused: str


class CopyOutcome(TypedDict):
    """The digest of what is in the registry now, with all that it names."""

    copied: str


class _Attached(TypedDict):
    attached: int


# The digest of the candidate; that the patcher ended well without one; that nothing can be made that
# may be published.
PatchOutcome = Union[_Made, Literal["nothingMade"], _RefusedPatch]
# Fit to be published, or not and why.
TestOutcome = Union[Literal["passed"], _Refused]
# How many artifacts, or that the registry has no API for referrers.
AttestOutcome = Union[_Attached, Literal["unsupported"]]
SignOutcome = Literal["signed"]
# The patch tag stands for the image, or for something else that must not be replaced.
PublishOutcome = Literal["published", "tagTaken"]


class _Failure(TypedDict):
    kind: Literal["transient", "permanent", "lost"]
    message: str


class Failure(_Failure, total=False):
    """Why a step failed.

    After a ``transient`` failure it is tried again. ``lost``: what an earlier step had made is gone,
    and is made again. ``code`` is the reason that rows show, where it has a name of its own.
    """

    code: FailureCode


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


class _OfCopy(TypedDict):
    copy: CopyOutcome


class _OfAttest(TypedDict):
    attest: AttestOutcome


class _OfSign(TypedDict):
    sign: SignOutcome


class _OfPublish(TypedDict):
    publish: PublishOutcome


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
    _OfCopy,
    _OfAttest,
    _OfSign,
    _OfPublish,
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
