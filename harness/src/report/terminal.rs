//! The recorded run as text: the findings in the subject's files, the audit table, the latencies, what failed and how
//! to repeat it.

use std::fmt::Write as _;

use crate::event::{CaseRecord, Finding, LatencyRecord, Level, Outcome, RunHeader, RunRecord, ServerRecord};
use crate::report::findings::{self, FindingCounts, Room};
pub use crate::report::text::{Look, Tone};
use crate::report::text::{clean, cut, fitted, wrap};
use crate::report::verdict::Lines;
use crate::report::{
    Area, Counts, Standing, areas, duration_text, explanation_beside_findings, labels, latency_text,
    latency_title, plural, problems, rate_text, rerun_commands,
};

/// Longer lines are hard to follow from a name to its numbers.
const WIDTH_MAX: usize = 110;
/// Narrower ones have no room for the numbers.
const WIDTH_MIN: usize = 76;
/// The width of the audit table's numbers.
const NUMBERS_WIDTH: usize = 9 + 8 + 8 + 9 + 9 + 11;
/// The most lines that say what was checked.
const CHECKS_LINES_MAX: usize = 8;
/// The most cases that are shown in full.
const DETAILED_MAX: usize = 25;
/// The most lines of a case's explanation.
const DETAIL_LINES_MAX: usize = 60;
/// The most cases that are named in one line of the audit table.
const NAMES_MAX: usize = 6;
/// The most findings that are shown in full.
const ROOM: Room = Room { errors: 50, warnings: 20, notes: 10 };

/// Renders a whole record, as `proofmark audit` shows it.
#[must_use]
pub fn render(record: &RunRecord, look: Look) -> String {
    let mut text = header(&record.header, look);
    if let Some(at) = &record.server {
        text += &server(at, look);
    }
    text.push('\n');
    text + &body(record, look)
}

/// What is known when a run begins.
#[must_use]
pub fn header(header: &RunHeader, look: Look) -> String {
    let rest = format!(
        "{} · {} · seed {} · {}, {} · {}",
        header.proofmark_version,
        plural(header.planned, "case"),
        header.seed,
        clean(&header.machine.platform),
        plural(header.machine.parallelism, "thread"),
        header.started_at.format("%Y-%m-%d %H:%M UTC"),
    );
    headline("proofmark", &rest, look)
}

/// The server, once it answers.
#[must_use]
pub fn server(server: &ServerRecord, look: Look) -> String {
    let rest = format!(
        "PostgreSQL {} · {} · ready in {}",
        clean(&server.version),
        clean(&server.origin),
        duration_text(server.ready_ms)
    );
    let kind = format!("{} server", clean(&server.kind));
    headline(&kind, &rest, look)
}

/// A strong name and what there is to say about it, on as many lines as it takes.
fn headline(name: &str, rest: &str, look: Look) -> String {
    let mut text = String::new();
    for (index, wrapped) in wrap(&format!("{name} {rest}"), look.width.max(WIDTH_MIN) - 2).iter().enumerate() {
        let content = match wrapped.strip_prefix(name).filter(|_| index == 0) {
            Some(rest) => format!("{}{}", look.paint(Tone::Strong, name), look.paint(Tone::Faint, rest)),
            None => format!("  {}", look.paint(Tone::Faint, wrapped)),
        };
        line(&mut text, &content);
    }
    fitted(text, look)
}

/// All but the header: the verdict, the findings, the audit table, the latencies, the problems and the summary.
#[must_use]
pub fn body(record: &RunRecord, look: Look) -> String {
    let look = Look { width: look.width.clamp(WIDTH_MIN, WIDTH_MAX), ..look };
    let mut text = String::new();
    migration_verdict(&mut text, record, look);
    found(&mut text, record, look);
    let areas = areas(record);
    if !areas.is_empty() {
        audit(&mut text, &areas, look);
    }
    if !record.latencies.is_empty() {
        latencies(&mut text, &record.latencies, look);
    }
    details(&mut text, record, look);
    fitted(text, look) + &summary(record, look)
}

