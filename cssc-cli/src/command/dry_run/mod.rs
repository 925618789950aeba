//! `cssc dry-run`: what a policy selects, and what would happen.

mod differences;
mod explain;
mod plan;

use chrono::{DateTime, Utc};
use clap::Args;
use cssc_core::plan::ImageLimit;
use cssc_core::{Dialect, Inventory, Plan, PlanOptions, Policy, Schedule, Workflow};

pub(crate) use self::plan::tell_unavailable;

use crate::args::{
    CreatedArgs, Format, FormatArgs, ImageArg, LimitArgs, LintArgs, PolicyArgs, RegistryArgs,
    dialects,
};
use crate::exit::{Answer, Outcome};
use crate::registry::Registry;
use crate::values;

/// Show which images would be patched, under which tag, and when
#[derive(Debug, Args)]
pub(crate) struct DryRun {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// How often a workflow would run: `1d` to `30d`
    #[arg(long, value_name = "DAYS", value_parser = values::interval(), hide_possible_values = true)]
    schedule: Option<cssc_core::Interval>,
    #[command(flatten)]
    created: CreatedArgs,
    /// Which reading of the rules to follow: that of the documentation, or what Azure's service was
    /// observed to do; by default that of the stored workflow, or else the documentation
    #[arg(long, value_name = "DIALECT", value_parser = dialects())]
    dialect: Option<Dialect>,
    #[command(flatten)]
    limit: LimitArgs,
    /// Explain for every tag, for those of one repository, or for one tag, why it is or is not
    /// patched
    #[arg(long, value_name = "REPOSITORY[:TAG]", num_args = 0..=1, conflicts_with = "diff_dialects")]
    #[expect(
        clippy::option_option,
        reason = "how clap tells an option without its value"
    )]
    explain: Option<Option<ImageArg>>,
    /// Show only the rows on which the two dialects differ
    #[arg(long)]
    diff_dialects: bool,
    #[command(flatten)]
    lints: LintArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What is planned: by `dry-run` and by what `create` and `update` would do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanRequest {
    pub(crate) schedule: Option<cssc_core::Interval>,
    /// Now, if not given.
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) dialect: Dialect,
    pub(crate) limit: ImageLimit,
}

impl PlanRequest {
    /// What a workflow would run.
    pub(crate) fn of(workflow: &Workflow) -> Self {
        Self {
            schedule: Some(workflow.interval()),
            created: Some(workflow.created()),
            dialect: workflow.dialect(),
            limit: workflow.settings().effective_limit(),
        }
    }

    pub(crate) fn plan(&self, policy: &Policy, inventory: &Inventory) -> Plan {
        let options = PlanOptions {
            dialect: self.dialect,
            limit: self.limit,
        };
        Plan::new(policy, inventory, &options)
    }

    /// When it runs, and the instant after which it is asked for: now, or the creation that was
    /// given for an example.
    fn schedule(&self) -> Option<Schedule> {
        let created = self.created.unwrap_or_else(Utc::now);
        Some(Schedule::new(self.schedule?, created, self.dialect))
    }

    /// Shows what the policy selects.
    pub(crate) fn show(
        &self,
        registry: &Registry,
        policy: &Policy,
        after: DateTime<Utc>,
        format: Format,
    ) -> Outcome {
        let inventory = registry.list(&policy.enabled_repositories());
        let plan = self.plan(policy, &inventory);
        plan::show(&plan, self.next_run(after), format)?;
        Ok(answer(&plan))
    }

    /// The next run, and a note when the other dialect would run on another day.
    fn next_run(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let schedule = self.schedule()?;
        super::schedule::note_difference(&schedule, after);
        schedule.next_after(after)
    }
}

fn answer(plan: &Plan) -> Answer {
    if plan.unavailable().next().is_some() {
        Answer::Incomplete
    } else {
        Answer::from_good(!plan.limit_exceeded())
    }
}

pub(crate) fn run(args: &DryRun) -> Outcome {
    let source = args.policy.file()?;
    if let Some(source) = &source {
        args.registry.check_standard_input(source)?;
    }
    let registry = Registry::open(&args.registry)?;
    let (policy, stored) = match source {
        Some(source) => (source.load(&args.lints.lints())?, None),
        None => registry.stored_workflow(&args.lints.lints())?,
    };
    // What is stored counts where nothing else was said; its next run is asked for as of now.
    let interval = args.schedule.or(stored.as_ref().map(Workflow::interval));
    let created = args.created.created;
    let after = created.unwrap_or_else(Utc::now);
    let created = created.or(stored.as_ref().map(Workflow::created));
    let dialect = args.dialect.or(stored.as_ref().map(Workflow::dialect));
    let stored_limit = || stored.as_ref()?.settings().limit;
    let request = PlanRequest {
        schedule: interval,
        created: created.or(Some(after)),
        dialect: dialect.unwrap_or_default(),
        limit: args
            .limit
            .max_images
            .or_else(stored_limit)
            .unwrap_or_default(),
    };
    // An explanation also tells of what only disabled rules name.
    let repositories = match args.explain {
        Some(_) => policy.repositories(),
        None => policy.enabled_repositories(),
    };
    let inventory = registry.list(&repositories);
    if args.diff_dialects {
        let schedule = request.schedule();
        let schedule = schedule.and_then(|schedule| schedule.dialect_difference(after));
        return differences::differences(args.format.output, schedule, &policy, &inventory);
    }
    let plan = request.plan(&policy, &inventory);
    let Some(subject) = &args.explain else {
        plan::show(&plan, request.next_run(after), args.format.output)?;
        return Ok(answer(&plan));
    };
    explain::explain(args.format.output, &plan, &inventory, subject.as_ref())?;
    Ok(match answer(&plan) {
        Answer::No => Answer::Yes,
        answer => answer,
    })
}
