"""Pushes an index of images that are in the registry.

usage: index.py REGISTRY REPOSITORY TAG PLATFORM=TAG...

In the place of a platform, `attestation` adds what BuildKit adds for the image with the tag.
"""

import hashlib
import json
import sys
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def main(registry, repository, tag, *entries):
    base = f"http://{registry}/v2/{repository}/manifests/"

    def read(reference):
        request = urllib.request.Request(base + reference, headers={"Accept": MANIFEST})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def describe(body):
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        return {"mediaType": MANIFEST, "digest": digest, "size": len(body)}

    def write(reference, media_type, body):
        headers = {"Content-Type": media_type}
        request = urllib.request.Request(base + reference, body, headers, method="PUT")
        urllib.request.urlopen(request, timeout=60).close()

    manifests = []
    for entry in entries:
        platform, _, of = entry.partition("=")
        described = describe(read(of))
        if platform == "attestation":
            subject = described["digest"]
            # What it says is for nobody here; only that it is another manifest.
            body = json.loads(read(of))
            body["annotations"] = {"org.opencontainers.image.title": "attestation"}
            body = json.dumps(body).encode()
            described = describe(body)
            write(described["digest"], MANIFEST, body)
            described["platform"] = {"os": "unknown", "architecture": "unknown"}
            described["annotations"] = {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": subject,
            }
        else:
            keys = ("os", "architecture", "variant")
            described["platform"] = dict(zip(keys, platform.split("/")))
            described["annotations"] = {"com.example.platform": platform}
        manifests.append(described)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": manifests,
        "annotations": {"org.opencontainers.image.version": "12"},
    }
    write(tag, INDEX, json.dumps(index).encode())


main(*sys.argv[1:])