/// How many of the subject's migrations apply, in the given order and in the best one found: the first thing to know.
fn migration_verdict(text: &mut String, record: &RunRecord, look: Look) {
    let Some(verdict) = &record.verdict else { return };
    let verdict = Lines::of(verdict);
    let (mark, tone) =
        if verdict.is_good { (Standing::Passed, Tone::Good) } else { (Standing::Failed, Tone::Bad) };
    line(text, &look.paint(tone, &format!("{} {}", mark.mark(), verdict.heading)));
    for part in &verdict.rest {
        for wrapped in wrap(&clean(part), look.width - 2) {
            line(text, &format!("  {wrapped}"));
        }
    }
    text.push('\n');
}

/// What was found in the subject's files, by file and line.
fn found(text: &mut String, record: &RunRecord, look: Look) {
    let selection = findings::select(record, ROOM);
    if selection.all == FindingCounts::default() {
        return;
    }
    let heading = look.paint(Tone::Strong, "FINDINGS");
    line(text, &format!("{heading} {}", look.paint(Tone::Faint, &selection.all.words())));
    rule(text, look);
    for file in &selection.files {
        let name = file.file.map_or_else(|| "in no file".to_owned(), |file| findings::path(&record.header, file));
        line(text, &look.paint(Tone::Strong, &clean(&name)));
        text.push('\n');
        for finding in &file.findings {
            let level = look.paint(level_tone(finding.level), finding.level.name());
            line(text, &format!("{level} {}", clean(&finding.check)));
            for labelled in labels::render(finding, &record.header, look).lines() {
                line(text, labelled);
            }
            text.push('\n');
        }
    }
    let left_out = selection.left_out.words();
    if !left_out.is_empty() {
        line(text, &look.paint(Tone::Strong, &format!("... and {left_out} more, in the recorded run")));
        text.push('\n');
    }
}

fn level_tone(level: Level) -> Tone {
    match level {
        Level::Note => Tone::Faint,
        Level::Warning => Tone::Odd,
        Level::Error => Tone::Bad,
    }
}

/// The last line: totals, time and seed.
#[must_use]
pub fn summary(record: &RunRecord, look: Look) -> String {
    let counts = Counts::of(&record.cases);
    let standing = Standing::of_run(record);
    let mut parts = Vec::new();
    for (count, word, tone) in [
        (counts.passed, "passed", Tone::Good),
        (counts.failed, "failed", Tone::Bad),
        (counts.errored, "errored", Tone::Odd),
        (counts.not_run, "not run", Tone::Strong),
        (counts.known, "failed as known", Tone::Strong),
    ] {
        if count > 0 {
            parts.push(look.paint(tone, &format!("{count} {word}")));
        }
    }
    if parts.is_empty() {
        parts.push(look.paint(Tone::Odd, "nothing ran"));
    }
    let rest = format!(" · {} · seed {}", duration_text(record.footer.duration_ms), record.header.seed);
    let interrupted = record.footer.interrupted.map(|signal| format!(" · interrupted by {}", signal.name()));
    let text = format!(
        "{} {}{}{}\n",
        look.paint(tone(standing), &standing.mark().to_string()),
        parts.join(", "),
        rest,
        look.paint(Tone::Odd, &interrupted.unwrap_or_default()),
    );
    fitted(text, look)
}

/// One line about a case that ended badly, and one that says why.
#[must_use]
pub fn problem_line(case: &CaseRecord, look: Look) -> String {
    let standing = Standing::of(case);
    let explanation = clean(&case.outcome.explanation());
    let head = format!("{} {}", standing.mark(), case.outcome.word());
    let text = format!(
        "{} {} {}\n    {}",
        look.paint(tone(standing), &head),
        clean(&case.id.to_string()),
        look.paint(Tone::Faint, &format!("after {}", duration_text(case.duration_ms))),
        cut(explanation.lines().next().unwrap_or_default(), look.width.saturating_sub(4).max(40)),
    );
    fitted(text, look)
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Passed => Tone::Good,
        Standing::Failed => Tone::Bad,
        Standing::Errored => Tone::Odd,
        Standing::NotRun | Standing::Known => Tone::Faint,
    }
}

fn rule(text: &mut String, look: Look) {
    line(text, &look.paint(Tone::Faint, &"─".repeat(look.width)));
}

fn line(text: &mut String, content: &str) {
    text.push_str(content.trim_end());
    text.push('\n');
}

