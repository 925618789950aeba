"""What the stand-ins for Trivy and Copa share.

They speak the arguments and formats of the real tools, read and write images in a real
registry, and fail on demand. The layer that a patch adds, or else the variable STANDIN of the image,
says what a scan of it finds, in words:

    CVE-1=2.0     a finding that version 2.0 fixes, and a patch with it
    CVE-2=        a finding that nothing fixes
    CVE-3=2.0!    a finding that is said to be fixable, but stays after a patch
    after:CVE-4=2.0  a finding that comes with a patch
    os=alpine, os=none, os=windows, eosl   the operating system; debian by default

STANDIN_FAULTS, a file `faults` beside the output or `standin-faults` in STANDIN_FOLDER hold what shall go wrong, with commas
between: `TOOL:FAULT[@IMAGE][#COUNT]`, for example `trivy:hang@python:3.11#1` for the first scan
of an image, which may be a whole repository. Faults are

    hang     wait for ever
    deaf     wait for ever and take no notice of SIGTERM
    flood    print 64 MB, then go on
    slow     wait a fifth of a second, then go on
    fail     do nothing and end with 1
    exit1    do everything and end with 1
    nothing  do nothing and end with 0
    kill     kill whoever has called it
    squash   patch, with all layers in one
    crash    do a half and die of a signal
    half     do a half and end with 0: half a report, an image without a manifest
    garbage  end with 0 after a report or an image that is none

STANDIN_FOLDER names a folder in which `calls` lists every call: tool, image, target.
"""

import base64
import hashlib
import json
import os
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def fail(text, code=1):
    print(f"FATAL {text}", file=sys.stderr)
    sys.exit(code)


def record(*words):
    """Write a line to the list of calls; which one it is of those that are equal."""
    folder = os.environ.get("STANDIN_FOLDER")
    if not folder:
        return 1
    line = " ".join(words) + "\n"
    path = pathlib.Path(folder, "calls")
    with open(path, "a", encoding="utf-8") as calls:
        calls.write(line)
    return path.read_text(encoding="utf-8").splitlines(True).count(line)


def fault(tool, image, count, output):
    """The fault this call shall have, or none; some are over and done with here."""
    faults = os.environ.get("STANDIN_FAULTS", "")
    files = [pathlib.Path(output).with_name("faults")]
    if os.environ.get("STANDIN_FOLDER"):
        files.append(pathlib.Path(os.environ["STANDIN_FOLDER"], "standin-faults"))
    for file in filter(pathlib.Path.exists, files):
        faults += "," + file.read_text(encoding="utf-8")
    for item in filter(None, faults.split(",")):
        item, _, times = item.partition("#")
        item, _, only = item.partition("@")
        name, _, kind = item.partition(":")
        if name != tool or (only and only not in (image.short, image.repository)) or (times and count > int(times)):
            continue
        if kind == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if kind in ("hang", "deaf"):
            print("waiting", flush=True)
            while True:
                time.sleep(1000)
        if kind == "flood":
            for _ in range(64):
                sys.stderr.write(("x" * 1023 + "\n") * 1024)
        if kind == "slow":
            time.sleep(0.2)
        if kind == "fail":
            fail("failed on demand")
        if kind == "nothing":
            sys.exit(0)
        if kind == "kill":
            os.kill(os.getppid(), signal.SIGKILL)
            sys.exit(1)
        return kind
    return None


def crash():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


class Image:
    """An image in a registry: HOST/REPOSITORY with a tag, a digest or both."""

    def __init__(self, reference):
        name, _, self.digest = reference.partition("@")
        self.host, _, rest = name.partition("/")
        self.repository, _, self.tag = rest.partition(":")
        self.short = f"{self.repository}:{self.tag or self.digest}"

    def request(self, method, path, body=None, headers=()):
        url = path if "://" in path else f"http://{self.host}/v2/{self.repository}/{path}"
        request = urllib.request.Request(url, body, dict(headers), method=method)
        config = pathlib.Path(os.environ.get("DOCKER_CONFIG", "/nowhere"), "config.json")
        if config.exists():
            auth = json.loads(config.read_text())["auths"].get(self.host, {}).get("auth")
            if auth:
                base64.b64decode(auth, validate=True)
                request.add_header("Authorization", f"Basic {auth}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            fail(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}")
        except OSError as error:
            fail(f"{method} {url}: {error}")

    def read(self):
        """The manifest, its digest, and the configuration."""
        path = f"manifests/{self.digest or self.tag}"
        body, headers = self.request("GET", path, headers={"Accept": MANIFEST}.items())
        manifest = json.loads(body)
        config, _ = self.request("GET", f"blobs/{manifest['config']['digest']}")
        return manifest, headers["Docker-Content-Digest"], json.loads(config)

    def put_blob(self, media_type, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        _, headers = self.request("POST", "blobs/uploads/", b"")
        place = headers["Location"]
        place = place if "://" in place else f"http://{self.host}{place}"
        place += ("&" if "?" in place else "?") + f"digest={digest}"
        self.request("PUT", place, content, {"Content-Type": "application/octet-stream"}.items())
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def put_manifest(self, tag, content, media_type=MANIFEST):
        body = json.dumps(content).encode()
        self.request("PUT", f"manifests/{tag}", body, {"Content-Type": media_type}.items())
        return {
            "mediaType": media_type,
            "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
            "size": len(body),
        }


# How the layer of a patch begins.
LAYER = b"standin:"


def patch_layer(content):
    """The layer of a patch, after which a scan finds what these words say."""
    return LAYER + " ".join(content).encode() + b"\n" + bytes(2048)


def words(image, manifest, config):
    """What an image says of itself."""
    for layer in reversed(manifest.get("layers", [])):
        if layer["size"] < 1 << 16:
            content, _ = image.request("GET", f"blobs/{layer['digest']}")
            if content.startswith(LAYER):
                return content[len(LAYER) :].partition(b"\n")[0].decode().split()
    variables = config.get("config", {}).get("Env") or []
    for variable in variables:
        name, _, value = variable.partition("=")
        if name == "STANDIN":
            return value.split()
    return []


def findings(content):
    """What a scan finds: identifiers with the version that fixes each."""
    pairs = (word.split("=", 1) for word in content if word.startswith("CVE-"))
    return {identifier: fixed.rstrip("!") for identifier, fixed in pairs}
