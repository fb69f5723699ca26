//! The recorded run as one HTML page that needs nothing else: no scripts, no fonts, no network.

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use crate::event::{CaseRecord, Finding, LatencyRecord, Outcome, RunHeader, RunRecord};
use crate::report::findings::{self, Excerpt, Room};
use crate::report::text::clean;
use crate::report::verdict::Lines;
use crate::report::{
    Area, Counts, Standing, areas, duration_text, explanation_beside_findings, latency_text, latency_title,
    plural, problems, rate_text, rerun_commands,
};

/// The name ends in `.html` so that the engine escapes whatever it puts into the page.
const TEMPLATE_NAME: &str = "report.html";
const TEMPLATE: &str = include_str!("report.html");

/// The most findings that a page holds.
const ROOM: Room = Room { errors: 500, warnings: 200, notes: 100 };

/// Renders a record.
///
/// # Errors
/// When the template engine refuses.
pub fn render(record: &RunRecord) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template(TEMPLATE_NAME, TEMPLATE)?;
    environment.get_template(TEMPLATE_NAME)?.render(Serde(Page::new(record)))
}

#[derive(Serialize)]
struct Page<'a> {
    record: &'a RunRecord,
    started: String,
    duration: String,
    threads: String,
    server_ready: Option<String>,
    interrupted: Option<&'static str>,
    counts: Counts,
    standing: &'static str,
    verdict: &'static str,
    /// How many findings there are, and how many of them there is no room for; empty if there are none.
    found: String,
    found_elsewhere: String,
    files: Vec<FileView>,
    migrations: Option<Lines>,
    groups: Vec<Group<'a>>,
    problems: Vec<Problem<'a>>,
    chart: Option<Chart>,
}

/// What was found in one file.
#[derive(Serialize)]
struct FileView {
    name: String,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    level: &'static str,
    check: String,
    /// Line and column, if it has a place.
    at: Option<String>,
    object: String,
    message: String,
    help: String,
    /// The number of the excerpt's first line.
    line: usize,
    excerpt: Option<Excerpt>,
}

impl FindingView {
    fn new(finding: &Finding) -> Self {
        let place = finding.place.as_ref();
        Self {
            level: finding.level.name(),
            check: clean(&finding.check),
            at: place.map(|place| format!("{}:{}", place.line, place.column)),
            object: clean(&finding.object),
            message: clean(&finding.message),
            help: clean(&finding.help),
            line: place.map_or(1, |place| place.excerpt_line),
            excerpt: place.map(Excerpt::of).filter(|excerpt| !excerpt.text().trim().is_empty()),
        }
    }
}

/// Areas of one suite of which the same was checked.
#[derive(Serialize)]
struct Group<'a> {
    suite: &'a str,
    checks: Vec<&'a str>,
    areas: Vec<AreaView<'a>>,
}

#[derive(Serialize)]
struct AreaView<'a> {
    anchor: String,
    suite: &'a str,
    subject: &'a str,
    standing: &'static str,
    mark: char,
    cases_count: usize,
    counts: [(&'static str, usize); 4],
    duration: String,
    reasons: Vec<String>,
    cases: Vec<CaseView<'a>>,
}

#[derive(Serialize)]
struct CaseView<'a> {
    anchor: String,
    /// The first of its standing in its area: what the table's number links to.
    standing_anchor: Option<String>,
    name: &'a str,
    checks: &'a str,
    standing: &'static str,
    mark: char,
    word: &'static str,
    duration: String,
    explanation: String,
    is_problem: bool,
}

#[derive(Serialize)]
struct Problem<'a> {
    anchor: String,
    id: String,
    checks: &'a str,
    standing: &'static str,
    mark: char,
    word: &'static str,
    duration: String,
    explanation: String,
    rerun: Vec<String>,
}

impl<'a> Page<'a> {
    fn new(record: &'a RunRecord) -> Self {
        let counts = Counts::of(&record.cases);
        let standing = Standing::of_run(record);
        let selection = findings::select(record, ROOM);
        let files = selection.files.iter().map(|file| FileView {
            name: file
                .file
                .map_or_else(|| "In no file".to_owned(), |name| clean(&findings::path(&record.header, name))),
            findings: file.findings.iter().copied().map(FindingView::new).collect(),
        });
        Self {
            migrations: record.verdict.as_ref().map(|verdict| {
                let lines = Lines::of(verdict);
                Lines { rest: lines.rest.iter().map(|line| clean(line)).collect(), ..lines }
            }),
            found: selection.all.words(),
            found_elsewhere: selection.left_out.words(),
            files: files.collect(),
            record,
            started: record.header.started_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            duration: duration_text(record.footer.duration_ms),
            threads: plural(record.header.machine.parallelism, "thread"),
            server_ready: record.server.as_ref().map(|server| duration_text(server.ready_ms)),
            interrupted: record.footer.interrupted.map(crate::event::Signal::name),
            counts,
            standing: class(standing),
            verdict: match standing {
                Standing::Passed if counts.known > 0 => "All checks that ran passed, but for known failures",
                Standing::Passed if counts.not_run == 0 => "All checks passed",
                Standing::Passed => "All checks that ran passed",
                Standing::Failed => "A subject failed",
                Standing::Errored => "The environment or the harness is broken",
                Standing::NotRun if record.footer.interrupted.is_some() => "The run was interrupted",
                Standing::NotRun => "Nothing ran",
                Standing::Known => "All that ran failed as is known",
            },
            groups: groups(record),
            problems: problems(record).map(|case| Problem::new(case, &record.header)).collect(),
            chart: Chart::new(&record.latencies),
        }
    }
}

