//! Whether this machine can run the programs of images for other platforms.

use std::env::consts::ARCH;
use std::path::Path;

use cssc_core::name::Platform;

/// Where Linux says which programs of other platforms it can run.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Whether a platform is that of this program, and so of the tools that it starts.
pub(super) fn is_own(platform: &Platform) -> bool {
    let own = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    // Of 32-bit ARM the variant decides, which is not known here.
    platform.os() == "linux" && platform.architecture() == own && own != "arm"
}

/// Whether programs of a platform can be run here; else why not. Where Linux does not tell, they
/// are taken to run.
pub(super) fn can_run(platform: &Platform) -> Result<(), String> {
    missing_in(Path::new(BINFMT), platform).map_or(Ok(()), Err)
}

fn missing_in(binfmt: &Path, platform: &Platform) -> Option<String> {
    // A 64-bit x86 machine runs 32-bit programs, and so do most 64-bit ARM machines.
    let is_like = matches!(
        (ARCH, platform.architecture()),
        ("x86_64", "386") | ("aarch64", "arm")
    );
    if is_own(platform) || is_like || !binfmt.is_dir() {
        return None;
    }
    let handler = match platform.architecture() {
        "amd64" => "x86_64",
        "386" => "i386",
        "arm64" => "aarch64",
        other => other,
    };
    let is_enabled = std::fs::read_dir(binfmt)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry.file_name().to_string_lossy().contains(handler)
                && std::fs::read_to_string(entry.path())
                    .is_ok_and(|text| text.lines().any(|line| line == "enabled"))
        });
    (!is_enabled).then(|| {
        format!(
            "programs for {platform} do not run on this machine: install `qemu-user-static`, \
             which registers an emulator in `{BINFMT}`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn an_emulator_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let arm = platform("linux/arm64/v8");
        assert!(is_own(&platform("linux/amd64")) && !is_own(&arm));
        let missing = |text| missing_in(folder.path(), &platform(text)).is_some();
        assert!(missing("linux/arm64/v8") && missing("linux/s390x"));
        assert!(!missing("linux/amd64") && !missing("linux/386"));
        let handler = folder.path().join("qemu-aarch64");
        std::fs::write(&handler, "disabled\ninterpreter /usr/bin/qemu").unwrap();
        assert!(missing("linux/arm64/v8"));
        std::fs::write(&handler, "enabled\ninterpreter /usr/bin/qemu").unwrap();
        assert!(!missing("linux/arm64/v8") && missing("linux/s390x"));
        let nowhere = folder.path().join("none");
        assert_eq!(missing_in(&nowhere, &arm), None);
    }
}
