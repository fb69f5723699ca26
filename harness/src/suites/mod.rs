//! The suites.

pub mod explanations;
pub mod latency;
pub mod migrations;
pub mod repositories;

use crate::suite::{PlannedCase, Suite};

/// Every suite, in the order in which they are reported.
#[must_use]
pub fn all() -> Vec<&'static dyn Suite> {
    vec![
        &migrations::MigrationSuite,
        &repositories::RepositorySuite,
        &explanations::ExplanationSuite,
        &latency::LatencySuite,
    ]
}

/// Every case of every suite.
#[must_use]
pub fn plan() -> Vec<PlannedCase> {
    all().into_iter().flat_map(Suite::plan).collect()
}
