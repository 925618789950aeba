//! The examples at the end of each command's `--help` and manual page.

use clap::Command;

/// Of each command: what is wanted, and the command line for it.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "config check",
        &[
            (
                "Check `continuouspatching.json` in this folder",
                "cssc config check",
            ),
            (
                "Annotate a pull request of GitHub, and let warnings fail it",
                "cssc config check --output github --deny warnings policies/prod.json",
            ),
        ],
    ),
    (
        "config schema",
        &[("For an editor", "cssc config schema > policy.schema.json")],
    ),
    (
        "config init",
        &[
            ("Write `continuouspatching.json`", "cssc config init"),
            ("Look at it first", "cssc config init -"),
        ],
    ),
    (
        "dry-run",
        &[
            (
                "What does the policy in this folder select?",
                "cssc dry-run -r myregistry.azurecr.io",
            ),
            (
                "The images, one a line, for a script",
                "cssc dry-run --config policy.json -r localhost:5000 -o plain",
            ),
            (
                "Why is a tag not patched?",
                "cssc dry-run --policy -r ghcr.io/acme --explain python:3.11",
            ),
            (
                "Without a registry, from a file of tags",
                "cssc dry-run --config policy.json -r inventory:tags.json --schedule 7d",
            ),
        ],
    ),
    (
        "schedule next",
        &[
            (
                "When would a workflow run that is created now?",
                "cssc schedule next 7d",
            ),
            (
                "The next three runs of one that exists",
                "cssc schedule next 7d --created 2024-01-03 --count 3",
            ),
        ],
    ),
    (
        "schedule calendar",
        &[(
            "Two months with the run days marked",
            "cssc schedule calendar 7d --created 2024-01-03 --count 2",
        )],
    ),
    (
        "schedule due",
        &[(
            "In a job that starts daily: go on only on a run day",
            "cssc schedule due -r localhost:5000 && cssc workflow run -r localhost:5000",
        )],
    ),
    (
        "tags list",
        &[(
            "Original tags and their patches",
            "cssc tags list python -r localhost:5000",
        )],
    ),
    (
        "tags latest",
        &[
            (
                "The newest patch of an image, with its digest",
                "cssc tags latest python:3.11 -r localhost:5000 --digest",
            ),
            (
                "Which images of a cluster are behind? Exit code 1 when one is",
                "kubectl get pods -A -o jsonpath='{..image}' | tr ' ' '\\n' | cssc tags latest -r localhost:5000 --digest -",
            ),
        ],
    ),
    (
        "tags next",
        &[(
            "Under which tag would a patch be published?",
            "cssc tags next python:3.11 -r localhost:5000",
        )],
    ),
    (
        "image show",
        &[(
            "An original, its patches, what each fixed and left",
            "cssc image show python:3.11 -r localhost:5000",
        )],
    ),
    (
        "policy show",
        &[(
            "Save the stored policy",
            "cssc policy show -r localhost:5000 > continuouspatching.json",
        )],
    ),
    (
        "policy push",
        &[(
            "Store the policy of this folder",
            "cssc policy push -r localhost:5000",
        )],
    ),
    (
        "policy delete",
        &[(
            "Without a question",
            "cssc policy delete -r localhost:5000 --yes",
        )],
    ),
    (
        "workflow create",
        &[
            (
                "What would be selected?",
                "cssc workflow create -r localhost:5000 --config policy.json --schedule 7d --dry-run",
            ),
            (
                "Create it, and run its first cycle",
                "cssc workflow create -r localhost:5000 --config policy.json --schedule 7d --run-immediately",
            ),
        ],
    ),
    (
        "workflow update",
        &[
            (
                "Run daily from now on",
                "cssc workflow update -r localhost:5000 --schedule 1d",
            ),
            (
                "A new policy; look first",
                "cssc workflow update -r localhost:5000 --config policy.json --dry-run",
            ),
        ],
    ),
    (
        "workflow show",
        &[("", "cssc workflow show -r localhost:5000")],
    ),
    (
        "workflow list",
        &[
            (
                "What failed in the last cycle?",
                "cssc workflow list -r localhost:5000 --run-status Failed",
            ),
            (
                "The same for a script",
                "cssc workflow list -r localhost:5000 --run-status Failed -o json | jq -r '.[].image'",
            ),
        ],
    ),
    (
        "workflow delete",
        &[(
            "Without a question",
            "cssc workflow delete -r localhost:5000 --yes",
        )],
    ),
    (
        "workflow cancel-run",
        &[("", "cssc workflow cancel-run -r localhost:5000")],
    ),
    (
        "workflow run",
        &[
            (
                "The stored workflow, four images at a time",
                "cssc workflow run -r localhost:5000 --jobs 4",
            ),
            (
                "Only scan what the policy of a file selects, and fail when something can be fixed",
                "cssc workflow run -r localhost:5000 --config policy.json --until scan --fail-on vulnerable",
            ),
            (
                "One image, patched by Copa with a BuildKit of one's own",
                "cssc workflow run -r localhost:5000 --only python:3.11 --addr tcp://127.0.0.1:8888",
            ),
        ],
    ),
    (
        "workflow serve",
        &[(
            "With a page, health and metrics for a cluster",
            "cssc workflow serve -r localhost:5000 --listen 0.0.0.0:9090 --log-format json",
        )],
    ),
    (
        "workflow report",
        &[
            (
                "A page for people",
                "cssc workflow report -r localhost:5000 --format html > report.html",
            ),
            (
                "Findings for code scanning",
                "cssc workflow report -r localhost:5000 --format sarif > cssc.sarif",
            ),
        ],
    ),
    (
        "workflow export",
        &[(
            "A workflow of GitHub Actions",
            "cssc workflow export github -r localhost:5000 --shards 4 --out .github/workflows",
        )],
    ),
    (
        "cycle plan",
        &[(
            "A cycle for four workers",
            "cssc cycle plan -r localhost:5000 --shards 4 --out cycle.json",
        )],
    ),
    (
        "cycle run",
        &[(
            "The second of them",
            "cssc cycle run --cycle cycle.json --shard 2/4 -r localhost:5000 --out result-2.json",
        )],
    ),
    (
        "cycle finish",
        &[(
            "Put the results together, and say how it went",
            "cssc cycle finish --cycle cycle.json -r localhost:5000 result-*.json",
        )],
    ),
    ("cycle schema", &[("", "cssc cycle schema result")]),
    (
        "task list-runs",
        &[(
            "The scans that failed",
            "cssc task list-runs -r localhost:5000 --run-status Failed",
        )],
    ),
    (
        "task logs",
        &[(
            "What the tools printed",
            "cssc task logs -r localhost:5000 --run-id 20260107T093000Z-3f2a.scan.17",
        )],
    ),
    (
        "doctor",
        &[
            (
                "Is all there for the stored workflow?",
                "cssc doctor -r localhost:5000",
            ),
            (
                "And for scans alone, of a policy in a file?",
                "cssc doctor -r localhost:5000 --config policy.json --until scan",
            ),
        ],
    ),
    (
        "schema",
        &[(
            "What a script may rely on in the rows of a cycle",
            "cssc schema images",
        )],
    ),
    (
        "completions",
        &[(
            "For bash",
            "cssc completions bash > /etc/bash_completion.d/cssc",
        )],
    ),
    (
        "man",
        &[
            ("Read the page of `cssc`", "cssc man | man -l -"),
            (
                "Install the pages of all commands",
                "cssc man /usr/local/share/man/man1",
            ),
        ],
    ),
];

