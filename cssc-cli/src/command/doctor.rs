//! `cssc doctor`: what a cycle needs, checked before it is needed.

use clap::Args;
use cssc_engine::doctor::{Check, Health, Subject};
use cssc_engine::state::MemoryState;

use super::workflow::StateArgs;
use crate::args::{Format, FormatArgs, LimitArgs, PlatformArgs, RegistryArgs};
use crate::exit::{Answer, Failure, Outcome};
use crate::output::{self, ERROR, GOOD, WARNING, styled};
use crate::registry::Registry;
use crate::running::selection::SelectionArgs;
use crate::running::tools::ToolArgs;
use crate::running::{stop_on_signals, with_runner};

/// Check in advance what a cycle needs: registry, permissions, policy, tools
///
/// Takes the options of `workflow run`, and checks what a cycle with them would need. An empty blob
/// is stored to try the right to push; no tag is written. Exit code 1 when a cycle would fail.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    tools: ToolArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Doctor) -> Outcome {
    let registry = Registry::open(&args.registry)?;
    let stop = stop_on_signals()?;
    let mut settings = args.tools.workflow_settings();
    settings.limit = args.limit.max_images;
    settings.platforms.clone_from(&args.platform.platform);
    let list = args.registry.list_options();
    let mut settings = args.tools.runner_settings(settings, list);
    args.selection.apply(&mut settings);
    let policy = args.selection.policy(&registry)?;
    let state = MemoryState::default();
    let tools = args.tools.tools(&args.registry);
    let mut checks = Vec::new();
    let mut printed = Ok(());
    let mut add = |check: Check| {
        if printed.is_ok() {
            printed = print(&check, args.format.output);
        }
        checks.push(check);
    };
    add(kept(&args.state));
    with_runner(&registry, &state, &tools, (&settings, &*policy), |runner| {
        runner.examine(&stop, &mut add)
    })?;
    printed?;
    if args.format.output == Format::Json {
        output::json(&checks)?;
    }
    Ok(Answer::from_good(
        checks.iter().all(|check| check.health != Health::Bad),
    ))
}

/// Whether there is a place for runs and logs.
fn kept(state: &StateArgs) -> Check {
    let check = |health, text| Check::new(Subject::State, health, text);
    match (state.open_if_there(), state.path()) {
        (Ok(opened), Ok(path)) => {
            let what = if opened.is_some() {
                "is there"
            } else {
                "will be made"
            };
            check(Health::Good, format!("`{}` {what}", path.display()))
        }
        (Err(failure), _) | (_, Err(failure)) => check(Health::Bad, failure.to_string()),
    }
}

/// Prints a check as it comes: some take a while. A JSON document is written in the end.
fn print(check: &Check, format: Format) -> Result<(), Failure> {
    let (subject, health) = (check.subject.as_str(), check.health.as_str());
    let text = &check.text;
    let style = match check.health {
        Health::Good => GOOD,
        Health::Doubtful => WARNING,
        Health::Bad => ERROR,
    };
    let mut out = output::stdout();
    match format {
        Format::Json => {}
        Format::Table => {
            let pad = "warning".len().saturating_sub(health.len());
            writeln!(
                out,
                "{}{:pad$}  {subject:<9}  {text}",
                styled(style, health),
                ""
            )?;
        }
        Format::Tsv => writeln!(out, "{health}\t{subject}\t{text}")?,
        Format::Plain => writeln!(out, "{subject}: {health}")?,
    }
    out.flush()?;
    Ok(())
}
