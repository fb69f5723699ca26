//! The reference MLOps layer of Proofmark: what the conformance suites are proved against.

pub mod domain;
pub mod explain;
pub mod model;
pub mod repository;
