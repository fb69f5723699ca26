//! Known failures: cases that fail because of a defect elsewhere, each with the place where it is reported.
//!
//! They are run as all others are. The list cannot go stale: a case that passes although it is listed fails the run, so
//! does a name that no case has, and a listed case that fails for another reason than the known one.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::event::{KnownFailure, Outcome};
use crate::suite::PlannedCase;

/// The list, relative to the checkout.
pub const FILE: &str = "harness/known-failures.toml";

/// The most entries.
const ENTRIES_MAX: usize = 1_000;

static EMBEDDED: LazyLock<Result<KnownFailures, KnownFailuresError>> =
    LazyLock::new(|| KnownFailures::parse(include_str!("../known-failures.toml")));

/// Why a list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KnownFailuresError {
    /// Not TOML, or not of the right form.
    #[error("expected tables [[failure]] with case, says, reason and upstream, found: {0}")]
    Malformed(String),
    /// A field says nothing.
    #[error("expected a text for {field} of {case:?}, found none")]
    Empty {
        /// The case.
        case: String,
        /// The field.
        field: &'static str,
    },
    /// Nobody can look there.
    #[error("expected an upstream address that begins with https:// for {case:?}, found {found:?}")]
    Upstream {
        /// The case.
        case: String,
        /// What is there.
        found: String,
    },
    /// A case has two entries.
    #[error("expected one entry for {case:?}, found more")]
    Twice {
        /// The case.
        case: String,
    },
    /// A list of everything is none.
    #[error("expected at most {ENTRIES_MAX} entries, found {found}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}

/// What is known about one case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The case, as `suite::subject::case`.
    pub case: String,
    /// A fragment of the failure's text: the case must fail for the known reason.
    pub says: String,
    /// What is wrong elsewhere.
    pub reason: String,
    /// Where that is reported.
    pub upstream: String,
}

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailures {
    #[serde(default)]
    failure: Vec<Known>,
}

impl KnownFailures {
    /// The project's own list.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn embedded() -> Result<Self, KnownFailuresError> {
        let mut list = EMBEDDED.clone()?;
        // What is not built in cannot be run, and is not planned.
        list.failure
            .retain(|known| cfg!(feature = "migrators") || !known.case.starts_with("migrators::refinery::"));
        Ok(list)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When it is no TOML, or an entry says too little or is there twice.
    pub fn parse(text: &str) -> Result<Self, KnownFailuresError> {
        let list: Self = toml::from_str(text).map_err(|error| KnownFailuresError::Malformed(error.to_string()))?;
        if list.failure.len() > ENTRIES_MAX {
            return Err(KnownFailuresError::TooMany { found: list.failure.len() });
        }
        let mut cases = HashSet::new();
        for Known { case, says, reason, upstream } in &list.failure {
            for (field, text) in [("case", case), ("says", says), ("reason", reason)] {
                if text.trim().is_empty() {
                    return Err(KnownFailuresError::Empty { case: case.clone(), field });
                }
            }
            if !upstream.starts_with("https://") {
                return Err(KnownFailuresError::Upstream { case: case.clone(), found: upstream.clone() });
            }
            if !cases.insert(case) {
                return Err(KnownFailuresError::Twice { case: case.clone() });
            }
        }
        Ok(list)
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Known] {
        &self.failure
    }

    /// Tells the cases of a plan what is known about them, and returns the names that no case has.
    pub fn mark(&self, plan: &mut [PlannedCase]) -> Vec<String> {
        let mut unknown = Vec::new();
        for known in &self.failure {
            match plan.iter_mut().find(|case| case.id.to_string() == known.case) {
                Some(case) => case.known = Some(known.clone()),
                None => unknown.push(known.case.clone()),
            }
        }
        unknown
    }
}

impl Known {
    /// What becomes of an outcome of its case: the failure that is known stays a failure, and is told as such.
    pub(crate) fn judge(&self, outcome: Outcome) -> (Outcome, Option<KnownFailure>) {
        match outcome {
            Outcome::Passed => {
                let message = format!(
                    "expected the known failure {:?} ({}), found that the case passes: remove it from {FILE}",
                    self.says, self.upstream
                );
                (Outcome::Failed { message, detail: None }, None)
            }
            Outcome::Failed { message, detail } => {
                let is_known = message.contains(&self.says)
                    || detail.as_ref().is_some_and(|detail| detail.contains(&self.says));
                let known = KnownFailure { reason: self.reason.clone(), upstream: self.upstream.clone() };
                if is_known {
                    return (Outcome::Failed { message, detail }, Some(known));
                }
                let message = format!("expected the known failure {:?}, found another: {message}", self.says);
                (Outcome::Failed { message, detail }, None)
            }
            other => (other, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "[[failure]]\ncase = 'a::b::c'\nsays = 's'\nreason = 'r'\nupstream = 'https://x.example/1'\n";

    #[test]
    fn a_list_that_says_too_little_is_refused() {
        assert_eq!(KnownFailures::parse(ENTRY).unwrap().entries().len(), 1);
        assert_eq!(KnownFailures::parse("").unwrap(), KnownFailures::default());
        let refused = |text: &str| KnownFailures::parse(text).unwrap_err().to_string();
        assert!(refused("[[failures]]").contains("unknown field"));
        assert!(refused("[[failure]]\ncase = 'a'").contains("missing field"));
        assert!(refused(&ENTRY.replace("'s'", "' '")).contains("text for says"));
        assert!(refused(&ENTRY.replace("https", "http")).contains("https://"));
        assert!(refused(&format!("{ENTRY}{ENTRY}")).contains("one entry"));
    }

    #[test]
    fn only_the_known_failure_is_known() {
        let list = KnownFailures::parse(ENTRY).unwrap();
        let known = &list.entries()[0];
        let failed = |message: &str| Outcome::Failed { message: message.to_owned(), detail: None };
        assert!(matches!(known.judge(failed("it says so")), (Outcome::Failed { .. }, Some(_))));
        let (outcome, is_known) = known.judge(failed("nothing"));
        assert!(is_known.is_none() && outcome.explanation().contains("found another: nothing"));
        let (outcome, is_known) = known.judge(Outcome::Passed);
        assert!(is_known.is_none() && outcome.explanation().contains("remove it from"), "{outcome:?}");
        let errored = Outcome::Errored { message: String::new() };
        assert_eq!(known.judge(errored.clone()), (errored, None));
    }

    #[test]
    fn the_projects_own_list_names_cases() {
        let mut plan = crate::suites::plan();
        assert_eq!(KnownFailures::embedded().unwrap().mark(&mut plan), Vec::<String>::new());
    }
}
