"""A repository of a registry on loopback."""

import hashlib
import json
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def describe(media_type, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


class Repository:
    def __init__(self, registry, name):
        self.host = f"http://{registry}"
        self.base = f"{self.host}/v2/{name}/"

    def _ask(self, method, url, body=None, headers=None):
        request = urllib.request.Request(url, body, headers or {}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), answer.headers

    def manifest(self, reference):
        """The bytes of a manifest."""
        url = f"{self.base}manifests/{reference}"
        return self._ask("GET", url, headers={"Accept": MANIFEST})[0]

    def put_manifest(self, reference, manifest):
        """Write a manifest or index under a tag, or its digest when there is none; describe it."""
        content = json.dumps(manifest).encode()
        described = describe(manifest["mediaType"], content)
        url = f"{self.base}manifests/{reference or described['digest']}"
        self._ask("PUT", url, content, {"Content-Type": manifest["mediaType"]})
        return described

    def put_blob(self, media_type, content):
        """Write a blob; describe it."""
        described = describe(media_type, content)
        place = self._ask("POST", f"{self.base}blobs/uploads/", b"")[1]["Location"]
        place = place if "://" in place else self.host + place
        place += ("&" if "?" in place else "?") + f"digest={described['digest']}"
        self._ask("PUT", place, content, {"Content-Type": "application/octet-stream"})
        return described
