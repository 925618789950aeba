//! What patchers are given, and what is published of what they push.

use std::fs;
use std::sync::Mutex;

use cssc_core::cycle::{Cause, ImageOutcome, RunId, StatusRow};
use cssc_core::workflow::PatcherKind;
use cssc_core::{Cycle, Digest, Workflow};
use cssc_engine::policy_source::PolicyReadError;
use cssc_engine::runner::Runner;
use cssc_engine::tool::{Job, PatchRequest, Patcher, Scan, Scanner, StopToken, ToolError, Version};
use cssc_registry::{Descriptor, Manifest, Reference, RegistryClient};
use serde_json::{Value, json};

use super::world::{MANIFEST, Tools, World, python, relay};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A configuration full of what acts on a build, or gets lost in one.
fn full_config(layers: usize) -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-02T03:04:05Z",
        "author": "somebody", "unknown": {"kept": [1, 2.5]},
        "config": {
            "User": "nobody", "Env": ["PATH=/bin", "HTTP_PROXY=http://dead:1", "no_proxy=a"],
            "Cmd": ["sh"], "Volumes": {"/var/lib": {}}, "OnBuild": ["RUN false"],
            "Healthcheck": {"Test": ["CMD", "true"], "StartInterval": 5},
            "Shell": ["/bin/ash"], "StopTimeout": 3, "StopSignal": "SIGQUIT",
            "Labels": {"team": "web", "BaseImage": "debian:12"},
        },
        "history": vec![json!({"created_by": "base"}); layers],
    })
}

/// What is pushed as a layer of this kind.
fn layer(registry: &dyn RegistryClient, kind: &str, text: &str) -> Descriptor {
    registry.put_blob(&python(), text.as_bytes()).unwrap();
    Descriptor::of(kind, text.as_bytes())
}

/// Stores an image of a kind under a tag, with these layers under this configuration.
fn push(
    registry: &dyn RegistryClient,
    tag: &str,
    mut config: Value,
    layers: &[Descriptor],
    is_docker: bool,
) -> Digest {
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let config = config.to_string();
    registry.put_blob(&python(), config.as_bytes()).unwrap();
    let (kind, config_kind) = if is_docker {
        let config = "application/vnd.docker.container.image.v1+json";
        (DOCKER_MANIFEST, config)
    } else {
        (MANIFEST, "application/vnd.oci.image.config.v1+json")
    };
    let mut document = json!({
        "schemaVersion": 2, "mediaType": kind, "layers": layers,
        "config": Descriptor::of(config_kind, config.as_bytes()),
    });
    if !is_docker {
        document["annotations"] = json!({"org.opencontainers.image.title": "kept"});
    }
    let manifest = Manifest {
        media_type: kind.to_owned(),
        bytes: document.to_string().into_bytes(),
    };
    let reference = Reference::Tag(tag.parse().unwrap());
    registry
        .put_manifest(&python(), &reference, &manifest)
        .unwrap();
    manifest.descriptor().digest
}

fn json_of(registry: &dyn RegistryClient, reference: &Reference) -> (Value, Value) {
    let manifest = registry.get_manifest(&python(), reference).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let config = serde_json::from_value(manifest["config"].clone()).unwrap();
    let config = registry.get_blob(&python(), &config, 1 << 20).unwrap();
    (manifest, serde_json::from_slice(&config).unwrap())
}

/// Finds one fixable package in what has no layer `fixed` on top.
struct Finder;