fn groups(record: &RunRecord) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for area in areas(record) {
        let checks = area.checks();
        let view = AreaView::new(&area);
        match groups.last_mut() {
            Some(group) if group.suite == area.suite && group.checks == checks => group.areas.push(view),
            _ => groups.push(Group { suite: area.suite, checks, areas: vec![view] }),
        }
    }
    groups
}

impl<'a> AreaView<'a> {
    fn new(area: &Area<'a>) -> Self {
        let anchor = format!("{}::{}", area.suite, area.subject);
        let counts = area.counts();
        let mut cases = area.cases.clone();
        cases.sort_by_key(|case| rank(Standing::of(case)));
        let mut reasons: Vec<String> = Vec::new();
        let mut above = None;
        let cases = cases
            .into_iter()
            .map(|case| {
                let standing = Standing::of(case);
                if let Outcome::Skipped { reason } = &case.outcome
                    && !reasons.contains(reason)
                {
                    reasons.push(reason.clone());
                }
                let first = above.replace(standing) != Some(standing);
                CaseView {
                    anchor: case.id.to_string(),
                    standing_anchor: first.then(|| format!("{anchor}.{}", class(standing))),
                    name: &case.id.case,
                    checks: &case.checks,
                    standing: class(standing),
                    mark: standing.mark(),
                    word: if case.known.is_some() { "known failure" } else { case.outcome.word() },
                    duration: duration_text(case.duration_ms),
                    explanation: clean(
                        &case.known.as_ref().map_or_else(|| case.outcome.explanation(), ToString::to_string),
                    ),
                    is_problem: matches!(standing, Standing::Failed | Standing::Errored),
                }
            })
            .collect();
        Self {
            suite: area.suite,
            subject: area.subject,
            standing: class(counts.standing()),
            mark: counts.standing().mark(),
            cases_count: counts.cases,
            counts: [
                (class(Standing::Passed), counts.passed),
                (class(Standing::Failed), counts.failed),
                (class(Standing::Errored), counts.errored),
                (class(Standing::NotRun), counts.not_run),
            ],
            duration: duration_text(area.duration_ms()),
            reasons,
            cases,
            anchor,
        }
    }
}

impl<'a> Problem<'a> {
    fn new(case: &'a CaseRecord, header: &RunHeader) -> Self {
        let standing = Standing::of(case);
        Self {
            anchor: format!("problem::{}", case.id),
            id: case.id.to_string(),
            checks: &case.checks,
            standing: class(standing),
            mark: standing.mark(),
            word: case.outcome.word(),
            duration: duration_text(case.duration_ms),
            explanation: clean(&explanation_beside_findings(case)),
            rerun: [rerun_commands(&header.command, &case.id, header.seed), case.kept.clone()].concat(),
        }
    }
}

/// Latencies on a common logarithmic axis: batches of one row and of hundreds are decades apart.
#[derive(Serialize)]
struct Chart {
    ticks: Vec<Tick>,
    workloads: Vec<Workload>,
}

#[derive(Serialize)]
struct Tick {
    percent: f64,
    label: String,
}

#[derive(Serialize)]
struct Workload {
    title: String,
    rows: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    batch_rows: usize,
    workers: usize,
    p50: String,
    p95: String,
    p99: String,
    max: String,
    rows_per_second: String,
    iterations: u64,
    /// Where the bar is, in percent of the axis.
    p50_percent: f64,
    p95_percent: f64,
    p99_percent: f64,
}

impl Chart {
    fn new(latencies: &[LatencyRecord]) -> Option<Self> {
        let decades = |value: f64| value.max(0.01).log10();
        let low = latencies.iter().map(|l| decades(l.p50_us).floor()).min_by(f64::total_cmp)?;
        let high = latencies.iter().map(|l| decades(l.p99_us).ceil()).max_by(f64::total_cmp)?.max(low + 1.0);
        let percent = |value: f64| ((decades(value) - low) / (high - low) * 1_000.0).round() / 10.0;
        let ticks = std::iter::successors(Some(low), |decade| Some(decade + 1.0))
            .take_while(|decade| *decade <= high)
            // A record may hold any number; an axis has room for a few.
            .take(12)
            .map(|decade| Tick { percent: percent(10_f64.powf(decade)), label: tick_label(decade) })
            .collect();
        let mut workloads: Vec<Workload> = Vec::new();
        for latency in latencies {
            let bar = Bar {
                batch_rows: latency.batch_rows,
                workers: latency.workers,
                p50: latency_text(latency.p50_us),
                p95: latency_text(latency.p95_us),
                p99: latency_text(latency.p99_us),
                max: latency_text(latency.max_us),
                rows_per_second: rate_text(latency.rows_per_second),
                iterations: latency.iterations,
                p50_percent: percent(latency.p50_us),
                p95_percent: percent(latency.p95_us),
                p99_percent: percent(latency.p99_us),
            };
            let title = latency_title(latency);
            match workloads.last_mut() {
                Some(last) if last.title == title => last.rows.push(bar),
                _ => workloads.push(Workload { title, rows: vec![bar] }),
            }
        }
        Some(Self { ticks, workloads })
    }
}

/// `1 µs`, `10 ms`: a power of ten microseconds.
fn tick_label(decade: f64) -> String {
    let text = latency_text(10_f64.powf(decade));
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "passed",
        Standing::Failed => "failed",
        Standing::Errored => "errored",
        Standing::NotRun => "not-run",
        Standing::Known => "known",
    }
}

/// What needs attention first.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Failed => 0,
        Standing::Errored => 1,
        Standing::NotRun => 2,
        Standing::Known => 3,
        Standing::Passed => 4,
    }
}
