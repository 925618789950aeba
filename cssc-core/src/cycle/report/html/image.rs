//! The story of one image.

use std::fmt;

use super::super::{ImageReport, ReportedFinding};
use super::text::{Text, Time, Vulnerability, tone};
use crate::cycle::outcome::ImageOutcome;
use crate::cycle::row::{PlatformRow, RowReason};

/// Writes what came of an image, with at most so many findings in each list; only its first line
/// is seen until it is opened.
pub(super) fn write(image: &ImageReport, most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let row = &image.row;
    let name = row.image.to_string();
    write!(
        f,
        "<details><summary><b>{}</b> {}",
        Text(name),
        Badge(row.outcome)
    )?;
    if let Some(patched) = &row.patched_image {
        write!(f, " now {}", Text(patched.to_string()))?;
    }
    if let Some(findings) = &row.findings {
        write!(f, " <span class=\"soft\">{findings}</span>")?;
    }
    writeln!(f, "</summary>\n<div>")?;
    if !image.reason().is_empty() {
        writeln!(f, "<p>{}</p>", Text(image.reason()))?;
    }
    if let Some(digest) = &row.patched_digest {
        writeln!(f, "<p class=\"soft\">{digest}</p>")?;
    }
    match row.platforms.as_slice() {
        [] => {}
        [only] => {
            let name = only.platform.to_string();
            writeln!(f, "<p class=\"soft\">{}</p>", Text(name))?;
        }
        several => platforms(several, f)?,
    }
    list("Left", &image.left_findings, most, f)?;
    list("Fixed", &image.fixed_findings, most, f)?;
    writeln!(f, "</div>\n</details>")
}

struct Badge(Option<ImageOutcome>);

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.map_or("not done", ImageOutcome::as_str);
        write!(f, "<span class=\"badge {}\">{word}</span>", tone(self.0))
    }
}

fn platforms(platforms: &[PlatformRow], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "<h3>Platforms</h3>\n<div class=\"wide\"><table><thead><tr><th>platform</th>\
         <th>outcome</th><th>findings</th><th>reason</th></tr></thead><tbody>"
    )?;
    for row in platforms {
        let reason = row.reason.as_ref();
        let reason: &str = reason.map_or("", |RowReason { text, .. }| text);
        let findings = row.findings.map(|findings| findings.to_string());
        writeln!(
            f,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Text(row.platform.to_string()),
            Badge(row.outcome),
            findings.unwrap_or_default(),
            Text(reason)
        )?;
    }
    writeln!(f, "</tbody></table></div>")
}

/// Findings, the worst first, and how many more there are.
fn list(
    title: &str,
    findings: &[ReportedFinding],
    most: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    let mut findings: Vec<&ReportedFinding> = findings.iter().collect();
    findings.sort_by_key(|one| std::cmp::Reverse(one.finding.severity()));
    let more = findings.len().saturating_sub(most);
    findings.truncate(most);
    writeln!(f, "<h3>{title}</h3>")?;
    if !findings.is_empty() {
        table(&findings, f)?;
    }
    if more > 0 {
        let than = if most == 0 { "" } else { " more" };
        writeln!(
            f,
            "<p class=\"soft\">{more}{than}, in the report as JSON</p>"
        )?;
    }
    Ok(())
}

fn table(findings: &[&ReportedFinding], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "<div class=\"wide\"><table><thead><tr><th>severity</th>\
         <th>vulnerability</th><th>package</th><th>installed</th><th>fixed in</th><th>platform</th>\
         <th>open since</th></tr></thead><tbody>"
    )?;
    for ReportedFinding {
        platform,
        since,
        finding,
    } in findings
    {
        let since = since.map(|since| Time(since).to_string());
        writeln!(
            f,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            finding.severity(),
            Vulnerability(finding.vulnerability_id()),
            Text(finding.package()),
            Text(finding.installed_version()),
            Text(finding.fixed_version().unwrap_or_default()),
            Text(platform.to_string()),
            since.unwrap_or_default()
        )?;
    }
    writeln!(f, "</tbody></table></div>")
}
