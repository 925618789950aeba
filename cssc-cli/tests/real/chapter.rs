//! The tutorials of the book, as they stand.
//!
//! Each block marked `sh` is run, with the address of the real registry for `localhost:5000`. What
//! it prints is the block `text` that follows it, but for what differs from day to day. Blocks
//! marked `bash` are shown only: they fetch from outside what the tests have. With `CSSC_BLESS=1`
//! what was printed is written into the book.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::place::Place;

#[test]
fn the_tutorial_with_copa() {
    run("tutorial.md");
}

#[test]
fn the_tutorial_with_buildah() {
    run("tutorial-buildah.md");
}

fn run(name: &str) {
    let Some(place) = Place::get() else { return };
    let namespace = name.trim_end_matches(".md");
    for tag in ["12", "12-multi"] {
        place.copy(
            &format!("debian:{tag}"),
            &format!("{namespace}/debian:{tag}"),
        );
    }
    let chapter = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/src")
        .join(name);
    let text = fs::read_to_string(&chapter).unwrap();
    let mut printed = None;
    let mut blessed = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        blessed.push_str(line);
        let kind = line.trim_end().strip_prefix("```").unwrap_or_default();
        if kind.is_empty() {
            continue;
        }
        let block: String = lines.by_ref().take_while(|line| *line != "```\n").collect();
        match kind {
            "sh" => {
                printed = Some(shell(&place, namespace, &block));
                blessed.push_str(&block);
            }
            "text" => {
                let printed = printed.take().unwrap();
                if env::var_os("CSSC_BLESS").is_none() {
                    assert_eq!(alike(&printed), alike(&block), "{name}");
                }
                blessed.push_str(&printed);
            }
            _ => blessed.push_str(&block),
        }
        blessed.push_str("```\n");
    }
    if env::var_os("CSSC_BLESS").is_some() {
        fs::write(&chapter, blessed).unwrap();
    }
}

/// Runs a block; what it printed, on both streams, with the name that the book has.
fn shell(place: &Place, namespace: &str, block: &str) -> String {
    let registry = format!("{}/{namespace}", place.registry);
    let script = block
        .replace("localhost:5000", &registry)
        .replace("skopeo inspect", "skopeo inspect --tls-verify=false");
    let output = place
        .command("sh")
        .args(["-e", "-c", &format!("exec 2>&1\n{script}")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{block}{said}");
    said.replace(&registry, "localhost:5000")
}

/// The text without what differs from one run to the next: times, random parts, digests, how many
/// findings there are.
fn alike(text: &str) -> String {
    let mut sed = Command::new("sed")
        .args(["-E", "-e", "s/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}/CYCLE/g"])
        .args([
            "-e",
            "s/[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]+(Z| UTC)/TIME/g",
        ])
        .args(["-e", "s/sha256:[0-9a-f]{64}/DIGEST/g"])
        .args([
            "-e",
            "s/\\| [0-9]+ \\| [0-9]+ \\|$/| N | N |/",
            "-e",
            "s/ +/ /g",
        ])
        .args(["-e", "s/[0-9]{4}-[0-9]{2}-[0-9]{2}/DATE/g"])
        .args(["-e", "s/[0-9]+ (fixable|fixed|left|without)/N \\1/g"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sed.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    String::from_utf8(sed.wait_with_output().unwrap().stdout).unwrap()
}
