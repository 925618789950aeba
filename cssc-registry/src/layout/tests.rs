use std::time::Duration;

use cssc_core::TagRef;

use super::tree::lock;
use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn layouts() -> (tempfile::TempDir, LayoutRegistry) {
    let directory = tempfile::tempdir().unwrap();
    let registry = LayoutRegistry::open(directory.path()).unwrap();
    (directory, registry)
}

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn write(directory: &tempfile::TempDir, name: &str, text: &str) {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn unavailable(registry: &LayoutRegistry, name: &str) -> String {
    match registry.list_tags(&repository(name)) {
        Listing::Unavailable(reason) => reason
            .to_string()
            .replace(&registry.tree.root.display().to_string(), "DIR"),
        listing => panic!("{listing:?}"),
    }
}

#[test]
fn reads_what_skopeo_writes() {
    let (directory, registry) = layouts();
    let entry = |name: &str| {
        json!({"mediaType": MANIFEST, "digest": crate::digest::of(b"{}"), "size": 2,
               "annotations": {REF_NAME: name}})
    };
    let index = json!({"schemaVersion": 2, "manifests": [
        entry("3.11-1"), entry("3.11"), entry("not a tag"),
        {"mediaType": MANIFEST, "digest": crate::digest::of(b"untagged"), "size": 8}]});
    write(&directory, "a/b/index.json", &index.to_string());
    let name = repository("a/b");
    let Listing::Found(tags) = registry.list_tags(&name) else {
        panic!()
    };
    let tags: Vec<&str> = tags.iter().map(TagRef::as_str).collect();
    assert_eq!(tags, ["3.11", "3.11-1"]);
    let found = registry.resolve(&name, &tag("3.11")).unwrap().unwrap();
    assert_eq!(found, Descriptor::of(MANIFEST, b"{}"));
    assert_eq!(registry.resolve(&name, &tag("3.12")), Ok(None));
    // A folder on the way to a repository is none itself.
    assert_eq!(registry.list_tags(&repository("a")), Listing::Absent);
}

#[test]
fn what_is_not_there_and_what_is_broken() {
    let (directory, registry) = layouts();
    assert_eq!(registry.list_tags(&repository("python")), Listing::Absent);
    fs::create_dir(directory.path().join("empty")).unwrap();
    assert_eq!(
        unavailable(&registry, "empty"),
        "`DIR/empty` is not an OCI image layout: it has no `index.json`"
    );
    write(&directory, "cut/index.json", "{\"manifests\": [");
    assert_eq!(
        unavailable(&registry, "cut"),
        "`DIR/cut/index.json` is broken: EOF while parsing a list at line 1 column 15"
    );
    fs::create_dir_all(directory.path().join("folder/index.json")).unwrap();
    assert_eq!(
        unavailable(&registry, "folder"),
        "`DIR/folder/index.json` is not a file"
    );
}

#[cfg(unix)]
#[test]
fn nothing_is_created_or_written_through_a_link_out_of_the_tree() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    write(&elsewhere, "there", "");
    let (directory, registry) = layouts();
    let marker = directory.path().join("a/oci-layout");
    fs::create_dir(directory.path().join("a")).unwrap();
    for (name, reason) in [("there", "leads out of"), ("not-there", "cannot write")] {
        symlink(elsewhere.path().join(name), &marker).unwrap();
        let error = registry.begin_write(&repository("a")).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        fs::remove_file(&marker).unwrap();
    }
    assert_eq!(fs::read(elsewhere.path().join("there")).unwrap(), b"");
    assert!(!elsewhere.path().join("not-there").exists());
}