/// The command with its examples, and those of all below it.
pub(super) fn add(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (path, examples)| {
        at(command, path, |command| {
            command.after_long_help(text(examples))
        })
    })
}

/// Changes the command that `path` leads to.
fn at(command: Command, path: &str, change: impl FnOnce(Command) -> Command) -> Command {
    let (name, rest) = match path.split_once(' ') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    command.mut_subcommand(name, |command| match rest {
        Some(rest) => at(command, rest, change),
        None => change(command),
    })
}

fn text(examples: &[(&str, &str)]) -> String {
    let each = examples.iter().map(|(what, line)| {
        let what = match *what {
            "" => String::new(),
            what => format!("  # {what}\n"),
        };
        format!("{what}  $ {line}")
    });
    format!("Examples:\n{}", each.collect::<Vec<_>>().join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &Command, path: &str, out: &mut Vec<String>) {
        for command in command.get_subcommands() {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                leaves(command, &path, out);
            } else {
                out.push(path.trim_start().to_owned());
            }
        }
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        let command = super::super::line();
        let mut all = Vec::new();
        leaves(&command, "", &mut all);
        let with: Vec<String> = EXAMPLES
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        assert_eq!(with, all);
        for (path, examples) in EXAMPLES {
            for (_, line) in *examples {
                // Of a line with several commands ours is the one that ends it, or begins it.
                let parts = line.split(" | ").flat_map(|part| part.split(" && "));
                let ours: Vec<&str> = parts.filter(|part| part.starts_with("cssc ")).collect();
                assert!(!ours.is_empty(), "{line}");
                for part in ours {
                    let words = part.split(" > ").next().unwrap().split(' ');
                    if let Err(error) = command.clone().try_get_matches_from(words) {
                        panic!("{part}: {error}");
                    }
                }
                assert!(line.contains(&format!("cssc {path}")), "{path}: {line}");
            }
        }
    }
}