impl Scanner for Finder {
    fn name(&self) -> &'static str {
        "finder"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn scan(&self, image: &cssc_engine::tool::ImageRef, job: &Job<'_>) -> Result<Scan, ToolError> {
        let registry = relay(job);
        let digest = Reference::Digest(image.digest().unwrap().clone());
        let (manifest, _) = json_of(&registry, &digest);
        let top = manifest["layers"].as_array().unwrap().last().unwrap();
        let top: Descriptor = serde_json::from_value(top.clone()).unwrap();
        let is_fixed = registry.get_blob(&python(), &top, 1 << 20).unwrap() == b"fixed";
        let finding = json!({"VulnerabilityID": "CVE-1", "PkgName": "p", "FixedVersion": "2"});
        let findings = if is_fixed { vec![] } else { vec![finding] };
        let authority = job.login.unwrap().authority();
        let report = job.folder.join("found.json");
        let text = json!({
            "SchemaVersion": 2, "ArtifactName": image.exact(),
            "Metadata": {
                "OS": {"Family": "debian", "Name": "12"},
                "RepoDigests": [image.exact()],
            },
            "Results": [{
                "Target": format!("{authority}/python (debian 12)"), "Class": "os-pkgs",
                "Type": "debian", "Packages": [{"Name": "p"}], "Vulnerabilities": findings,
            }],
        });
        fs::write(&report, text.to_string()).unwrap();
        Scan::read("finder".as_ref(), report)
    }
}

type Push<'a> = dyn Fn(&dyn RegistryClient, &PatchRequest<'_>, &Value, Vec<Descriptor>) + Sync + 'a;

/// Pushes what a test says, and remembers the configuration that it was given.
struct Pusher<'a> {
    given: Mutex<Option<Value>>,
    push: &'a Push<'a>,
}

impl Patcher for Pusher<'_> {
    fn name(&self) -> &'static str {
        "pusher"
    }

    fn check(&self, _: &Job<'_>) -> Result<Option<Version>, ToolError> {
        Ok(None)
    }

    fn patch(&self, request: &PatchRequest<'_>, job: &Job<'_>) -> Result<(), ToolError> {
        let registry = relay(job);
        let original = Reference::Digest(request.original.digest().unwrap().clone());
        let (manifest, config) = json_of(&registry, &original);
        let layers = serde_json::from_value(manifest["layers"].clone()).unwrap();
        (self.push)(&registry, request, &config, layers);
        *self.given.lock().unwrap() = Some(config);
        Ok(())
    }
}

/// A cycle with this patcher; and what it was given.
fn patched_by(world: &mut World, kind: PatcherKind, push: &Push<'_>) -> (Cycle, Value) {
    let patcher = Pusher {
        given: Mutex::default(),
        push,
    };
    world.settings.cycle.settings.patcher = Some(kind);
    let policy = || -> Result<Workflow, PolicyReadError> { Ok(world.workflow()) };
    let cycle = world.with_runner(&Tools::new(), &policy, |runner| {
        let runner = Runner {
            scanner: &Finder,
            patchers: &patcher,
            ..*runner
        };
        runner
            .run(Cause::Immediate, &StopToken::default(), &mut |_| ())
            .unwrap()
    });
    (
        cycle,
        patcher.given.into_inner().unwrap().unwrap_or_default(),
    )
}

fn row(cycle: &Cycle) -> StatusRow {
    cycle.rows().next().unwrap()
}

