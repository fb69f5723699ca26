//! Proofmark's harness: conformance suites, property tests and latency benchmarks for the MLOps layer of a
//! platform on Postgres.

mod age;
pub mod case;
pub mod context;
pub mod database;
pub mod environment;
pub mod event;
pub mod exit;
pub mod faults;
pub mod fixture;
pub mod known;
pub mod libtest;
pub mod migration_set;
pub mod migrations;
pub mod mutant;
pub mod oracle;
mod panic;
pub mod property;
pub mod redact;
pub mod report;
mod role;
pub mod runner;
pub mod schema;
pub mod server;
pub mod session;
pub mod strategy;
pub mod suite;
pub mod suites;
pub mod supervisor;
pub mod workload;

pub use database::TestDatabase;
pub use migration_set::MigrationSet as Migrations;

/// An error and its causes on one line, from the outermost to the innermost.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Libraries often repeat their cause in their own message.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
