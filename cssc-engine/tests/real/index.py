"""Pushes an index of images that are in the registry.

usage: index.py REGISTRY REPOSITORY TAG PLATFORM=TAG...

In the place of a platform, `attestation` adds what BuildKit adds for the image with the tag.
"""

import json
import sys

from repository import INDEX, MANIFEST, Repository, describe


def main(registry, name, tag, *entries):
    repository = Repository(registry, name)
    manifests = []
    for entry in entries:
        platform, _, of = entry.partition("=")
        manifest = repository.manifest(of)
        described = describe(MANIFEST, manifest)
        if platform == "attestation":
            subject = described["digest"]
            # What it says is for nobody here; only that it is another manifest.
            manifest = json.loads(manifest)
            manifest["annotations"] = {"org.opencontainers.image.title": "attestation"}
            described = repository.put_manifest(None, manifest)
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
    repository.put_manifest(tag, index)


main(*sys.argv[1:])