#[test]
fn a_lock_that_is_held_is_not_waited_for_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("oci-layout");
    let held = lock(&path, Duration::ZERO).unwrap();
    let error = lock(&path, Duration::from_millis(50)).unwrap_err();
    let message = format!(
        "`{}` is locked by another writer, for more than 0 s",
        path.display()
    );
    assert_eq!(error.to_string(), message);
    assert!(error.is_unavailable());
    drop(held);
    lock(&path, Duration::ZERO).unwrap();
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_else() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    write(&elsewhere, "index.json", "{}");
    let (directory, registry) = layouts();
    symlink(elsewhere.path(), directory.path().join("out")).unwrap();
    assert_eq!(
        unavailable(&registry, "out"),
        "`DIR/out` is a link that leads out of `DIR`"
    );
    write(&directory, "in/index.json", "{}");
    symlink(directory.path().join("in"), directory.path().join("link")).unwrap();
    assert_eq!(
        registry.list_tags(&repository("link")),
        Listing::Found(TagSet::default())
    );
    let manifest = Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: b"{}".to_vec(),
    };
    let error = registry
        .put_manifest(&repository("out/deep"), &tag("a"), &manifest)
        .unwrap_err();
    assert!(error.is_invalid_answer(), "{error}");
    fs::create_dir(directory.path().join("blobs-out")).unwrap();
    symlink(elsewhere.path(), directory.path().join("blobs-out/blobs")).unwrap();
    assert!(registry.put_blob(&repository("blobs-out"), b"x").is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    // A loop of links ends too.
    symlink(directory.path().join("loop"), directory.path().join("loop")).unwrap();
    assert!(unavailable(&registry, "loop").starts_with("cannot read `DIR/loop`: "));
}

#[test]
fn written_read_and_deleted() {
    let (_directory, registry) = layouts();
    let name = repository("csscpolicies/patchpolicy");
    let blob = registry.put_blob(&name, b"layer").unwrap();
    assert_eq!(registry.put_blob(&name, b"layer"), Ok(blob.clone()));
    let layer = Descriptor::of("text/plain", b"layer");
    assert_eq!(registry.get_blob(&name, &layer, 5).unwrap(), b"layer");
    assert!(registry.get_blob(&name, &layer, 4).is_err());
    let manifest = Manifest {
        media_type: MANIFEST.to_owned(),
        bytes: b"{}".to_vec(),
    };
    for reference in [tag("v1"), tag("v2")] {
        registry.put_manifest(&name, &reference, &manifest).unwrap();
        assert_eq!(registry.get_manifest(&name, &reference).unwrap(), manifest);
    }
    registry.delete(&name, &tag("v1")).unwrap();
    assert_eq!(registry.resolve(&name, &tag("v1")), Ok(None));
    assert!(registry.delete(&name, &tag("v1")).unwrap_err().is_absent());
    assert!(registry.resolve(&name, &tag("v2")).unwrap().is_some());
    let digest = Reference::Digest(crate::digest::of(b"{}"));
    registry.delete(&name, &digest).unwrap();
    assert_eq!(registry.resolve(&name, &tag("v2")), Ok(None));
    assert_eq!(registry.resolve(&name, &digest), Ok(None));
    assert_eq!(registry.list_tags(&name), Listing::Found(TagSet::default()));
}

#[test]
fn many_may_write_at_once() {
    let (directory, registry) = layouts();
    let name = repository("a");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (name, directory) = (&name, directory.path());
            scope.spawn(move || {
                // As another process would: nothing is shared but the files.
                let registry = LayoutRegistry::open(directory).unwrap();
                for number in 0..10 {
                    let manifest = Manifest {
                        media_type: MANIFEST.to_owned(),
                        bytes: format!("{{\"{writer}\": {number}}}").into_bytes(),
                    };
                    let tag = tag(&format!("{writer}.{number}"));
                    registry.put_manifest(name, &tag, &manifest).unwrap();
                }
            });
        }
    });
    let listing = registry.list_tags(&name);
    assert!(matches!(listing, Listing::Found(tags) if tags.len() == 80));
    // No temporary file is left behind.
    let left = fs::read_dir(directory.path().join("a")).unwrap().count();
    assert_eq!(left, 3, "blobs, index.json, oci-layout");
}

#[test]
fn content_is_checked() {
    let (directory, registry) = layouts();
    let name = repository("a");
    let digest = registry.put_blob(&name, b"layer").unwrap();
    write(&directory, &blob_path(&repository("a"), &digest), "other");
    let layer = Descriptor::of("", b"layer");
    let error = registry.get_blob(&name, &layer, 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the content of `a@{digest}` does not match its digest")
    );
}
