//! Images of several platforms, of which one does not run on this machine.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::place::Place;

#[test]
fn with_copa_every_platform_is_patched_by_itself_and_none_is_lost() {
    every_platform("copa", "copa-platforms", "--patcher copa");
}

#[test]
fn with_buildah_every_platform_is_patched_by_itself_and_none_is_lost() {
    every_platform(
        "buildah",
        "buildah-platforms",
        "--patcher buildah --buildah-isolation chroot",
    );
}

fn digests(index: &Value) -> Vec<String> {
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect()
}

fn platform(row: &Value, name: &str) -> Value {
    let platforms = row["platforms"].as_array().unwrap().iter();
    let mut found = platforms.filter(|platform| platform["platform"] == name);
    found.next().unwrap_or_else(|| panic!("{row}")).clone()
}

fn every_platform(patcher: &str, repository: &str, options: &str) {
    let Some(place) = Place::get() else { return };
    place.copy("debian:12-many", &format!("{repository}:12"));
    place.copy("debian:12-arm64", &format!("{repository}:arm64"));
    place.policy(repository, &["12", "arm64"]);
    let run = format!("run --config policy.json --attempts 1 {options}");

    let said = place.workflow(&run);
    // That one platform cannot be patched here is no failure: trying again would not help.
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let tags = ["12", "12-1", "arm64", "arm64-1"];
    assert_eq!(place.tags(repository), tags, "{patcher} left a tag");
    let rows = place.rows();
    let [many, plain] = [&rows[0], &rows[1]];
    assert_eq!(many["image"], format!("{repository}:12"));
    assert_eq!(many["outcome"], "vulnerable");
    assert_eq!(many["patchedImage"], format!("{repository}:12-1"));
    assert_eq!(platform(many, "linux/amd64")["outcome"], "patched");
    assert_eq!(platform(many, "linux/arm64/v8")["outcome"], "patched");
    let foreign = platform(many, "linux/s390x");
    assert_eq!(foreign["outcome"], "vulnerable", "{foreign}");
    assert_eq!(foreign["reason"]["code"], "no-emulation", "{foreign}");

    let old = place.manifest(&format!("{repository}:12")).unwrap();
    let new = place.manifest(&format!("{repository}:12-1")).unwrap();
    let (before, after) = (digests(&old), digests(&new));
    // amd64, arm64, s390x, and the attestation of amd64's manifest, which is another one now.
    assert_eq!((before.len(), after.len()), (4, 3));
    assert_ne!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    assert_eq!(old["manifests"][2], new["manifests"][2]);
    for index in 0..2 {
        for key in ["mediaType", "platform", "annotations"] {
            let [was, is] = [&old, &new].map(|of| &of["manifests"][index][key]);
            assert_eq!(was, is, "{key}");
        }
    }
    assert_eq!(
        new["annotations"]["org.opencontainers.image.version"],
        old["annotations"]["org.opencontainers.image.version"]
    );
    for (index, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let manifest = format!("{repository}@{}", after[index]);
        assert_eq!(place.config(&manifest)["architecture"], architecture);
        let manifest = place.manifest(&manifest).unwrap();
        let origin = &manifest["annotations"]["dev.cssc.patch.origin.digest"];
        assert_eq!(*origin, before[index]);
        let was = place.manifest(&format!("{repository}@{}", before[index]));
        for (key, value) in was.unwrap()["annotations"].as_object().unwrap() {
            assert_eq!(&manifest["annotations"][key], value);
        }
    }

    // A manifest for another platform than this machine's comes out as one.
    assert_eq!(plain["outcome"], "patched", "{plain}");
    let config = place.config(&format!("{repository}:arm64-1"));
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["variant"], "v8");
    assert!(place.manifest(&format!("{repository}:arm64-1")).unwrap()["config"].is_object());

    // What is patched is clean; what could not be is still not, and there is no new tag.
    let said = place.workflow(&run);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert_eq!(place.tags(repository), tags);
    let rows = place.rows();
    let outcomes: BTreeSet<_> = ["linux/amd64", "linux/arm64/v8"]
        .map(|name| platform(&rows[0], name)["outcome"].to_string())
        .into();
    assert_eq!(outcomes, ["\"clean\"".to_owned()].into());
    let foreign = platform(&rows[0], "linux/s390x");
    assert_eq!(foreign["outcome"], "vulnerable", "{foreign}");
    assert_eq!(rows[1]["outcome"], "clean");
}