/// A line of the audit table: a name on the left, the numbers on the right.
fn row(text: &mut String, name: &str, name_columns: usize, numbers: &str, look: Look) {
    let room = look.width - NUMBERS_WIDTH;
    if name_columns > room {
        line(text, name);
        line(text, &format!("{}{numbers}", " ".repeat(room)));
    } else {
        line(text, &format!("{name}{}{numbers}", " ".repeat(room - name_columns)));
    }
}

fn audit(text: &mut String, areas: &[Area<'_>], look: Look) {
    let heading =
        format!("{:>9}{:>8}{:>8}{:>9}{:>9}{:>11}", "cases", "passed", "failed", "errored", "not run", "time");
    row(text, &look.paint(Tone::Strong, "AUDIT"), 5, &look.paint(Tone::Faint, &heading), look);
    rule(text, look);
    let mut above: Option<&Area<'_>> = None;
    for area in areas {
        let same_suite = above.is_some_and(|above| above.suite == area.suite);
        let same_checks = same_suite && above.is_some_and(|above| above.checks() == area.checks());
        if !same_suite {
            line(text, &look.paint(Tone::Strong, &clean(area.suite)));
        }
        // What was checked stands once above all subjects of which it is true.
        if !same_checks {
            let wrapped = wrap(&clean(&area.checks().join("; ")), look.width - 2);
            for wrapped in wrapped.iter().take(CHECKS_LINES_MAX) {
                line(text, &format!("  {}", look.paint(Tone::Faint, wrapped)));
            }
            if wrapped.len() > CHECKS_LINES_MAX {
                let all = format!("  ... {} in all", plural(area.checks().len(), "claim"));
                line(text, &look.paint(Tone::Faint, &all));
            }
        }
        let counts = area.counts();
        let mark = counts.standing();
        let subject = clean(area.subject);
        row(
            text,
            &format!("  {} {subject}", look.paint(tone(mark), &mark.mark().to_string())),
            4 + subject.chars().count(),
            &numbers(counts, area.duration_ms(), look),
            look,
        );
        exceptions(text, area, look);
        above = Some(area);
    }
    rule(text, look);
    if areas.len() > 1 {
        let all = || areas.iter().flat_map(|area| area.cases.iter().copied());
        row(text, "    all", 7, &numbers(Counts::of(all()), super::total_ms(all()), look), look);
    }
    text.push('\n');
}

fn numbers(counts: Counts, duration_ms: u64, look: Look) -> String {
    let cell = |count: usize, width: usize, tone: Tone| {
        if count == 0 {
            look.paint(Tone::Faint, &format!("{:>width$}", "·"))
        } else {
            look.paint(tone, &format!("{count:>width$}"))
        }
    };
    format!(
        "{:>9}{}{}{}{}{:>11}",
        counts.cases,
        cell(counts.passed, 8, Tone::Good),
        cell(counts.failed, 8, Tone::Bad),
        cell(counts.errored, 9, Tone::Odd),
        cell(counts.not_run, 9, Tone::Strong),
        duration_text(duration_ms),
    )
}

/// The cases of an area that did not pass, by name: failures by what happened, the others by why they did not run.
fn exceptions(text: &mut String, area: &Area<'_>, look: Look) {
    let mut groups: Vec<(String, Standing, Vec<&str>)> = Vec::new();
    for case in &area.cases {
        let standing = Standing::of(case);
        let title = match &case.outcome {
            Outcome::Passed => continue,
            _ if case.known.is_some() => {
                case.known.iter().map(|known| format!("known failure: {known}")).collect()
            }
            Outcome::Skipped { reason } => format!("not run ({reason})"),
            other => other.word().to_owned(),
        };
        match groups.iter_mut().find(|(other, ..)| *other == title) {
            Some((.., names)) => names.push(&case.id.case),
            None => groups.push((title, standing, vec![&case.id.case])),
        }
    }
    for (title, standing, names) in groups {
        let mut named = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        if names.len() > NAMES_MAX {
            let _ = write!(named, " and {} more", names.len() - NAMES_MAX);
        }
        let content = clean(&format!("{title}: {named}"));
        for (index, wrapped) in wrap(&content, look.width - 8).into_iter().enumerate() {
            let mark = if index == 0 { standing.mark() } else { ' ' };
            line(text, &look.paint(tone(standing), &format!("      {mark} {wrapped}")));
        }
    }
}

fn latencies(text: &mut String, latencies: &[LatencyRecord], look: Look) {
    line(text, &look.paint(Tone::Strong, "LATENCY of one batch"));
    rule(text, look);
    let mut above = None;
    for latency in latencies {
        let title = latency_title(latency);
        if above.as_ref() != Some(&title) {
            line(text, &look.paint(Tone::Strong, &clean(&title)));
            let heading = format!(
                "{:>8}{:>9}{:>11}{:>11}{:>11}{:>14}{:>10}",
                "rows", "workers", "p50", "p95", "p99", "rows/s", "batches"
            );
            line(text, &look.paint(Tone::Faint, &heading));
        }
        line(
            text,
            &format!(
                "{:>8}{:>9}{:>11}{:>11}{:>11}{:>14}{:>10}",
                latency.batch_rows,
                latency.workers,
                latency_text(latency.p50_us),
                latency_text(latency.p95_us),
                latency_text(latency.p99_us),
                rate_text(latency.rows_per_second),
                latency.iterations,
            ),
        );
        above = Some(title);
    }
    rule(text, look);
    text.push('\n');
}

/// Whether the findings above have said all there is to say about a case.
fn is_told_by_findings(case: &CaseRecord) -> bool {
    matches!(case.outcome, Outcome::Failed { .. }) && case.findings.iter().any(Finding::counts)
}

fn details(text: &mut String, record: &RunRecord, look: Look) {
    let told: Vec<&CaseRecord> = problems(record).filter(|case| is_told_by_findings(case)).collect();
    if let Some(first) = told.first() {
        let cases = plural(told.len(), "case");
        let again = rerun_commands(&record.header.command, &first.id, record.header.seed);
        let content = format!("{cases} failed for the findings above; to run one again, for example:");
        line(text, &look.paint(Tone::Faint, &content));
        for command in again.iter().take(1) {
            line(text, &format!("  {}", clean(command)));
        }
        for open in told.iter().flat_map(|case| &case.kept) {
            line(text, &format!("  {}{}", look.paint(Tone::Faint, "its database, for a while: "), clean(open)));
        }
        text.push('\n');
    }
    let count = problems(record).filter(|case| !is_told_by_findings(case)).count();
    if count == 0 {
        return;
    }
    line(text, &look.paint(Tone::Strong, "WHAT WENT WRONG"));
    rule(text, look);
    for case in problems(record).filter(|case| !is_told_by_findings(case)).take(DETAILED_MAX) {
        let standing = Standing::of(case);
        let head = format!("{} {}", standing.mark(), case.outcome.word());
        let name = look.paint(Tone::Strong, &clean(&case.id.to_string()));
        let time = look.paint(Tone::Faint, &format!("after {}", duration_text(case.duration_ms)));
        line(text, &format!("{} {name} {time}", look.paint(tone(standing), &head)));
        line(text, &look.paint(Tone::Faint, &format!("  checks: {}", clean(&case.checks))));
        let explanation = clean(&explanation_beside_findings(case));
        for explained in explanation.lines().take(DETAIL_LINES_MAX) {
            line(text, &format!("  {explained}"));
        }
        let lines = explanation.lines().count();
        if lines > DETAIL_LINES_MAX {
            let rest = plural(lines - DETAIL_LINES_MAX, "more line");
            line(text, &look.paint(Tone::Faint, &format!("  ... {rest} in the recorded run")));
        }
        for (index, command) in
            rerun_commands(&record.header.command, &case.id, record.header.seed).iter().enumerate()
        {
            let lead = if index == 0 { "repeat: " } else { "    or: " };
            line(text, &format!("  {}{}", look.paint(Tone::Faint, lead), clean(command)));
        }
        for open in &case.kept {
            line(text, &format!("  {}{}", look.paint(Tone::Faint, "its database, for a while: "), clean(open)));
        }
        text.push('\n');
    }
    if count > DETAILED_MAX {
        let rest = plural(count - DETAILED_MAX, "more case");
        line(text, &look.paint(Tone::Faint, &format!("... and {rest}, in the recorded run")));
        text.push('\n');
    }
}
