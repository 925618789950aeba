//! The findings of the last cycles as a chart, and as the table that it shows.

use std::fmt;

use super::super::CycleFigures;

/// The size of the chart, in units of its own.
const WIDTH: usize = 600;
const HEIGHT: usize = 120;

/// Writes the chart of some cycles, the oldest first.
pub(super) fn write(cycles: &[CycleFigures], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "<section id=\"history\">\n<h2>History</h2>")?;
    if let [first, .., last] = cycles {
        let (first, last) = (first.cycle.started(), last.cycle.started());
        let (first, last) = (first.format("%Y-%m-%d"), last.format("%Y-%m-%d"));
        writeln!(
            f,
            "<p class=\"soft\">From {first} to {last}: left below, fixed above.</p>"
        )?;
        chart(cycles, f)?;
        table(cycles, f)?;
    } else {
        writeln!(f, "<p class=\"soft\">No earlier cycle is on record.</p>")?;
    }
    writeln!(f, "</section>")
}

fn chart(cycles: &[CycleFigures], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let all = cycles.iter().map(|one| one.findings);
    let most = all.map(|findings| findings.fixed.saturating_add(findings.left));
    let most = most.max().unwrap_or_default().max(1);
    let step = WIDTH.checked_div(cycles.len()).unwrap_or_default().min(60);
    let width = step.saturating_sub(4).max(2);
    let height = |count: usize| {
        let scaled = count.saturating_mul(HEIGHT).checked_div(most);
        // What is there is seen.
        scaled.unwrap_or_default().max(usize::from(count > 0))
    };
    let bottom = HEIGHT.saturating_add(2);
    writeln!(
        f,
        "<svg viewBox=\"0 0 {WIDTH} {bottom}\" role=\"img\" \
         aria-label=\"Findings fixed and left in {} cycles, at most {most}; the table below has the \
         numbers\">\n<line x1=\"0\" y1=\"{bottom}\" x2=\"{WIDTH}\" y2=\"{bottom}\"/>",
        cycles.len()
    )?;
    let mut x = 0_usize;
    for one in cycles {
        let (cycle, fixed, left) = (one.cycle, one.findings.fixed, one.findings.left);
        let (below, above) = (height(left), height(fixed));
        let y = bottom.saturating_sub(below);
        let top = y.saturating_sub(above);
        writeln!(
            f,
            "<g><title>{cycle}: {fixed} fixed, {left} left</title>\
             <rect class=\"bad\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{below}\"/>\
             <rect class=\"good\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{above}\"/></g>"
        )?;
        x = x.saturating_add(step);
    }
    writeln!(f, "</svg>")
}

fn table(cycles: &[CycleFigures], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "<details><summary>The chart as a table</summary><div class=\"wide\"><table>\
         <thead><tr><th>cycle</th><th class=\"number\">fixed</th><th class=\"number\">left</th></tr>\
         </thead><tbody>"
    )?;
    for one in cycles.iter().rev() {
        let (cycle, fixed, left) = (one.cycle, one.findings.fixed, one.findings.left);
        writeln!(
            f,
            "<tr><td>{cycle}</td><td class=\"number\">{fixed}</td>\
             <td class=\"number\">{left}</td></tr>"
        )?;
    }
    writeln!(f, "</tbody></table></div></details>")
}
