//! A suite turns its cases and subjects into a plan; planning does no I/O.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::case::{Capability, Case, CaseResult};
use crate::context::CaseContext;
use crate::known::Known;

/// Cases about one kind of subject.
pub trait Suite: Sync {
    /// The first part of every case's name.
    fn name(&self) -> &'static str;

    /// Every case for every subject, runnable or not, in a stable order. Must not do any I/O: a test runner
    /// asks for the list once per test.
    fn plan(&self) -> Vec<PlannedCase>;
}

/// The name of a planned case: `suite::subject::case`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaseId {
    /// The suite.
    pub suite: String,
    /// The subject that the case is run against.
    pub subject: String,
    /// The case.
    pub case: String,
}

impl fmt::Display for CaseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}::{}::{}", self.suite, self.subject, self.case)
    }
}

/// Cases that run together, with the concurrency that suits what they use. Batches run one after another in
/// the order of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Batch {
    /// Cases that wait for a database server.
    Database,
    /// Cases that keep a processor busy.
    Compute,
    /// Cases that measure time: one at a time, with nothing beside them.
    Latency,
}

impl Batch {
    /// All batches, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Database, Self::Compute, Self::Latency];

    /// The name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Compute => "compute",
            Self::Latency => "latency",
        }
    }
}

/// One case against one subject, ready to run or with the reason why it is not.
#[derive(Clone)]
pub struct PlannedCase {
    /// The name.
    pub id: CaseId,
    /// What is checked.
    pub checks: &'static str,
    /// With which others it runs.
    pub batch: Batch,
    /// What the subject must be able to do.
    pub requires: &'static [Capability],
    /// Why it will not run, if so.
    pub skip: Option<String>,
    /// What is known about its failure, if that is expected.
    pub known: Option<Known>,
    run: Arc<dyn Fn(CaseContext) -> BoxFuture<'static, CaseResult> + Send + Sync>,
}

impl PlannedCase {
    /// Plans one case. `subject` makes the subject when the case runs; it may fail, and what it needs from the
    /// environment comes through the context.
    pub fn new<S, F>(
        suite: &dyn Suite,
        subject_name: &str,
        case: &'static Case<S>,
        batch: Batch,
        has: &[Capability],
        subject: F,
    ) -> Self
    where
        S: Send + 'static,
        F: Fn(CaseContext) -> BoxFuture<'static, Result<S, crate::case::CaseError>> + Send + Sync + 'static,
    {
        let missing = case.requires.iter().find(|capability| !has.contains(capability));
        let run = case.run;
        let subject = Arc::new(subject);
        Self {
            id: CaseId {
                suite: suite.name().to_owned(),
                subject: subject_name.to_owned(),
                case: case.name.to_owned(),
            },
            checks: case.checks,
            batch,
            requires: case.requires,
            known: None,
            skip: missing.map(|capability| capability.missing().to_owned()),
            run: Arc::new(move |context| {
                let subject = Arc::clone(&subject);
                Box::pin(async move { run(subject(context).await?).await })
            }),
        }
    }

    /// Runs the case; time limit, panics and clean-up are the runner's.
    pub fn run(&self, context: CaseContext) -> BoxFuture<'static, CaseResult> {
        (self.run)(context)
    }
}

impl fmt::Debug for PlannedCase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PlannedCase").field("id", &self.id).finish_non_exhaustive()
    }
}
