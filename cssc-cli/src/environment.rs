//! Every option has an environment variable: `CSSC_` and its name in capitals.
//!
//! The command line takes precedence over the environment, and the environment over what is
//! built in. A variable is therefore a default: it conflicts with nothing, and asks for nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

const PREFIX: &str = "CSSC_";

/// Has a variable of its own that says more (`CSSC_REGISTRY_USERNAME`), or says what is wanted this
/// time, which is no matter of the surroundings. `CSSC_DIGEST` is also what a patch command is told
/// of its image.
const WITHOUT: [&str; 5] = ["username", "password_stdin", "policy", "explain", "digest"];

/// The variables that are set, but for the empty ones.
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            (name.starts_with(PREFIX) && !value.is_empty()).then_some((name, value))
        });
        Self(ours.collect())
    }

    /// The command with what the environment says for its defaults.
    pub(crate) fn apply(&self, command: Command) -> Command {
        if self.0.is_empty() {
            return command;
        }
        command
            .mut_args(|arg| self.default(arg))
            .mut_subcommands(|command| self.apply(command))
    }

    fn default(&self, arg: Arg) -> Arg {
        let Some(value) = variable(&arg).and_then(|name| self.0.get(&name)) else {
            return arg;
        };
        // A flag is set or not, however that is said.
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            let is_set = !matches!(value.to_str(), Some("0" | "false" | "no" | "off"));
            return arg.default_value(if is_set { "true" } else { "false" });
        }
        let is_list = matches!(arg.get_action(), ArgAction::Append);
        let values: Vec<OsString> = match value.to_str() {
            Some(text) if is_list => text.split_whitespace().map(OsString::from).collect(),
            _ => vec![value.clone()],
        };
        arg.required(false).default_values(values)
    }

    /// Adds to an error about a value where it comes from, when it is not among `arguments`.
    pub(crate) fn blame(&self, error: &clap::Error, arguments: &[OsString]) -> Option<String> {
        if !matches!(
            error.kind(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation
        ) {
            return None;
        }
        let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
            return None;
        };
        let long = option.split_whitespace().next()?.strip_prefix("--")?;
        let name = of_long(long);
        let value = self.0.get(&name)?;
        let is_given = arguments.iter().any(|argument| is_option(argument, long));
        (!is_given).then(|| format!("`{name}` is `{}` in the environment", value.display()))
    }
}

/// The variable of an option.
fn variable(arg: &Arg) -> Option<String> {
    let is_without = arg.is_hide_set() || WITHOUT.contains(&arg.get_id().as_str());
    arg.get_long().filter(|_| !is_without).map(of_long)
}

fn of_long(long: &str) -> String {
    format!("{PREFIX}{}", long.replace('-', "_").to_ascii_uppercase())
}

fn is_option(argument: &OsStr, long: &str) -> bool {
    let argument = argument.to_str().and_then(|text| text.strip_prefix("--"));
    argument.is_some_and(|text| text.split('=').next() == Some(long))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::command::Arguments;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(
            variables
                .iter()
                .map(|&(name, value)| (name.into(), value.into())),
        )
    }

    fn options(command: &Command, out: &mut Vec<Arg>) {
        out.extend(command.get_arguments().cloned());
        for command in command.get_subcommands() {
            options(command, out);
        }
    }

    #[test]
    fn every_option_has_a_variable() {
        let mut all = Vec::new();
        options(&Arguments::command(), &mut all);
        let mut without: Vec<&str> = all
            .iter()
            .filter(|arg| !arg.is_hide_set() && arg.get_long().is_some() && variable(arg).is_none())
            .map(|arg| arg.get_id().as_str())
            .collect();
        without.sort_unstable();
        without.dedup();
        let mut known = WITHOUT;
        known.sort_unstable();
        assert_eq!(without, known);
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let environment = environment(&[
            ("CSSC_REGISTRY", "localhost:5000"),
            ("CSSC_OUTPUT", "json"),
            ("CSSC_JOBS", "4"),
            ("CSSC_YES", "1"),
            ("CSSC_DIFF_DIALECTS", "no"),
            ("CSSC_DENY", "tag-missing  warnings"),
            ("CSSC_SCHEDULE", ""),
        ]);
        let parse = |line: &str| {
            environment
                .apply(Arguments::command())
                .try_get_matches_from(line.split(' '))
        };
        let matches = parse("cssc tags list python -o tsv").unwrap();
        let (_, tags) = matches.subcommand().unwrap();
        let (_, list) = tags.subcommand().unwrap();
        let raw = |id: &str| {
            let mut values = list.get_raw(id).unwrap();
            values.next().unwrap().to_owned()
        };
        assert_eq!(raw("registry"), "localhost:5000");
        assert_eq!(raw("output"), "tsv");

        let matches = parse("cssc policy delete").unwrap();
        let (_, policy) = matches.subcommand().unwrap();
        let (_, delete) = policy.subcommand().unwrap();
        assert!(delete.get_flag("yes"));

        let error = parse("cssc workflow create --config p.json").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{error}");
    }

    #[test]
    fn an_error_names_the_variable_it_comes_from() {
        let environment = environment(&[("CSSC_TIMEOUT", "soon")]);
        let blame = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let command = environment.apply(Arguments::command());
            let error = command.try_get_matches_from(&arguments).unwrap_err();
            environment.blame(&error, &arguments)
        };
        let line = "cssc tags list python -r localhost:5000";
        assert_eq!(
            blame(line).as_deref(),
            Some("`CSSC_TIMEOUT` is `soon` in the environment")
        );
        assert_eq!(blame(&format!("{line} --timeout later")), None);
        assert_eq!(blame(&format!("{line} --timeout=later")), None);
    }
}
