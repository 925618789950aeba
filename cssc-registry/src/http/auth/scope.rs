//! Scopes of tokens
//! ([Docker's token scopes](https://distribution.github.io/distribution/spec/auth/scope/)): what
//! a request needs, what a registry names, and the same for the next repository.

/// What is to be done with a repository; tokens are made for that and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "delete",
        }
    }
}

/// A repository and what is to be done with it.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Permission<'a> {
    pub(in crate::http) repository: &'a str,
    pub(super) action: Action,
}

impl<'a> Permission<'a> {
    pub(in crate::http) fn new(repository: &'a str, action: Action) -> Self {
        Self { repository, action }
    }

    pub(in crate::http) fn pull(repository: &'a str) -> Self {
        Self::new(repository, Action::Pull)
    }

    /// The actions that a scope names for the repository.
    fn actions_in(self, scope: &str) -> Option<&str> {
        let resource = format!("repository:{}", self.repository);
        let scopes = scope.split_ascii_whitespace();
        let mut scopes = scopes.filter_map(|scope| scope.rsplit_once(':'));
        let own = scopes.find(|(named, _)| *named == resource);
        own.map(|(_, actions)| actions)
    }
}

/// The scope a registry named, and in it what the request needs: some name too little.
pub(super) fn joined(scope: &str, permission: Permission<'_>) -> String {
    let resource = format!("repository:{}", permission.repository);
    let mut scopes: Vec<String> = scope.split_ascii_whitespace().map(str::to_owned).collect();
    let same = scopes.iter_mut().find(|scope| {
        let named = scope.rsplit_once(':');
        named.is_some_and(|(named, _)| named == resource)
    });
    match same {
        Some(scope) => {
            let actions = scope.rsplit_once(':').map_or("", |(_, actions)| actions);
            let is_missing =
                |action: &&str| actions != "*" && !actions.split(',').any(|has| has == *action);
            let missing: Vec<&str> = permission
                .action
                .scope()
                .split(',')
                .filter(is_missing)
                .collect();
            for action in missing {
                scope.push(',');
                scope.push_str(action);
            }
        }
        None => scopes.push(format!("{resource}:{}", permission.action.scope())),
    }
    scopes.join(" ")
}

/// The scopes to ask a token service for, one after the other while it does not know them. Services
/// differ in what they call a deletion: some know no word for it but `push`, or `*`.
pub(super) fn candidates(named: &str, permission: Permission<'_>) -> Vec<String> {
    let own = permission.actions_in(named);
    if permission.action != Action::Delete {
        return vec![joined(named, permission)];
    }
    let resource = format!("repository:{}", permission.repository);
    // What the registry named may be all that its token service knows.
    let is_enough = |action: &str| matches!(action, "delete" | "push" | "*");
    let first = if own.is_some_and(|actions| actions.split(',').any(is_enough)) {
        named.to_owned()
    } else {
        joined(named, permission)
    };
    let mut scopes = vec![first];
    for actions in ["pull,push", "*"] {
        let scope = format!("{resource}:{actions}");
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// The scope a registry named, with a hole for the repository, so that a token for the next one
/// can be asked for in the same words. None when it is about something else.
pub(super) fn template(scope: &str, permission: Permission<'_>) -> Option<String> {
    let repository = format!("repository:{}:", permission.repository);
    (scope.contains(&repository) && !scope.contains("{}"))
        .then(|| scope.replace(&repository, "repository:{}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_learnt() {
        let permission = Permission::pull("org/app");
        assert_eq!(
            template("repository:org/app:metadata_read,pull", permission).as_deref(),
            Some("repository:{}:metadata_read,pull")
        );
        for scope in ["registry:catalog:*", "repository:org/app2:pull", ""] {
            assert_eq!(template(scope, permission), None, "{scope}");
        }
    }

    #[test]
    fn a_deletion_has_several_names() {
        let permission = Permission::new("a/b", Action::Delete);
        for (named, expected) in [
            (
                "",
                &[
                    "repository:a/b:delete",
                    "repository:a/b:pull,push",
                    "repository:a/b:*",
                ][..],
            ),
            (
                "repository:a/b:pull,push",
                &["repository:a/b:pull,push", "repository:a/b:*"],
            ),
            (
                "repository:a/b:pull",
                &[
                    "repository:a/b:pull,delete",
                    "repository:a/b:pull,push",
                    "repository:a/b:*",
                ],
            ),
            (
                "repository:a/b:*",
                &["repository:a/b:*", "repository:a/b:pull,push"],
            ),
        ] {
            assert_eq!(candidates(named, permission), expected, "{named}");
        }
        let push = Permission::new("a/b", Action::Push);
        assert_eq!(candidates("", push), ["repository:a/b:pull,push"]);
    }

    #[test]
    fn scopes_hold_what_the_request_needs() {
        for (named, action, expected) in [
            ("", Action::Pull, "repository:a/b:pull"),
            (
                "repository:a/b:pull",
                Action::Push,
                "repository:a/b:pull,push",
            ),
            ("repository:a/b:*", Action::Delete, "repository:a/b:*"),
            (
                "repository:a/b:metadata_read,pull",
                Action::Pull,
                "repository:a/b:metadata_read,pull",
            ),
            (
                "registry:catalog:*",
                Action::Pull,
                "registry:catalog:* repository:a/b:pull",
            ),
            (
                "repository:a/bc:pull",
                Action::Pull,
                "repository:a/bc:pull repository:a/b:pull",
            ),
        ] {
            let permission = Permission::new("a/b", action);
            assert_eq!(joined(named, permission), expected, "{named}");
        }
    }
}