fn tag(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

/// The layers are the patcher's, all else is the original's: for both kinds of images, and whatever
/// the patcher makes of configuration, annotations and media types.
#[test]
fn nothing_but_layers_comes_from_a_patcher() {
    for is_docker in [false, true] {
        let mut world = World::new();
        let kind = if is_docker { DOCKER_LAYER } else { OCI_LAYER };
        let base: Vec<Descriptor> = ["a", "b"]
            .map(|text| layer(&world.registry, kind, text))
            .into();
        let digest = push(&world.registry, "12", full_config(2), &base, is_docker);
        let (before, before_config) = json_of(&world.registry, &tag("12"));
        let (cycle, given) = patched_by(
            &mut world,
            PatcherKind::Copa,
            &|registry, request, _, mut layers| {
                // Of the other kind, with a configuration of its own.
                let kind = if is_docker { OCI_LAYER } else { DOCKER_LAYER };
                layers.push(layer(registry, kind, "fixed"));
                let config = json!({
                    "architecture": "s390x", "os": "plan9",
                    "config": {"Labels": {"BaseImage": "x"}, "Cmd": ["evil"]},
                });
                push(
                    registry,
                    request.target.as_str(),
                    config,
                    &layers,
                    !is_docker,
                );
            },
        );
        assert_eq!(
            row(&cycle).outcome,
            Some(ImageOutcome::Patched),
            "{:?}",
            row(&cycle)
        );
        let diff_ids = before_config["rootfs"]["diff_ids"].clone();
        assert_eq!(
            given,
            json!({
                "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }),
            "a neutral image"
        );

        let (mut after, mut after_config) = json_of(&world.registry, &tag("12-1"));
        let layers = after["layers"].as_array_mut().unwrap();
        let new = layers.pop().unwrap();
        assert_eq!(new, json!(Descriptor::of(kind, b"fixed")));
        after["config"] = before["config"].clone();
        let history = after_config["history"]
            .as_array_mut()
            .unwrap()
            .pop()
            .unwrap();
        let by = "cssc: patched by copa for 1 package with fixable vulnerabilities";
        assert_eq!(history["created_by"], by);
        let ids = after_config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        assert_eq!(
            ids.pop().unwrap(),
            json!(cssc_registry::digest::of(b"fixed"))
        );
        let said = if is_docker {
            after_config["config"]["Labels"].as_object_mut().unwrap()
        } else {
            after["annotations"].as_object_mut().unwrap()
        };
        assert_eq!(said["dev.cssc.patch.origin.digest"], json!(digest));
        assert_eq!(
            said["dev.cssc.patch.origin.name"],
            "localhost:5000/python:12"
        );
        said.retain(|key, _| !key.starts_with("dev.cssc."));
        assert_eq!(after, before, "the manifest is the original's");
        assert_eq!(
            after_config, before_config,
            "the configuration is the original's"
        );
        world.leaves_nothing_behind();
    }
}

/// A history that does not account for the layers of the original gets no entry.
#[test]
fn a_history_that_does_not_add_up_stays_as_it_is() {
    let mut world = World::new();
    let base = [layer(&world.registry, OCI_LAYER, "a")];
    push(&world.registry, "12", full_config(2), &base, false);
    let add = |registry: &dyn RegistryClient,
               request: &PatchRequest<'_>,
               config: &Value,
               mut layers: Vec<Descriptor>| {
        layers.push(layer(registry, OCI_LAYER, "fixed"));
        push(
            registry,
            request.target.as_str(),
            config.clone(),
            &layers,
            false,
        );
    };
    patched_by(&mut world, PatcherKind::Buildah, &add);
    let (_, config) = json_of(&world.registry, &tag("12-1"));
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
}

#[test]
fn images_of_too_many_layers_and_of_other_layers_are_refused() {
    let add = |registry: &dyn RegistryClient,
               request: &PatchRequest<'_>,
               config: &Value,
               mut layers: Vec<Descriptor>| {
        layers.push(layer(registry, OCI_LAYER, "fixed"));
        push(
            registry,
            request.target.as_str(),
            config.clone(),
            &layers,
            false,
        );
    };
    let squash = |registry: &dyn RegistryClient,
                  request: &PatchRequest<'_>,
                  config: &Value,
                  _: Vec<Descriptor>| {
        let layers = [layer(registry, OCI_LAYER, "fixed")];
        push(
            registry,
            request.target.as_str(),
            config.clone(),
            &layers,
            false,
        );
    };
    let cases: [(usize, &Push<'_>, &str); 2] = [
        (125, &add, "too-many-layers"),
        (2, &squash, "another-image"),
    ];
    for (count, patch, code) in cases {
        let mut world = World::new();
        let base = (0..count).map(|number| layer(&world.registry, OCI_LAYER, &number.to_string()));
        let base: Vec<Descriptor> = base.collect();
        push(&world.registry, "12", full_config(count), &base, false);
        let (cycle, _) = patched_by(&mut world, PatcherKind::Copa, patch);
        let row = row(&cycle);
        assert_eq!(row.outcome, Some(ImageOutcome::Vulnerable));
        assert_eq!(row.reason.unwrap().code, code);
        assert_eq!(world.tags(), ["12"]);
    }
}

/// A program of the user's may exchange layers, and what it was allowed to change.
#[test]
fn what_a_command_rebuilds_is_taken_as_it_is() {
    let rebuild = |registry: &dyn RegistryClient,
                   request: &PatchRequest<'_>,
                   config: &Value,
                   _: Vec<Descriptor>| {
        let layers = [
            layer(registry, OCI_LAYER, "new"),
            layer(registry, OCI_LAYER, "fixed"),
        ];
        let mut config = config.clone();
        config["config"]["Labels"]["org.example.build"] = json!("7");
        push(registry, request.target.as_str(), config, &layers, false);
    };
    for (allowed, outcome) in [
        (&["label:org.example.*"][..], ImageOutcome::Patched),
        (&[], ImageOutcome::Vulnerable),
    ] {
        let mut world = World::new();
        let base = [layer(&world.registry, OCI_LAYER, "a")];
        push(&world.registry, "12", full_config(1), &base, false);
        world.settings.cycle.allow_config =
            allowed.iter().map(|key| key.parse().unwrap()).collect();
        let (cycle, given) = patched_by(&mut world, PatcherKind::Command, &rebuild);
        let row = row(&cycle);
        assert_eq!(row.outcome, Some(outcome), "{row:?}");
        assert_eq!(
            given["config"]["User"], "nobody",
            "it is given the original"
        );
        if outcome == ImageOutcome::Patched {
            let (manifest, config) = json_of(&world.registry, &tag("12-1"));
            assert_eq!(config["config"]["Labels"]["org.example.build"], "7");
            assert_eq!(
                manifest["annotations"]["org.opencontainers.image.title"],
                "kept"
            );
            assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
        } else {
            let reason = row.reason.unwrap();
            assert_eq!(reason.code, "another-image");
            assert!(
                reason.text.contains("label org.example.build"),
                "{}",
                reason.text
            );
            assert_eq!(world.tags(), ["12"]);
        }
    }
}

/// Whatever is kept of a cycle and attached to an image names the registry, and never the relay.
#[test]
fn nothing_that_is_kept_names_the_relay() {
    let mut world = World::new();
    world.settings.cycle.attach = cssc_core::cycle::Attach::Always;
    let base = [layer(&world.registry, OCI_LAYER, "a")];
    push(&world.registry, "12", full_config(1), &base, false);
    let seen = Mutex::new(String::new());
    let add = |registry: &dyn RegistryClient,
               request: &PatchRequest<'_>,
               config: &Value,
               mut layers: Vec<Descriptor>| {
        *seen.lock().unwrap() = request.original.registry().as_str().to_owned();
        layers.push(layer(registry, OCI_LAYER, "fixed"));
        push(
            registry,
            request.target.as_str(),
            config.clone(),
            &layers,
            false,
        );
    };
    let (cycle, _) = patched_by(&mut world, PatcherKind::Copa, &add);
    assert_eq!(row(&cycle).outcome, Some(ImageOutcome::Patched));
    let authority = seen.into_inner().unwrap();
    assert!(authority.starts_with("127.0.0.1:"), "{authority}");
    let mut files = 0;
    for folder in ["images", "."] {
        for file in walk(&world.folder.path().join(folder)) {
            let bytes = fs::read(&file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                !text.contains(&authority),
                "{} names the relay",
                file.display()
            );
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
    for run in cycle.runs() {
        let log = world.state.log(run.id(), 0).unwrap().unwrap_or_default();
        assert!(!log.contains(&authority), "{log}");
    }
    let trigger = RunId::trigger(cycle.record().id());
    assert!(world.state.log(&trigger, 0).unwrap().is_some());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
