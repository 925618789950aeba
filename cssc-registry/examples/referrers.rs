//! Attaches a note to an image, and lists what is attached to it.
//!
//! usage: `referrers REGISTRY REPOSITORY TAG NOTE`, where REGISTRY is `ghcr.io/acme`,
//! `localhost:5000` or `layout:DIR`
use std::error::Error;
use std::io::{self, Write};

use cssc_registry::{
    Artifact, Attachment, LayoutRegistry, OciOptions, OciRegistry, Reference, ReferrersFallback,
    RegistryAddress, RegistryClient, Repository, attach,
};

const NOTE: &str = "application/vnd.example.note.v1";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments, &mut io::stdout())
}

pub(crate) fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [registry, repository, tag, note] = arguments else {
        return Err("usage: referrers REGISTRY REPOSITORY TAG NOTE".into());
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
    let Some(subject) = client.resolve(&repository, &reference)? else {
        return Err(format!("`{repository}{reference}` does not exist").into());
    };

    let artifact = Artifact::new(NOTE)
        .layer("text/plain", note.as_bytes())
        .subject(subject.clone());
    // Without the fallback no tag is written that nobody asked for.
    let attached = attach(&*client, &repository, &artifact, ReferrersFallback::Never)?;
    if let Attachment::Attached(stored) = attached {
        writeln!(out, "attached {}", stored.digest)?;
    } else {
        writeln!(
            out,
            "nothing is attached: the registry has no API for referrers"
        )?;
    }

    for referrer in client.referrers(&repository, &subject.digest, Some(NOTE))? {
        let digest = &referrer.descriptor.digest;
        writeln!(out, "{} {digest}", referrer.artifact_type)?;
    }
    Ok(())
}
