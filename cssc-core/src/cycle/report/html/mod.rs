//! The report as one page of HTML: everything is in it, and it needs no network and no script.

mod history;
mod image;
mod text;

use std::fmt;

use super::{CycleFigures, CycleReport, ImageOutcome, ImageReport};
use crate::cycle::record::Cause;
use crate::cycle::status::Status;
use crate::scan::Severity;
use text::{Text, Time, tone};

/// After how many seconds a page is fetched anew.
const REFRESH: u32 = 10;
const STYLE: &str = include_str!("page.css");
/// The most findings that a page lists. A browser draws some megabytes, not hundreds.
const MAX_LISTED: usize = 8000;

/// A page that shows how things stand with a registry: the report of the last cycle, and what goes on.
#[derive(Debug, Clone, Copy)]
pub struct ReportPage<'a> {
    /// The registry, as people name it.
    pub registry: &'a str,
    /// The cycle that ended last, if one has.
    pub report: Option<&'a CycleReport>,
    /// The cycles before it, the newest first.
    pub earlier: &'a [CycleFigures],
    /// What goes on now, in a sentence: the page is fetched anew from time to time then.
    pub now: Option<&'a str>,
}

impl fmt::Display for ReportPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        writeln!(f, "<main>")?;
        if let Some(report) = self.report {
            outcomes(report, f)?;
            findings(report, f)?;
            let mut cycles: Vec<CycleFigures> = self.earlier.iter().rev().copied().collect();
            cycles.push(report.figures());
            history::write(&cycles, f)?;
            images(report, f)?;
        }
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            f,
            "</main>\n<footer>Written by cssc {version}.</footer>\n</body>\n</html>"
        )
    }
}

impl ReportPage<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = Text(self.registry);
        writeln!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">"
        )?;
        if self.now.is_some() {
            writeln!(f, "<meta http-equiv=\"refresh\" content=\"{REFRESH}\">")?;
        }
        match self.report {
            Some(report) => {
                let (status, cycle) = (report.status, report.cycle);
                writeln!(f, "<title>{status}: cycle {cycle} of {registry}</title>")?;
            }
            None => writeln!(f, "<title>Continuous patching of {registry}</title>")?,
        }
        writeln!(
            f,
            "<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
             <p class=\"soft\">Continuous patching of <b>{registry}</b></p>"
        )?;
        if let Some(now) = self.now {
            writeln!(f, "<p class=\"now\" role=\"status\">{}</p>", Text(now))?;
        }
        match self.report {
            Some(report) => cycle(report, f)?,
            None => writeln!(f, "<h1>No cycle has ended yet</h1>")?,
        }
        writeln!(f, "</header>")
    }
}

/// When the cycle was, and what went wrong with it as a whole.
fn cycle(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (cycle, status) = (report.cycle, report.status);
    let tone = match status {
        Status::Succeeded => "good",
        Status::Failed => "bad",
        _ => "mute",
    };
    write!(
        f,
        "<h1>Cycle {cycle} <span class=\"badge {tone}\">{status}</span></h1>\n<p>"
    )?;
    match report.cause {
        Cause::Immediate => write!(f, "Asked for")?,
        Cause::Scheduled(time) => write!(f, "Scheduled for {}", Time(time))?,
    }
    if let Some(started) = report.started {
        write!(f, ", begun {}", Time(started))?;
    }
    if let Some(finished) = report.finished {
        write!(f, ", ended {}", Time(finished))?;
    }
    writeln!(f, ".</p>")?;
    if let Some(problem) = report.problem() {
        writeln!(f, "<p class=\"problem\">{}</p>", Text(problem))?;
    }
    if report.databases.len() > 1 {
        let databases = report.databases.iter().map(|made| Time(*made).to_string());
        let databases: Vec<String> = databases.collect();
        let databases = databases.join(", ");
        writeln!(
            f,
            "<p class=\"problem\">The scans used databases of different dates: {databases}.</p>"
        )?;
    }
    writeln!(
        f,
        "<nav aria-label=\"Sections\"><a href=\"#outcomes\">Outcomes</a>\
         <a href=\"#findings\">Findings</a><a href=\"#history\">History</a>\
         <a href=\"#images\">Images</a><a href=\"#left-out\">Left out</a></nav>"
    )
}

