//! The command line's arguments that several commands share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum};
use cssc_core::{Dialect, Interval, NameError, Repository, Tag};
use cssc_engine::registry::{DEFAULT_CONCURRENCY, RegistryLocation};

use crate::source::PolicySource;

/// Which registry, and how to talk to it.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RegistryArgs {
    /// The registry: a host (`myregistry.azurecr.io`, Azure's short form `myregistry`,
    /// `localhost:5000`), `layout:DIR` for a tree of OCI layouts, or `inventory:FILE` for a JSON
    /// file of tags (`-` for standard input)
    #[arg(short, long, value_name = "REGISTRY")]
    pub(crate) registry: RegistryLocation,
    /// The user name; the password is read with `--password-stdin`. Without them:
    /// `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`, or `CSSC_REGISTRY_TOKEN`, or what
    /// docker or podman have stored
    #[arg(
        long,
        value_name = "NAME",
        requires = "password_stdin",
        help_heading = "Registry options"
    )]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username", help_heading = "Registry options")]
    pub(crate) password_stdin: bool,
    /// The longest one request may take with all its repetitions: `30s`, `2m`
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, help_heading = "Registry options")]
    pub(crate) timeout: Duration,
    /// The most requests under way at a time
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, help_heading = "Registry options")]
    pub(crate) concurrency: NonZeroUsize,
    /// Speak plain HTTP, and send credentials over it; on loopback it is tried by itself
    #[arg(long, help_heading = "Registry options")]
    pub(crate) plain_http: bool,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Do not verify who the server is
    #[arg(long, help_heading = "Registry options")]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Show every request on standard error, without secrets
    #[arg(short, long, help_heading = "Registry options")]
    pub(crate) verbose: bool,
}

/// Which policy: a file, or the one stored in the registry.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PolicyArgs {
    /// The policy; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PolicySource>,
    /// Use the policy that is stored in the registry
    #[arg(long)]
    pub(crate) policy: bool,
}

/// Reads a length of time: `30`, `30s`, `5m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let (number, seconds) = match text.as_bytes().last() {
        Some(b's') => (text.trim_end_matches('s'), 1),
        Some(b'm') => (text.trim_end_matches('m'), 60),
        Some(b'h') => (text.trim_end_matches('h'), 3600),
        _ => (text, 1),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number
        .then(|| number.parse::<u64>().ok()?.checked_mul(seconds))
        .flatten();
    match seconds {
        Some(seconds) if (1..=86_400).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time from `1s` to `24h`, such as `30s` or `5m`"),
    }
}

/// Whose reading of the rules decides.
#[derive(Debug, Args)]
pub(crate) struct DialectArgs {
    /// Whose reading of the rules decides: the documentation's, or what Azure's service was
    /// observed to do
    #[arg(long, value_name = "DIALECT", default_value_t, value_parser = dialects())]
    pub(crate) dialect: Dialect,
}

fn dialects() -> impl clap::builder::TypedValueParser<Value = Dialect> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Dialect::ALL.map(Dialect::as_str))
        .try_map(|text| text.parse::<Dialect>())
}

/// When a workflow runs.
#[derive(Debug, Args)]
pub(crate) struct CreatedArgs {
    /// When the workflow was created: RFC 3339, or a date, at midnight UTC
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) created: Option<DateTime<Utc>>,
}

/// Reads `7d`.
pub(crate) fn parse_interval(text: &str) -> Result<Interval, String> {
    text.parse()
        .map_err(|error: cssc_core::IntervalError| error.to_string())
}

/// Reads an instant in RFC 3339, or a date.
pub(crate) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| {
            "expected a date such as `2024-01-03`, or a time in RFC 3339 such as \
             `2024-01-03T09:30:00Z`"
                .to_owned()
        })
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people
    Table,
    /// JSON, for programs
    Json,
    /// Values separated by tabs, one row a line
    Tsv,
    /// One name a line
    Plain,
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// A repository, or one tag of it.
#[derive(Debug, Clone)]
pub(crate) struct ImageArg {
    pub(crate) repository: Repository,
    pub(crate) tag: Option<Tag>,
}

impl std::str::FromStr for ImageArg {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, tag) = match text.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            repository: repository.parse()?,
            tag,
        })
    }
}
