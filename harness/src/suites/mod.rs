//! The suites.

pub mod explanations;
pub mod latency;
pub mod migrations;
pub mod migrators;
pub mod repositories;

use crate::suite::{PlannedCase, Suite};

/// Every suite, in the order in which they are reported.
#[must_use]
pub fn all() -> Vec<&'static dyn Suite> {
    vec![
        &migrations::MigrationSuite,
        &migrators::MigratorsSuite,
        &repositories::RepositorySuite,
        &explanations::ExplanationSuite,
        &latency::LatencySuite,
    ]
}

/// Every case of every suite, with what is known of its failure.
#[must_use]
pub fn plan() -> Vec<PlannedCase> {
    let mut plan = all().into_iter().flat_map(Suite::plan).collect();
    migrators::MigratorsSuite.add_known_failures(&mut plan);
    plan
}
