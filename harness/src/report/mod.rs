//! Reports: each a pure function of a recorded run. What several of them show alike is worked out here.

pub mod findings;
#[cfg(feature = "cli")]
pub mod html;
pub mod json;
pub mod junit;
#[cfg(feature = "cli")]
mod labels;
mod pages;
pub mod sarif;
#[cfg(feature = "cli")]
pub mod terminal;
pub mod text;
#[cfg(feature = "cli")]
mod verdict;

use crate::event::{CaseRecord, LatencyRecord, Outcome, RUN_COMMAND, RunRecord};
use crate::suite::CaseId;

/// How many cases ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Counts {
    /// All.
    pub cases: usize,
    /// The claim holds.
    pub passed: usize,
    /// The subject is wrong: failed, panicked or timed out.
    pub failed: usize,
    /// The harness or its environment is broken.
    pub errored: usize,
    /// Not run.
    pub not_run: usize,
    /// Failed as is known and listed.
    pub known: usize,
}

impl Counts {
    /// Counts cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a CaseRecord>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            counts.cases += 1;
            match Standing::of(case) {
                Standing::Passed => counts.passed += 1,
                Standing::Failed => counts.failed += 1,
                Standing::Errored => counts.errored += 1,
                Standing::NotRun => counts.not_run += 1,
                Standing::Known => counts.known += 1,
            }
        }
        counts
    }

    /// The worst that happened, as one of its standings.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.errored > 0 {
            Standing::Errored
        } else if self.failed > 0 {
            Standing::Failed
        } else if self.known > 0 {
            Standing::Known
        } else if self.passed > 0 {
            Standing::Passed
        } else {
            Standing::NotRun
        }
    }
}

/// What a case, an area or a run amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All that ran passed.
    Passed,
    /// A subject is wrong.
    Failed,
    /// The harness or its environment is broken.
    Errored,
    /// Nothing ran.
    NotRun,
    /// Some or all failed, but only as is known.
    Known,
}

impl Standing {
    /// The standing of one case.
    #[must_use]
    pub fn of(case: &CaseRecord) -> Self {
        match case.outcome {
            _ if case.known.is_some() => Self::Known,
            Outcome::Passed => Self::Passed,
            Outcome::Errored { .. } => Self::Errored,
            Outcome::Skipped { .. } => Self::NotRun,
            Outcome::Failed { .. } | Outcome::Panicked { .. } | Outcome::TimedOut { .. } => Self::Failed,
        }
    }

    /// The standing of a whole run: one that was interrupted has not passed, however well it began.
    #[must_use]
    pub fn of_run(record: &RunRecord) -> Self {
        let counts = Counts::of(&record.cases);
        match counts.standing() {
            Self::Passed | Self::Known if record.footer.interrupted.is_some() => Self::NotRun,
            // What is known fails no run.
            Self::Known if counts.passed > 0 => Self::Passed,
            standing => standing,
        }
    }

    /// A mark that can be told apart without colour.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Passed => '✓',
            Self::Failed => '✗',
            Self::Errored => '!',
            Self::NotRun => '-',
            Self::Known => '~',
        }
    }
}

/// The cases of one suite against one subject: a row of the audit table.
#[derive(Debug)]
pub struct Area<'a> {
    /// The suite.
    pub suite: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The cases behind the row, in the record's order.
    pub cases: Vec<&'a CaseRecord>,
}

impl<'a> Area<'a> {
    /// How its cases ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.cases.iter().copied())
    }

    /// The time that its cases took, in milliseconds; they may have run side by side.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        total_ms(self.cases.iter().copied())
    }

    /// What was claimed about the subject, each claim once.
    #[must_use]
    pub fn checks(&self) -> Vec<&'a str> {
        let mut checks = Vec::new();
        for case in &self.cases {
            if !checks.contains(&case.checks.as_str()) {
                checks.push(case.checks.as_str());
            }
        }
        checks
    }
}

/// The areas of a run in the order in which they first appear, those of a suite side by side.
#[must_use]
pub fn areas(record: &RunRecord) -> Vec<Area<'_>> {
    let mut areas: Vec<Area<'_>> = Vec::new();
    for case in &record.cases {
        let (suite, subject) = (case.id.suite.as_str(), case.id.subject.as_str());
        if let Some(area) = areas.iter_mut().find(|area| area.suite == suite && area.subject == subject) {
            area.cases.push(case);
        } else {
            let beside = areas.iter().rposition(|area| area.suite == suite).map_or(areas.len(), |at| at + 1);
            areas.insert(beside, Area { suite, subject, cases: vec![case] });
        }
    }
    areas
}

