//! Images whose configuration is full of what acts on a build: it acts on no patch, and stays.

use std::env;
use std::fs;

use serde_json::{Value, json};

use crate::place::{Place, to_docker};

#[test]
fn with_copa_all_of_a_configuration_stays() {
    all_stays("copa-full", "--patcher copa --jobs 2");
}

#[test]
fn with_buildah_all_of_a_configuration_stays() {
    all_stays(
        "buildah-full",
        "--patcher buildah --buildah-isolation chroot --jobs 2",
    );
}

/// Fills manifest and configuration.
fn fill(manifest: &mut Value, config: &mut Value, volumes: &Value) {
    config["author"] = "A Person".into();
    config["docker_version"] = "20.10".into();
    config["container_config"] = json!({"Cmd": ["/bin/sh"], "Image": "sha256:0"});
    config["x-unknown"] = json!({"kept": [1, null, "a"]});
    config["history"] = json!([
        {"created_by": "ADD file:1 in /", "created": "2020-01-01T00:00:00Z"},
        {"created_by": "CMD", "empty_layer": true},
    ]);
    config["config"] = json!({
        "User": "nobody:nogroup",
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "http_proxy=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "A=b=c", "EMPTY=",
        ],
        "Cmd": ["a"], "Entrypoint": ["/none", "b"], "WorkingDir": "/no/such/folder",
        "Volumes": volumes, "OnBuild": ["RUN false", "USER nobody"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64},
        "Shell": ["/bin/false", "-c"], "StopSignal": "SIGINT", "ExposedPorts": {"80/tcp": {}},
        "Labels": {"BaseImage": "docker.io/library/other:1", "a": "b", "empty": ""},
        "labels": {"BaseImage": "docker.io/library/other:2"},
        "ArgsEscaped": true, "Hostname": "build", "X-Unknown": {"kept": true},
    });
    manifest["x-unknown"] = json!([1, 2]);
    manifest["layers"][0]["annotations"] = json!({"a layer": "of mine"});
}

fn all_stays(repository: &str, options: &str) {
    let Some(place) = Place::get() else { return };
    let volumes = json!({"/data": {}, "/var/lib": {}, "/usr": {}, "/etc": {}});
    for (tag, is_docker) in [("oci", false), ("docker", true)] {
        let to = format!("{repository}:{tag}");
        place.copy("debian:12", &to);
        place.change((&to, &to), |manifest, config| {
            fill(manifest, config, &volumes);
            if is_docker {
                to_docker(manifest);
            } else {
                manifest["annotations"] = json!({"org.opencontainers.image.version": "12"});
            }
        });
    }
    let tags = ["docker", "oci"];
    place.policy(repository, &tags);
    place.cycle(options, &[]);
    for (index, tag) in tags.into_iter().enumerate() {
        assert_eq!(
            place.rows()[index]["outcome"],
            "patched",
            "{}",
            place.rows()
        );
        stayed(&place, repository, tag);
    }
    // As Trivy sees what was published.
    place.cycle(options, &[]);
    for index in 0..tags.len() {
        assert_eq!(place.rows()[index]["outcome"], "clean", "{}", place.rows());
    }
    assert_eq!(
        place.tags(repository),
        ["docker", "docker-1", "oci", "oci-1"]
    );
    for tag in tags {
        // `buildah from` would run the triggers.
        let (patched, plain) = (
            format!("{repository}:{tag}-1"),
            format!("{repository}:plain"),
        );
        place.change((&patched, &plain), |_, config| {
            config["config"] = json!({});
        });
        is_patched(&place, &plain);
    }
}

/// Manifest and configuration are those of the original but for layers, history and origin keys.
fn stayed(place: &Place, repository: &str, tag: &str) {
    let names = [tag.to_owned(), format!("{tag}-1")].map(|tag| format!("{repository}:{tag}"));
    let [mut was, mut is] = names
        .each_ref()
        .map(|name| [place.manifest(name).unwrap(), place.raw_config(name)]);
    let origin = match tag {
        "docker" => &mut is[1]["config"]["Labels"],
        _ => &mut is[0]["annotations"],
    };
    let origin = origin.as_object_mut().unwrap();
    assert!(origin.remove("dev.cssc.patch.origin.digest").is_some());
    origin.retain(|name, _| !name.starts_with("dev.cssc.patch."));

    for (place, key) in [(0, "/layers"), (1, "/rootfs/diff_ids"), (1, "/history")] {
        let [was, is] = [&was, &mut is].map(|documents| documents[place].pointer(key).cloned());
        let (was, is) = (was.unwrap(), is.unwrap());
        let (was, is) = (was.as_array().unwrap(), is.as_array().unwrap());
        assert_eq!(is.len(), was.len() + 1, "{key}");
        assert_eq!(is[..was.len()], was[..], "{key}");
    }
    let added = is[1]["history"][2]["created_by"].as_str().unwrap();
    assert!(added.starts_with("cssc: patched by "), "{added}");
    for documents in [&mut was, &mut is] {
        for (document, keys) in documents
            .iter_mut()
            .zip([["layers", "config"], ["rootfs", "history"]])
        {
            document
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !keys.contains(&key.as_str()));
        }
    }
    assert_eq!(was, is);
}

/// Both the files and what the package manager says of them are new, and nothing is half done.
fn is_patched(place: &Place, image: &str) {
    let script = "dpkg-query --show --showformat \"\\${source:Package} \\${source:Version}\\n\"
        echo ---; dpkg --audit; dpkg --verify | grep -v missing || :";
    let said = place.inside(image, script);
    let (packages, wrong) = said.split_once("---\n").unwrap();
    assert_eq!(wrong, "", "{image}");
    let advisories = fs::read_to_string(env::var("REAL_ADVISORIES").unwrap()).unwrap();
    for line in advisories.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, fixed) = (fields[1], fields[3]);
        if !fixed.is_empty() {
            let wanted = format!("{name} {fixed}");
            assert!(
                packages.lines().any(|line| line == wanted),
                "{image}: {wanted}"
            );
        }
    }
}
