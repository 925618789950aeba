//! What is told of one thing that was checked.

use serde::{Serialize, Serializer};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Whether the registry answers.
    Registry,
    /// Whether the workflow can be read, and what its policy selects.
    Policy,
    /// Whether images can be read: one of each repository is.
    Pull,
    /// Whether something can be stored beside them.
    Push,
    /// Whether what was stored can be deleted.
    Delete,
    /// Whether the registry knows what refers to an image.
    Referrers,
    /// Whether the scanner can be used.
    Scanner,
    /// Whether the scanner has its database.
    Database,
    /// Whether the patcher can be used.
    Patcher,
    /// Whether the daemon of the patcher is there.
    Daemon,
    /// Whether images can be served to the tools.
    Relay,
    /// Whether programs of the images can be run here.
    Emulation,
    /// Whether there is a place for runs and logs.
    State,
}

impl Subject {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Policy => "policy",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Referrers => "referrers",
            Self::Scanner => "scanner",
            Self::Database => "database",
            Self::Patcher => "patcher",
            Self::Daemon => "daemon",
            Self::Relay => "relay",
            Self::Emulation => "emulation",
            Self::State => "state",
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// As it should be.
    Good,
    /// A cycle works without, though not as well.
    Doubtful,
    /// A cycle fails.
    Bad,
}

impl Health {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "error",
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub subject: Subject,
    /// How it stands.
    pub health: Health,
    /// What was found, and what to do about it, in a line.
    pub text: String,
}

impl Check {
    /// A check of this outcome.
    pub fn new(subject: Subject, health: Health, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = text.lines().collect::<Vec<_>>().join("; ");
        Self {
            subject,
            health,
            text,
        }
    }

    /// The outcome of a check that either went well or has told why not.
    pub(super) fn of<T, E: ToString>(
        subject: Subject,
        result: Result<T, E>,
        good: impl FnOnce(T) -> String,
        otherwise: Health,
    ) -> Self {
        match result {
            Ok(found) => Self::new(subject, Health::Good, good(found)),
            Err(error) => Self::new(subject, otherwise, error.to_string()),
        }
    }
}
