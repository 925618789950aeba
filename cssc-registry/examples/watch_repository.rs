//! Watches one repository, and tells of tags that come, go or move.
//!
//! usage: `watch_repository REGISTRY REPOSITORY SECONDS [ROUNDS]`
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use cssc_core::Listing;
use cssc_registry::{
    Digest, OciOptions, OciRegistry, Reference, Registry, RegistryClient, RegistryError, Repository,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments, &mut io::stdout())
}

pub(crate) fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [registry, repository, seconds, rounds @ ..] = arguments else {
        return Err("usage: watch_repository REGISTRY REPOSITORY SECONDS [ROUNDS]".into());
    };
    let registry: Registry = registry.parse()?;
    let repository: Repository = repository.parse()?;
    let pause = Duration::from_secs(seconds.parse()?);
    let rounds = rounds
        .first()
        .map_or(Ok(u32::MAX), |rounds| rounds.parse())?;
    let client = OciRegistry::new(&registry, OciOptions::default())?;
    let mut known: Option<BTreeMap<String, Digest>> = None;
    for round in 0..rounds {
        if round > 0 {
            thread::sleep(pause);
        }
        let seen = match look(&client, &repository) {
            Ok(seen) => seen,
            // What cannot be read is not gone: what was known stays known.
            Err(error) => {
                writeln!(out, "cannot read {repository}: {error}")?;
                continue;
            }
        };
        if let Some(known) = &known {
            tell(known, &seen, out)?;
        } else {
            writeln!(out, "{repository}: {} tags", seen.len())?;
        }
        known = Some(seen);
    }
    Ok(())
}

/// What each tag stands for now.
fn look(
    client: &dyn RegistryClient,
    repository: &Repository,
) -> Result<BTreeMap<String, Digest>, RegistryError> {
    let tags = match client.list_tags(repository) {
        Listing::Found(tags) => tags,
        Listing::Absent => return Ok(BTreeMap::new()),
        Listing::Unavailable(error) => return Err(error.into()),
    };
    let mut seen = BTreeMap::new();
    for tag in &tags {
        let found = client.resolve(repository, &Reference::Tag(tag.to_tag()))?;
        if let Some(found) = found {
            seen.insert(tag.to_string(), found.digest);
        }
    }
    Ok(seen)
}

fn tell(
    known: &BTreeMap<String, Digest>,
    seen: &BTreeMap<String, Digest>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (tag, digest) in seen {
        match known.get(tag) {
            None => writeln!(out, "new: {tag} {digest}")?,
            Some(before) if before != digest => writeln!(out, "moved: {tag} {digest}")?,
            Some(_) => {}
        }
    }
    for tag in known.keys().filter(|tag| !seen.contains_key(*tag)) {
        writeln!(out, "gone: {tag}")?;
    }
    Ok(())
}