/// The cases that did not pass although they ran, in the record's order.
pub fn problems(record: &RunRecord) -> impl Iterator<Item = &CaseRecord> {
    record.cases.iter().filter(|case| matches!(Standing::of(case), Standing::Failed | Standing::Errored))
}

/// What there is to say about a case where its findings are shown as well, with their places.
#[must_use]
pub fn explanation_beside_findings(case: &CaseRecord) -> String {
    match (&case.outcome, case.findings.iter().filter(|finding| finding.counts()).count()) {
        (Outcome::Failed { .. }, count @ 1..) => format!("{} among the findings", plural(count, "error")),
        (outcome, _) => outcome.explanation(),
    }
}

/// The commands that repeat one case with the same generated data: the one that ran it, and where every case is a test,
/// the test.
#[must_use]
pub fn rerun_commands(command: &str, id: &CaseId, seed: u64) -> Vec<String> {
    let mut commands = vec![format!("{command} --case '{id}' --seed {seed}")];
    if command == RUN_COMMAND {
        commands.push(format!("PROOFMARK_SEED={seed} cargo nextest run -E 'test(={id})'"));
    }
    commands
}

/// What a group of latencies is called: the workload without the sizes that stand beside it anyway, and the model
/// where that says more.
#[must_use]
pub fn latency_title(latency: &LatencyRecord) -> String {
    let sizes = format!("-rows-{}-workers-{}", latency.batch_rows, latency.workers);
    let workload = latency.workload.strip_suffix(&sizes).unwrap_or(&latency.workload);
    if workload == latency.model { workload.to_owned() } else { format!("{workload} · {}", latency.model) }
}

/// The time that cases took together, in milliseconds.
fn total_ms<'a>(cases: impl IntoIterator<Item = &'a CaseRecord>) -> u64 {
    cases.into_iter().fold(0, |sum, case| sum.saturating_add(case.duration_ms))
}

/// A time to be read: `12 ms`, `1.24 s`, `2 min 05 s`.
#[must_use]
pub fn duration_text(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// A latency to be read, with three digits or so: `4.12 µs`, `87.0 µs`, `1.52 ms`.
#[must_use]
pub fn latency_text(us: f64) -> String {
    let (value, unit) = match us {
        _ if us >= 1e6 => (us / 1e6, "s"),
        _ if us >= 1e3 => (us / 1e3, "ms"),
        _ => (us, "µs"),
    };
    let decimals = match value {
        _ if value >= 100.0 => 0,
        _ if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// A rate to be read: `1,204,311`.
#[must_use]
pub fn rate_text(per_second: f64) -> String {
    let digits = format!("{per_second:.0}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits;
    }
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 case`, `2 cases`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::event::{MachineRecord, RunHeader};
    use crate::suite::Batch;

    /// A run of one case that failed.
    pub(crate) fn record() -> RunRecord {
        let mut record = RunRecord::new(RunHeader {
            proofmark_version: "0.0.0".to_owned(),
            started_at: chrono::DateTime::UNIX_EPOCH,
            command: "proofmark migrations db".to_owned(),
            directory: Some("db".to_owned()),
            seed: 1,
            planned: 1,
            machine: MachineRecord { platform: String::new(), processor: String::new(), parallelism: 1 },
        });
        record.cases.push(CaseRecord {
            id: CaseId { suite: "migrations".to_owned(), subject: "db".to_owned(), case: "keys".to_owned() },
            checks: "keys are indexed".to_owned(),
            batch: Batch::Database,
            outcome: Outcome::Failed { message: "m".to_owned(), detail: None },
            known: None,
            duration_ms: 0,
            kept: Vec::new(),
            findings: Vec::new(),
        });
        record
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1_000, 59_999, 60_000].map(duration_text),
            ["0 ms", "999 ms", "1.00 s", "59.99 s", "1 min 00 s"]
        );
        assert_eq!(
            [0.5, 12.34, 999.0, 1_520.0, 2_500_000.0].map(latency_text),
            ["0.50 µs", "12.3 µs", "999 µs", "1.52 ms", "2.50 s"]
        );
        assert_eq!(
            [0.0, 999.0, 1_000.4, 12_345_678.0, f64::NAN, f64::INFINITY].map(rate_text),
            ["0", "999", "1,000", "12,345,678", "NaN", "inf"]
        );
    }
}
