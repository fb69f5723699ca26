//! The repositories of experiments, models, training runs, deployments and services: on Postgres they do what they do
//! in memory, also for many at once and when something goes wrong.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

#[path = "layer_a/both.rs"]
mod both;
#[path = "layer_a/failures.rs"]
mod failures;
#[path = "layer_a/random.rs"]
mod random;
#[path = "layer_a/scenarios.rs"]
mod scenarios;
#[path = "layer_a/statements.rs"]
mod statements;
