//! Writes the page of a cycle's report, as `cssc workflow report --format json` writes reports.
//!
//! `cargo run -p cssc-core --example report_page -- REGISTRY REPORT [EARLIER...] >page.html`
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "an example is a program, and reads and prints"
)]

use std::error::Error;
use std::{env, fs};

use cssc_core::cycle::CycleReport;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let registry = arguments.next().ok_or("name the registry")?;
    let reports = arguments.map(|path| -> Result<CycleReport, Box<dyn Error>> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    });
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    let (report, earlier) = reports.split_first().ok_or("name a report")?;
    let earlier: Vec<_> = earlier.iter().map(CycleReport::figures).collect();
    print!("{}", report.html(&registry, &earlier));
    Ok(())
}
