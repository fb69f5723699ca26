//! The findings: a table for people, JSON for programs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::Result;

/// What a number is judged by.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    value: f64,
    /// The smallest and the largest of the samples, if the value is their median.
    range: Option<(f64, f64)>,
    target: Option<Target>,
    met: Option<bool>,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    date: String,
    processors: usize,
    #[serde(skip)]
    judge: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(judge: bool) -> Self {
        Self {
            date: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
            processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            judge,
            rows: Vec::new(),
        }
    }

    /// A number as it is.
    pub(crate) fn value(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        target: Option<Target>,
    ) {
        self.push(what.into(), unit, value, None, target);
    }

    /// The median of samples, with their range.
    pub(crate) fn median(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        samples: &[f64],
        target: Option<Target>,
    ) {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        if let (Some(least), Some(most)) = (sorted.first(), sorted.last()) {
            self.push(what.into(), unit, percentile(&sorted, 50), Some((*least, *most)), target);
        }
    }

    fn push(
        &mut self,
        what: String,
        unit: &'static str,
        value: f64,
        range: Option<(f64, f64)>,
        target: Option<Target>,
    ) {
        let met = target.filter(|_| self.judge).map(|target| match target {
            Target::AtMost(limit) => value <= limit,
            Target::AtLeast(limit) => value >= limit,
        });
        let row = Row { what, unit, value, range, target, met };
        println!("{row}");
        self.rows.push(row);
    }

    pub(crate) fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.met != Some(false))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)?)?)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = format!("{:.*}", if self.value < 100.0 { 2 } else { 0 }, self.value);
        write!(formatter, "{:<64} {value:>12} {:<7}", self.what, self.unit)?;
        if let Some((least, most)) = self.range {
            write!(formatter, " ({least:.2}-{most:.2})")?;
        }
        match (self.target, self.met) {
            (None, _) => Ok(()),
            (Some(Target::AtMost(limit)), met) => write!(formatter, " at most {limit}{}", verdict(met)),
            (Some(Target::AtLeast(limit)), met) => write!(formatter, " at least {limit}{}", verdict(met)),
        }
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => ": met",
        Some(false) => ": MISSED",
        None => "",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}, {} processors", self.date, self.processors)?;
        self.rows.iter().try_for_each(|row| writeln!(formatter, "{row}"))
    }
}

/// The percentile of sorted samples: the smallest of them that so many in a hundred do not exceed.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
