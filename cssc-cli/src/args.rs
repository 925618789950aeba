//! The command line's arguments that several commands share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum, ValueHint};
use cssc_core::name::NameError;
use cssc_core::plan::ImageLimit;
use cssc_core::policy::{LintName, Lints};
use cssc_core::workflow::PlatformSelection;
use cssc_core::{Dialect, Repository, Tag, TagConvention};
use cssc_registry::{DEFAULT_CONCURRENCY, RegistryAddress};

use crate::exit::Failure;
use crate::source::PolicyFile;
use crate::values;

/// Which registry, and how to talk to it.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RegistryArgs {
    /// The registry: a host (`myregistry.azurecr.io`, Azure's short form `myregistry`,
    /// `localhost:5000`), optionally with a namespace, such as that of an account (`ghcr.io/acme`),
    /// `layout:DIR` for a tree of OCI layouts, or `inventory:FILE` for a JSON file of tags (`-` for
    /// standard input)
    #[arg(short, long, value_name = "REGISTRY")]
    pub(crate) registry: RegistryAddress,
    /// The user name; the password is read with `--password-stdin`. By default
    /// `CSSC_REGISTRY_USERNAME` and `CSSC_REGISTRY_PASSWORD`, or `CSSC_REGISTRY_TOKEN`, or the
    /// credentials stored by docker or podman
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
    /// The time limit for a request including all its retries: `30s`, `2m`
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, help_heading = "Registry options")]
    pub(crate) timeout: Duration,
    /// The time limit for listing the tags of all repositories
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration, help_heading = "Registry options")]
    pub(crate) list_timeout: Duration,
    /// The maximum number of concurrent requests
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = parse_concurrency, help_heading = "Registry options")]
    pub(crate) concurrency: NonZeroUsize,
    /// Use plain HTTP, and send credentials over it; on loopback it is tried automatically
    #[arg(long, help_heading = "Registry options")]
    pub(crate) plain_http: bool,
    /// Also trust the certificates in this PEM file
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Do not verify the certificate of the server
    #[arg(long, help_heading = "Registry options")]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Log every request to standard error, without secrets
    #[arg(short, long, help_heading = "Registry options")]
    pub(crate) verbose: bool,
}

/// A policy in a file.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The policy; `-` is standard input [default: `continuouspatching.json` in the working
    /// directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PolicyFile>,
}

impl ConfigArgs {
    pub(crate) fn file(&self) -> Result<PolicyFile, Failure> {
        self.config.clone().map_or_else(PolicyFile::discover, Ok)
    }
}

/// Which policy: a file, or the one stored in the registry.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Use the policy stored in the registry
    #[arg(long, conflicts_with = "config")]
    policy: bool,
}

impl PolicyArgs {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Result<Option<PolicyFile>, Failure> {
        if self.policy {
            return Ok(None);
        }
        self.config.file().map(Some)
    }
}

/// Which warnings about the policy fail it, and which are not told.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LintArgs {
    /// Treat a warning as an error: its code, or `warnings` for all; can be repeated
    #[arg(long, value_name = "CODE", value_parser = values::lint(), hide_possible_values = true)]
    deny: Vec<LintName>,
    /// Suppress a warning: its code, or `warnings` for all; can be repeated
    #[arg(long, value_name = "CODE", value_parser = values::lint(), hide_possible_values = true)]
    allow: Vec<LintName>,
}

impl LintArgs {
    pub(crate) fn lints(&self) -> Lints {
        Lints::new(self.deny.iter().copied(), self.allow.iter().copied())
    }
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

/// Reads a number of things, one at least.
pub(crate) fn parse_count(text: &str) -> Result<std::num::NonZeroU32, &'static str> {
    text.parse()
        .map_err(|_| "expected a whole number from 1 to 4294967295")
}

/// Reads a number of requests, one at least.
fn parse_concurrency(text: &str) -> Result<NonZeroUsize, &'static str> {
    let count = parse_count(text)?;
    Ok(NonZeroUsize::try_from(count).unwrap_or(NonZeroUsize::MAX))
}

/// Reads an address to listen at.
pub(crate) fn parse_listen(text: &str) -> Result<std::net::SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, such as `127.0.0.1:9090`")
}

/// How many images a workflow may run.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// The maximum number of images of a workflow, or `none`; by default that of the stored
    /// workflow, or else Azure's limit of 100
    #[arg(long, value_name = "N")]
    pub(crate) max_images: Option<ImageLimit>,
}

/// Which platforms of an image a cycle takes care of.
#[derive(Debug, Args)]
pub(crate) struct PlatformArgs {
    /// Patch only these platforms of an image, separated by commas, and leave the others as they
    /// are. A platform without a variant means all its variants, and `all` all platforms; by default
    /// those of the stored workflow, or else `all`
    #[arg(long, value_name = "PLATFORMS")]
    pub(crate) platform: Option<PlatformSelection>,
}

/// Whose reading of the rules decides.
#[derive(Debug, Args)]
pub(crate) struct DialectArgs {
    /// Which reading of the rules to follow: that of the documentation, or what Azure's service was
    /// observed to do
    #[arg(long, value_name = "DIALECT", default_value_t, value_parser = dialects())]
    pub(crate) dialect: Dialect,
}

pub(crate) fn dialects() -> impl clap::builder::TypedValueParser<Value = Dialect> {
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

/// Whether what another client stored may be replaced or deleted.
#[derive(Debug, Args)]
pub(crate) struct TakeOverArgs {
    /// Also replace or delete a policy stored by another client, such as Azure's
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people
    Table,
    /// JSON, for programs
    Json,
    /// Values separated by tabs, one row per line
    Tsv,
    /// One name per line
    Plain,
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// The output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// Whose tags are asked about, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct TagsArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// How patches are tagged
    #[arg(long, value_name = "CONVENTION", default_value_t)]
    pub(crate) tag_convention: TagConvention,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
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
