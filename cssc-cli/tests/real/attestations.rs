//! What is attached to a patched image, read by Trivy.

use std::process::Command;

use crate::place::Place;
use crate::support::olareg::Olareg;

#[test]
fn trivy_reads_the_vex_and_the_sbom_that_are_attached() {
    let Some(mut place) = Place::get() else {
        return;
    };
    let registry = Olareg::start();
    let from = format!("{}/debian:12", place.registry);
    place.registry = registry.host();
    place.copy_from(&from, "debian:12");
    place.policy("debian", &["12"]);
    let run = "run --config policy.json --patcher buildah --buildah-isolation chroot";
    let said = place.workflow(run);
    assert!(said.status.success(), "{said:?}");
    let digest = place.rows()[0]["patchedDigest"]
        .as_str()
        .unwrap()
        .to_owned();
    let image = format!("{}/debian@{digest}", place.registry);
    let trivy = |options: &[&str]| {
        let output = Command::new("trivy")
            .args([
                "image",
                "--debug",
                "--scanners",
                "vuln",
                "--image-src",
                "remote",
            ])
            .args(options)
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = trivy(&["--vex", "oci"]);
    assert!(said.contains("VEX attestation found"), "{said}");
    let said = trivy(&["--sbom-sources", "oci"]);
    assert!(said.contains("Found SBOM in the OCI referrers"), "{said}");

    // The next cycle looks into the image itself.
    let said = place.workflow(run);
    assert!(said.status.success(), "{said:?}");
    let row = &place.rows()[0];
    assert_eq!(row["outcome"], "clean");
    assert_eq!(row["findings"]["unfixed"], 1);
}
