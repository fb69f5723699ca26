//! Which cases: by suite, by batch, by name.

use std::fmt::Write as _;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use proofmark_harness::report::plural;
use proofmark_harness::suite::{Batch, PlannedCase};
use proofmark_harness::suites;

use super::error::CliError;

/// All cases that every given option allows.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only the cases of this suite; may be repeated
    #[arg(long = "suite", value_name = "SUITE", value_parser = PossibleValuesParser::new(suite_names()))]
    suites: Vec<String>,
    /// Only the cases of this batch; may be repeated
    #[arg(
        long = "batch",
        value_name = "BATCH",
        value_parser = PossibleValuesParser::new(Batch::ALL.map(Batch::name)).try_map(batch),
    )]
    batches: Vec<Batch>,
    #[command(flatten)]
    pattern: Pattern,
}

/// Cases by name.
#[derive(Debug, Args)]
pub(crate) struct Pattern {
    /// Only the case of this name (suite::subject::case), else those whose name contains it; `*` stands for
    /// anything
    #[arg(long, value_name = "PATTERN")]
    case: Option<String>,
}

impl Pattern {
    /// The cases of a plan that it names, in its order.
    fn retain(&self, cases: &mut Vec<PlannedCase>) {
        let Some(pattern) = &self.case else { return };
        let is_name = cases.iter().any(|case| case.id.to_string() == *pattern);
        cases.retain(|case| {
            let name = case.id.to_string();
            if is_name { name == *pattern } else { matches(&name, pattern) }
        });
    }

    /// The cases of a plan that it names, at least one.
    pub(crate) fn apply(&self, plan: Vec<PlannedCase>) -> Result<Vec<PlannedCase>, CliError> {
        let known = known(&plan);
        let mut cases = plan;
        self.retain(&mut cases);
        if cases.is_empty() {
            return Err(CliError::Nothing(format!("no case matches{}; there are{known}", self.describe())));
        }
        Ok(cases)
    }

    fn describe(&self) -> String {
        self.case.as_ref().map(|pattern| format!(" --case {pattern:?}")).unwrap_or_default()
    }
}

impl Selection {
    /// The selected cases of a plan, in its order.
    pub(crate) fn apply(&self, plan: Vec<PlannedCase>) -> Result<Vec<PlannedCase>, CliError> {
        let known = known(&plan);
        let mut cases = plan;
        self.pattern.retain(&mut cases);
        cases.retain(|case| {
            (self.suites.is_empty() || self.suites.contains(&case.id.suite))
                && (self.batches.is_empty() || self.batches.contains(&case.batch))
        });
        if cases.is_empty() {
            return Err(CliError::Nothing(format!("no case matches{}; there are{known}", self.describe())));
        }
        Ok(cases)
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for suite in &self.suites {
            let _ = write!(text, " --suite {suite}");
        }
        for batch in &self.batches {
            let _ = write!(text, " --batch {}", batch.name());
        }
        text.push_str(&self.pattern.describe());
        text
    }
}

fn suite_names() -> Vec<&'static str> {
    suites::all().into_iter().map(|suite| suite.name()).collect()
}

fn batch(name: String) -> Result<Batch, String> {
    Batch::ALL.into_iter().find(|batch| batch.name() == name).ok_or_else(|| format!("no batch {name:?}"))
}

/// The areas of a plan with their numbers of cases.
fn known(plan: &[PlannedCase]) -> String {
    let mut areas: Vec<(String, Batch, usize)> = Vec::new();
    for case in plan {
        let area = format!("{}::{}", case.id.suite, case.id.subject);
        match areas.iter_mut().find(|(name, batch, _)| *name == area && *batch == case.batch) {
            Some((.., count)) => *count += 1,
            None => areas.push((area, case.batch, 1)),
        }
    }
    if areas.is_empty() {
        return " no cases at all".to_owned();
    }
    areas.iter().fold(String::new(), |text, (name, batch, count)| {
        format!("{text}\n  {name}: {} in batch {}", plural(*count, "case"), batch.name())
    })
}

/// Whether a name contains a pattern in which `*` stands for anything.
fn matches(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    // The first place is the best: what comes before a part is `*` or the open beginning.
    for part in pattern.split('*') {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let name = "repositories::memory::finds_by_tag";
        for pattern in ["", "*", "memory", name, "repositories::*::finds", "re*mem*tag", "*tag"] {
            assert!(matches(name, pattern), "{pattern}");
        }
        for pattern in ["postgres", "tag*finds", "memory*memory", "Memory"] {
            assert!(!matches(name, pattern), "{pattern}");
        }
    }
}
