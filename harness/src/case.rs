//! A case: one named claim about a subject, and the two ways in which it may not hold.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::environment::EnvironmentError;
use crate::suites::repositories::kit::Ability;

/// What a case returns: nothing when the claim holds.
pub type CaseResult = Result<(), CaseError>;

/// One claim about subjects of type `S`.
///
/// Cases stand in explicit lists (`const CASES: &[Case<S>]`), so that a forgotten one is dead code, the
/// order is stable, and a search finds it. The [`case!`](crate::case!) macro makes one from an `async fn`.
pub struct Case<S> {
    /// The name, unique within its suite: the last part of `suite::subject::case`.
    pub name: &'static str,
    /// What is checked, as a short phrase for the audit table.
    pub checks: &'static str,
    /// What the subject must be able to do; a gap is found when the run is planned, not while it runs.
    pub requires: &'static [Capability],
    /// Runs the case against a subject that it owns.
    pub run: fn(S) -> BoxFuture<'static, CaseResult>,
}

/// Makes a [`Case`] from an `async fn(S) -> CaseResult`; its name is the function's.
///
/// `case!(function, "what it checks")` or `case!(function, "what it checks", requires: [Capability, ...])`.
#[macro_export]
macro_rules! case {
    ($function:ident, $checks:literal) => {
        $crate::case!($function, $checks, requires: [])
    };
    ($function:ident, $checks:literal, requires: [$($capability:expr),* $(,)?]) => {
        $crate::case::Case {
            name: stringify!($function),
            checks: $checks,
            requires: &[$($capability),*],
            run: |subject| ::std::boxed::Box::pin($function(subject)),
        }
    };
}

/// Something that not every subject offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The subject is not itself the oracle that the case compares with.
    IndependentOracle,
    /// A committed schema snapshot exists for every version.
    SchemaSnapshots,
    /// Migrations have down scripts.
    DownScripts,
    /// Some scripts are run again whenever they have changed.
    RepeatableScripts,
    /// The migrations are a set that sqlx's migrator applies.
    SqlxMigrator,
    /// A server can be had that nobody else uses, and that may be crashed.
    ServerToCrash,
    /// The explainer honours a time limit.
    TimeLimit,
    /// The explainer can use a chosen number of workers.
    Workers,
    /// The explainer reports failures row by row.
    PartialFailure,
    /// The migrator can revert what it applied.
    Undo,
    /// The migrator can run a file outside a transaction.
    OutsideTransaction,
    /// A repository, or the machine that its cases run on, can do this.
    Repository(Ability),
}

impl Capability {
    /// All of them, but those of repositories.
    pub const ALL: [Self; 11] = [
        Self::IndependentOracle,
        Self::SchemaSnapshots,
        Self::DownScripts,
        Self::RepeatableScripts,
        Self::SqlxMigrator,
        Self::ServerToCrash,
        Self::TimeLimit,
        Self::Workers,
        Self::PartialFailure,
        Self::Undo,
        Self::OutsideTransaction,
    ];

    /// The name in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IndependentOracle => "independent_oracle",
            Self::SchemaSnapshots => "schema_snapshots",
            Self::DownScripts => "down_scripts",
            Self::RepeatableScripts => "repeatable_scripts",
            Self::SqlxMigrator => "sqlx_migrator",
            Self::ServerToCrash => "server_to_crash",
            Self::TimeLimit => "time_limit",
            Self::Workers => "workers",
            Self::PartialFailure => "partial_failure",
            Self::Undo => "undo",
            Self::OutsideTransaction => "outside_transaction",
            Self::Repository(ability) => ability.name(),
        }
    }

    /// Why a case is not run when the capability is missing.
    #[must_use]
    pub fn missing(self) -> &'static str {
        match self {
            Self::IndependentOracle => "the subject is itself the oracle of this case",
            Self::SchemaSnapshots => "no schema snapshots are committed for this subject",
            Self::DownScripts => "the subject declares no down scripts",
            Self::RepeatableScripts => "no script is to be run again when it has changed",
            Self::SqlxMigrator => "the case is about the migrator of sqlx, and this is not its layout",
            Self::ServerToCrash => "the server was chosen, and may not be crashed",
            Self::TimeLimit => "the explainer declares no time limit",
            Self::Workers => "the explainer declares no choice of workers",
            Self::PartialFailure => "the explainer declares no failures by row",
            Self::Undo => "the migrator cannot revert what it applied",
            Self::OutsideTransaction => "the migrator runs every file in a transaction",
            Self::Repository(ability) => ability.missing(),
        }
    }
}

/// Why a case did not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The subject is wrong.
    #[error("{0}")]
    Failed(Failure),
    /// The harness or its environment is broken: this says nothing about the subject.
    #[error("{0}")]
    Harness(String),
}

/// How a subject broke a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One line: what was expected, and what was found.
    pub message: String,
    /// More, where it helps: a difference, a minimal input.
    pub detail: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.detail {
            Some(detail) => write!(formatter, "\n{detail}"),
            None => Ok(()),
        }
    }
}

impl CaseError {
    /// The subject is wrong, in one line.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(Failure { message: message.into(), detail: None })
    }

    /// The subject is wrong, with a longer text to look at.
    pub fn failed_with(message: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Failed(Failure { message: message.into(), detail: Some(detail.into()) })
    }

    /// The harness is broken.
    pub fn harness(error: impl fmt::Display) -> Self {
        Self::Harness(error.to_string())
    }
}

impl From<EnvironmentError> for CaseError {
    /// Migrations that the server refuses are the subject's; anything else that is missing is the environment's.
    fn from(error: EnvironmentError) -> Self {
        let text = crate::error_chain(&error);
        match &error {
            EnvironmentError::Migration { .. } => Self::failed(text),
            _ => Self::Harness(text),
        }
    }
}

/// Turns what a subject returned into what the case concludes from it.
pub trait Expect<T> {
    /// The value; an error of the subject is a failure that names `action`.
    ///
    /// # Errors
    /// [`CaseError::Failed`] when the subject returned an error.
    fn expect_ok(self, action: &str) -> Result<T, CaseError>;
}

impl<T, E: std::error::Error> Expect<T> for Result<T, E> {
    fn expect_ok(self, action: &str) -> Result<T, CaseError> {
        self.map_err(|error| {
            CaseError::failed(format!("{action}: expected success, found: {}", crate::error_chain(&error)))
        })
    }
}

/// Fails the case unless the condition holds: `check!(condition, "expected ..., found {x}")`.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return ::core::result::Result::Err($crate::case::CaseError::failed(format!($($message)+)));
        }
    };
}

/// Fails the case unless both are equal: `check_eq!(found, expected, "what they are")`.
#[macro_export]
macro_rules! check_eq {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if !(*found == *expected) {
                    return ::core::result::Result::Err($crate::case::CaseError::failed(format!(
                        "{}: expected {expected:?}, found {found:?}",
                        format_args!($($what)+),
                    )));
                }
            }
        }
    };
}