/// How many images ended how.
fn outcomes(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let summary = report.summary;
    writeln!(
        f,
        "<section id=\"outcomes\">\n<h2>Outcomes</h2>\n<ul class=\"tiles\">\n\
         <li class=\"mute\"><b>{}</b>images</li>",
        summary.images
    )?;
    for outcome in ImageOutcome::ALL {
        let count = summary.of(outcome);
        let none = if count == 0 { " none" } else { "" };
        writeln!(
            f,
            "<li class=\"{}{none}\"><b>{count}</b>{outcome}</li>",
            tone(Some(outcome))
        )?;
    }
    writeln!(f, "</ul>\n</section>")
}

/// What was fixed and what is left, by severity.
fn findings(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count = |severity, of: fn(&ImageReport) -> &[super::ReportedFinding]| {
        let all = report.images.iter().flat_map(of);
        all.filter(|one| one.finding.severity() == severity).count()
    };
    let numbers: Vec<(Severity, usize, usize)> = Severity::ALL
        .into_iter()
        .map(|severity| {
            let fixed = count(severity, |image| &image.fixed_findings);
            (
                severity,
                fixed,
                count(severity, |image| &image.left_findings),
            )
        })
        .collect();
    let most = numbers.iter().map(|(_, fixed, left)| *fixed.max(left));
    let most = most.max().unwrap_or_default().max(1);
    writeln!(
        f,
        "<section id=\"findings\">\n<h2>Findings</h2>\n<p>{}.</p>\n<table>\
         <thead><tr><th>severity</th><th class=\"number\">fixed</th><th></th>\
         <th class=\"number\">left</th><th></th></tr></thead><tbody>",
        report.findings()
    )?;
    for (severity, fixed, left) in numbers {
        let percent = |count: usize| count.saturating_mul(100).checked_div(most).unwrap_or(0);
        write!(f, "<tr><td>{severity}</td>")?;
        for (count, tone) in [(fixed, "good"), (left, "bad")] {
            write!(
                f,
                "<td class=\"number\">{count}</td><td class=\"meter {tone}\">"
            )?;
            if count > 0 {
                write!(f, "<span style=\"width:{}%\"></span>", percent(count))?;
            }
            write!(f, "</td>")?;
        }
        writeln!(f, "</tr>")?;
    }
    writeln!(f, "</tbody></table>\n</section>")
}

/// The images, the worst first, and what was left out.
fn images(report: &CycleReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut images: Vec<&ImageReport> = report.images.iter().collect();
    images.sort_by(|one, other| {
        let worse = other.row.outcome.cmp(&one.row.outcome);
        worse.then_with(|| one.row.image.cmp(&other.row.image))
    });
    let (left_out, images): (Vec<_>, Vec<_>) = images
        .into_iter()
        .partition(|image| image.row.outcome == Some(ImageOutcome::LeftOut));
    writeln!(f, "<section id=\"images\">\n<h2>Images</h2>")?;
    if images.is_empty() {
        writeln!(f, "<p class=\"soft\">There is none.</p>")?;
    }
    let most = most_listed(&images);
    for image in images {
        image::write(image, most, f)?;
    }
    writeln!(f, "</section>")?;
    write_left_out(&left_out, f)
}

/// How many findings each list of an image may show, the same for all of them, so that together
/// they are not too many.
fn most_listed(images: &[&ImageReport]) -> usize {
    let lists = || {
        let lists = images
            .iter()
            .flat_map(|image| [&image.left_findings, &image.fixed_findings]);
        lists.map(Vec::len)
    };
    let fits = |most: usize| lists().map(|len| len.min(most)).sum::<usize>() <= MAX_LISTED;
    let (mut low, mut high) = (0, lists().max().unwrap_or_default());
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low).div_ceil(2));
        if fits(middle) {
            low = middle;
        } else {
            high = middle.saturating_sub(1);
        }
    }
    low
}

fn write_left_out(left_out: &[&ImageReport], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "<section id=\"left-out\">\n<h2>Left out</h2>")?;
    if left_out.is_empty() {
        return writeln!(f, "<p class=\"soft\">Nothing was.</p>\n</section>");
    }
    writeln!(
        f,
        "<div class=\"wide\"><table><thead><tr><th>what</th><th>why</th></tr></thead><tbody>"
    )?;
    for image in left_out {
        let (name, reason) = (image.row.image.to_string(), Text(image.reason()));
        writeln!(f, "<tr><td>{}</td><td>{reason}</td></tr>", Text(name))?;
    }
    writeln!(f, "</tbody></table></div>\n</section>")
}
