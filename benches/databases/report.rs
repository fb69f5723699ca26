//! The findings: a table for people, JSON for programs.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::{Plan, Result};

/// What a median is judged by.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Of each and every sample; missed, it fails the bench.
    None,
}

#[derive(Debug, Serialize)]
struct Row {
    part: &'static str,
    what: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    target: Option<Target>,
    /// Missing where times are not judged.
    met: Option<bool>,
    samples: Vec<f64>,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    date: String,
    processors: usize,
    seed: u64,
    tests: u32,
    rounds: u32,
    moments: u32,
    #[serde(skip)]
    judge_times: bool,
    rows: Vec<Row>,
    /// What must not be and was, in words.
    defects: Vec<String>,
}

impl Report {
    pub(crate) fn new(seed: u64, plan: Plan, judge_times: bool) -> Self {
        Self {
            date: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
            processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            seed,
            tests: plan.tests,
            rounds: plan.rounds,
            moments: plan.moments,
            judge_times,
            rows: Vec::new(),
            defects: Vec::new(),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds measured values; without any, nothing.
    pub(crate) fn add(
        &mut self,
        part: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        samples: Vec<f64>,
        target: Option<Target>,
    ) {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return };
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            sorted[middle - 1].midpoint(sorted[middle])
        } else {
            sorted[middle]
        };
        let met = match target {
            Some(Target::None) => Some(max <= 0.0),
            Some(Target::AtMost(most)) if self.judge_times => Some(median <= most),
            Some(Target::AtLeast(least)) if self.judge_times => Some(median >= least),
            Some(Target::AtMost(_) | Target::AtLeast(_)) | None => None,
        };
        self.rows.push(Row { part, what: what.into(), unit, median, min, max, target, met, samples });
    }

    /// Adds something that must not be.
    pub(crate) fn defect(&mut self, what: String) {
        println!("  DEFECT: {what}");
        self.defects.push(what);
    }

    /// Whether there is no defect. A time that misses its target is none: the machine may be to blame.
    pub(crate) fn is_sound(&self) -> bool {
        self.defects.is_empty()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| part | what | median | min–max | n | target | verdict |")?;
        writeln!(formatter, "|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let Row { part, what, unit, median, min, max, .. } = row;
            let target = match row.target {
                Some(Target::AtMost(most)) => format!("≤ {most} {unit}"),
                Some(Target::AtLeast(least)) => format!("≥ {least} {unit}"),
                Some(Target::None) => "none".to_owned(),
                None => String::new(),
            };
            let verdict = row.met.map_or("", |met| if met { "met" } else { "MISSED" });
            // Counts are whole numbers.
            let digits = if matches!(*unit, "" | "ms") { 0 } else { 2 };
            writeln!(
                formatter,
                "| {part} | {what} | {median:.digits$} {unit} | {min:.digits$}–{max:.digits$} | {} | {target} | {verdict} |",
                row.samples.len()
            )?;
        }
        for defect in &self.defects {
            writeln!(formatter, "\nDEFECT: {defect}")?;
        }
        Ok(())
    }
}
