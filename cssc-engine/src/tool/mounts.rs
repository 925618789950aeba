//! Mounts that a tool has left when it was killed.

use std::path::Path;

/// Unmounts everything below a folder, the last mounted first, so that the folder can be removed.
/// What cannot be unmounted stays.
pub(crate) fn unmount_below(folder: &Path) {
    #[cfg(target_os = "linux")]
    {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for place in below(folder, &table).iter().rev() {
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
}

/// The places below a folder that the table of mounts names, in its order.
#[cfg(target_os = "linux")]
fn below(folder: &Path, table: &str) -> Vec<std::path::PathBuf> {
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    places
        .map(|place| {
            // The table writes spaces and the like as octal numbers.
            let text =
                ["040 ", "011\t", "012\n", "134\\"]
                    .iter()
                    .fold(place.to_owned(), |text, code| {
                        let (number, letter) = code.split_at(3);
                        text.replace(&format!("\\{number}"), letter)
                    });
            std::path::PathBuf::from(text)
        })
        .filter(|place| place.starts_with(folder) && place != folder)
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_in_the_table() {
        let table = "\
            22 1 0:20 / / rw - ext4 /dev/root rw\n\
            30 22 0:40 / /w/a\\040b/merged rw - overlay overlay rw\n\
            31 30 0:41 / /w/a\\040b/merged/proc rw - proc proc rw\n\
            32 22 0:42 / /w/abc rw - tmpfs tmpfs rw\n";
        let found = below(Path::new("/w/a b"), table);
        assert_eq!(
            found,
            [Path::new("/w/a b/merged"), Path::new("/w/a b/merged/proc")]
        );
    }
}
