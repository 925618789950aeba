//! Where the state file is unless told.

use std::env;
use std::path::PathBuf;

/// The state file of this user: `$XDG_STATE_HOME/cssc/state.db`, by default
/// `~/.local/state/cssc/state.db`; on macOS `~/Library/Application Support/cssc/state.db`; on
/// Windows `%LOCALAPPDATA%\cssc\state.db`.
///
/// None when the user has no home.
pub fn default_path() -> Option<PathBuf> {
    place(|name| env::var_os(name).map(PathBuf::from), env::home_dir())
}

fn place(variable: impl Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG base directory specification: a relative path is to be ignored.
    let set = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        set.or_else(|| variable("LOCALAPPDATA"))
    } else if cfg!(target_os = "macos") {
        set.or_else(|| Some(home?.join("Library/Application Support")))
    } else {
        set.or_else(|| Some(home?.join(".local/state")))
    };
    Some(folder?.join("cssc").join("state.db"))
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_base_directory_specification() {
        let home = || Some(PathBuf::from("/home/me"));
        let with = |value: &str| {
            let value = PathBuf::from(value);
            place(|_| Some(value.clone()), home())
        };
        let by_default = Some(PathBuf::from("/home/me/.local/state/cssc/state.db"));
        assert_eq!(place(|_| None, home()), by_default);
        assert_eq!(with("relative"), by_default);
        assert_eq!(with("/state"), Some(PathBuf::from("/state/cssc/state.db")));
        assert_eq!(place(|_| None, None), None);
    }
}
