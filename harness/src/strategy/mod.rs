//! Strategies: generated data for property tests.

pub mod ensemble;
