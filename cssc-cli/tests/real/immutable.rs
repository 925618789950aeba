//! A registry in which a tag, once written, stays as it is, and nothing can be deleted.

use std::sync::{Arc, Mutex};

use cssc_registry::testing::{Reply, TestRequest};

use crate::place::Place;
use crate::proxy;
use crate::support::olareg::Olareg;

#[test]
fn tags_that_cannot_be_overwritten_are_enough_for_copa_and_for_buildah() {
    let Some(mut place) = Place::get() else {
        return;
    };
    let registry = Olareg::start();
    let from = format!("{}/debian:12-multi", place.registry);
    let address = registry.host().replace("localhost", "127.0.0.1");
    let refused = Arc::<Mutex<Vec<String>>>::default();
    let list = Arc::clone(&refused);
    let host = address.clone();
    let proxy = proxy::before(address, move |request| {
        let asked = format!("{} {}", request.method, request.target);
        let path = request.path();
        let tag = path.rsplit_once("/manifests/").map(|(_, tag)| tag);
        let is_tag = tag.is_some_and(|tag| !tag.contains(':'));
        let reply = match request.method.as_str() {
            "DELETE" => Reply::error(405, "UNSUPPORTED"),
            "PUT" if is_tag && is_there(&host, request) => Reply::error(400, "TAG_INVALID"),
            _ => return None,
        };
        list.lock().unwrap().push(asked);
        Some(reply)
    });
    for (repository, options) in [
        ("copa", "--patcher copa"),
        ("buildah", "--patcher buildah --buildah-isolation chroot"),
    ] {
        place.registry = registry.host();
        place.copy_from(&from, &format!("{repository}:12"));
        place.registry = proxy.host();
        place.policy(repository, &["12"]);
        for outcome in ["patched", "clean"] {
            place.cycle(&format!("{options} --attach always"), &[]);
            let rows = place.rows();
            assert_eq!(rows[0]["outcome"], outcome, "{rows}");
        }
        assert_eq!(place.tags(repository), ["12", "12-1"]);
    }
    // It does not even try.
    assert_eq!(*refused.lock().unwrap(), [""; 0]);
}

fn is_there(registry: &str, request: &TestRequest) -> bool {
    let mut head = request.clone();
    "HEAD".clone_into(&mut head.method);
    head.body.clear();
    proxy::pass_on(registry, &head).0 == 200
}
