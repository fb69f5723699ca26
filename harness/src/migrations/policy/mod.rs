//! What to think of findings: levels, suppressions, and what was there before.
//!
//! A team says it in `proofmark.toml` ([`Config`]), beside the SQL ([`comments`]), or by a [`Baseline`].

pub mod baseline;
pub mod comments;
pub mod config;
mod names;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use baseline::{Baseline, BaselineError};
pub use config::{Config, ConfigError, FILE_NAME};

use comments::Allowance;
use names::matches;

use super::Project;
use crate::event::{Finding, Level, Waiver};

/// The check under which suppressions are reported that suppress nothing.
pub const SUPPRESSIONS_ARE_USED: &str = "suppressions_are_used";

/// What a team has decided. Clones share what is remembered of use.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    known: Vec<&'static str>,
    config: Config,
    allowances: Vec<Allowance>,
    malformed: Vec<Finding>,
    baseline: Baseline,
    used: Arc<Mutex<Used>>,
}

/// What has been used so far.
#[derive(Debug, Default)]
struct Used {
    suppressions: Vec<bool>,
    allowances: Vec<bool>,
    baseline: BTreeMap<baseline::Fingerprint, usize>,
}

impl Policy {
    /// Nothing is decided. The checks' names are those that comments may name; without any, all names are let pass.
    #[must_use]
    pub fn new(known: Vec<&'static str>) -> Self {
        Self { known, ..Self::default() }
    }

    /// The same with what a configuration says.
    #[must_use]
    pub fn with_config(self, config: Config) -> Self {
        Self { config, used: Arc::default(), ..self }
    }

    /// The same with what was there before.
    #[must_use]
    pub fn with_baseline(self, baseline: Baseline) -> Self {
        Self { baseline, used: Arc::default(), ..self }
    }

    /// The same with what comments in the files say.
    #[must_use]
    pub fn with_comments_of(self, project: &Project) -> Self {
        let (allowances, malformed) = comments::read(project, &self.known);
        Self { allowances, malformed, used: Arc::default(), ..self }
    }

    /// What the configuration says.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Comments that are meant to suppress something, and do not say what, or why.
    #[must_use]
    pub fn malformed(&self) -> &[Finding] {
        &self.malformed
    }

    /// The finding with the level that it has here, and whether it counts; nothing if its check is off.
    #[must_use]
    pub fn judge(&self, mut finding: Finding) -> Option<Finding> {
        if let Some(level) = self.config.levels.get(&finding.check) {
            finding.level = (*level)?;
        }
        if finding.waiver.is_none() {
            finding.waiver = self.waiver(&finding);
        }
        Some(finding)
    }

    fn waiver(&self, finding: &Finding) -> Option<Waiver> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.allowances.resize(self.allowances.len(), false);
        used.suppressions.resize(self.config.suppressions.len(), false);
        let mut waiver = None;
        for (allowance, used) in self.allowances.iter().zip(&mut used.allowances) {
            if allowance.covers(finding) {
                *used = true;
                let place = format!("{}:{}", allowance.place.file, allowance.place.line);
                waiver.get_or_insert(Waiver::Suppression { reason: allowance.reason.clone(), place });
            }
        }
        for (suppression, used) in self.config.suppressions.iter().zip(&mut used.suppressions) {
            if suppression.covers(finding) {
                *used = true;
                let place = suppression.place.clone();
                waiver.get_or_insert(Waiver::Suppression { reason: suppression.reason.clone(), place });
            }
        }
        if waiver.is_some() {
            return waiver;
        }
        let fingerprint = baseline::Fingerprint::of(finding);
        let allowed = self.baseline.count(&fingerprint);
        let seen = used.baseline.entry(fingerprint).or_default();
        *seen += 1;
        (*seen <= allowed).then_some(Waiver::Baseline)
    }

    /// What suppresses nothing, once all checks have been run.
    #[must_use]
    pub fn unused(&self) -> Vec<Finding> {
        self.unused_among(|_| true)
    }

    /// The same where only some checks have been run.
    #[must_use]
    pub fn unused_among(&self, has_run: impl Fn(&str) -> bool) -> Vec<Finding> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused = |flags: &[bool], index: usize| !flags.get(index).copied().unwrap_or(false);
        let mut findings = Vec::new();
        for (index, allowance) in self.allowances.iter().enumerate() {
            if is_unused(&used.allowances, index) && has_run(&allowance.check) {
                findings.push(Finding::new(
                    Level::Warning,
                    allowance.place.clone(),
                    format!("suppression of {}", allowance.check),
                    "expected a finding that the comment suppresses, found none",
                    "delete the comment",
                ));
            }
        }
        for (index, suppression) in self.config.suppressions.iter().enumerate() {
            if is_unused(&used.suppressions, index) && has_run(&suppression.check) {
                findings.push(Finding::new(
                    Level::Warning,
                    None,
                    format!("suppression of {}", suppression.check),
                    format!("expected a finding that {} suppresses, found none", suppression.place),
                    "delete it there",
                ));
            }
        }
        for (fingerprint, count) in self.baseline.entries() {
            let seen = used.baseline.get(fingerprint).copied().unwrap_or(0);
            if seen < count && has_run(&fingerprint.check) {
                findings.push(Finding::new(
                    Level::Note,
                    None,
                    format!("baseline of {}", fingerprint.check),
                    format!(
                        "expected {count} findings about {} in {} as in the baseline, found {seen}",
                        fingerprint.object, fingerprint.file
                    ),
                    "write the baseline again, so that they do not come back unseen",
                ));
            }
        }
        for finding in &mut findings {
            SUPPRESSIONS_ARE_USED.clone_into(&mut finding.check);
        }
        findings
            .into_iter()
            .filter_map(|finding| match self.config.levels.get(SUPPRESSIONS_ARE_USED) {
                Some(level) => level.map(|level| Finding { level, ..finding }),
                None => Some(finding),
            })
            .collect()
    }
}

impl config::Suppression {
    fn covers(&self, finding: &Finding) -> bool {
        let file = finding.place.as_ref().map_or("", |place| place.file.as_str());
        self.check == finding.check
            && self.file.as_deref().is_none_or(|glob| matches(glob, file))
            && self.object.as_deref().is_none_or(|glob| matches(glob, &finding.object))
    }
}

#[cfg(test)]
mod tests;
