//! Stores a file as an artifact, and reads it back.
//!
//! usage: `pull_and_push_artifact REGISTRY REPOSITORY TAG FILE`, where REGISTRY is
//! `ghcr.io/acme`, `localhost:5000` or `layout:DIR`
use std::error::Error;
use std::io::{self, Write};

use cssc_registry::{
    Artifact, Descriptor, LayoutRegistry, OciOptions, OciRegistry, Reference, RegistryAddress,
    RegistryClient, Repository,
};
use serde::Deserialize;

/// The part of a manifest that tells what to read.
#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

/// The most bytes of a layer that are read.
const MAX_LEN: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments, &mut io::stdout())
}

pub(crate) fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [registry, repository, tag, file] = arguments else {
        return Err("usage: pull_and_push_artifact REGISTRY REPOSITORY TAG FILE".into());
    };
    let client: Box<dyn RegistryClient> = match registry.parse()? {
        RegistryAddress::Registry(name) => {
            Box::new(OciRegistry::new(&name, OciOptions::default())?)
        }
        RegistryAddress::Layout(folder) => Box::new(LayoutRegistry::open(&folder)?),
        RegistryAddress::Inventory(_) => return Err("an inventory holds names alone".into()),
    };
    let repository: Repository = repository.parse()?;
    let reference = Reference::Tag(tag.parse()?);

    let stored = Artifact::new("application/vnd.example.note.v1")
        .file("note.txt", "text/plain", std::fs::read(file)?)
        .annotation("org.opencontainers.image.created", "2024-01-08T09:30:00Z")
        .push(&*client, &repository, Some(&reference))?;
    writeln!(out, "stored {repository}@{}", stored.digest)?;

    // Every digest is verified as it is read.
    let manifest = client.get_manifest(&repository, &reference)?;
    let manifest: Manifest = serde_json::from_slice(&manifest.bytes)?;
    for layer in &manifest.layers {
        let bytes = client.get_blob(&repository, layer, MAX_LEN)?;
        out.write_all(&bytes)?;
    }
    Ok(())
}
