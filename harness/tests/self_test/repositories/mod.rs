//! Faulty repositories: those of services and metrics, and those for the kit.

pub(crate) mod kit;
mod services;

pub(crate) use services::MUTANTS;
