//! The exit codes of `proofmark`. Scripts rely on them: a code keeps its meaning.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | every case that ran passed, or failed as is known and listed |
//! | 1 | a subject failed: a case failed, panicked or exceeded its time limit, or passed although it is listed |
//! | 2 | usage or configuration: nothing was run |
//! | 3 | the environment or the harness is broken |
//! | 4 | nothing ran: no case was selected, or none of the selected ones could run |
//! | 130, 143 | interrupted by SIGINT or SIGTERM |
//!
//! Where several apply, an interruption comes first, then 3, then 1: failures beside a broken environment are
//! no verdict about the subject. `proofmark run` and `proofmark audit` exit with the run's code;
//! `proofmark report` exits with 0 once the reports are written, whatever they say.

use std::process::ExitCode;

use crate::event::{CaseRecord, Outcome, RunRecord, Signal};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every case that ran passed, or the command did what it was asked.
    Passed,
    /// A subject is wrong.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The environment or the harness is broken.
    Environment,
    /// No case ran.
    NothingRan,
    /// A signal ended the run early.
    Interrupted(Signal),
}

impl Exit {
    /// The code that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::NothingRan => 4,
            // 128 plus the signal's number, as shells report it.
            Self::Interrupted(Signal::Interrupt) => 130,
            Self::Interrupted(Signal::Terminate) => 143,
        }
    }

    /// What a recorded run amounts to.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let any = |predicate: fn(&CaseRecord) -> bool| record.cases.iter().any(predicate);
        if let Some(signal) = record.footer.interrupted {
            Self::Interrupted(signal)
        } else if any(|case| matches!(case.outcome, Outcome::Errored { .. })) {
            Self::Environment
        } else if any(CaseRecord::is_failure) {
            Self::Failed
        } else if any(|case| case.outcome == Outcome::Passed || case.known.is_some()) {
            Self::Passed
        } else {
            Self::NothingRan
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{KnownFailure, MachineRecord, RunHeader};
    use crate::suite::{Batch, CaseId};

    fn record(outcomes: &[Outcome]) -> RunRecord {
        let mut record = RunRecord::new(RunHeader {
            proofmark_version: "0.0.0".to_owned(),
            started_at: chrono::DateTime::UNIX_EPOCH,
            command: "proofmark run".to_owned(),
            directory: None,
            seed: 1,
            planned: outcomes.len(),
            machine: MachineRecord { platform: String::new(), processor: String::new(), parallelism: 1 },
        });
        record.cases.extend(outcomes.iter().map(|outcome| CaseRecord {
            id: CaseId { suite: "s".to_owned(), subject: "x".to_owned(), case: "c".to_owned() },
            checks: String::new(),
            batch: Batch::Compute,
            outcome: outcome.clone(),
            known: None,
            duration_ms: 0,
            kept: Vec::new(),
            findings: Vec::new(),
        }));
        record
    }

    #[test]
    fn the_worst_outcome_decides() {
        let failed = Outcome::Failed { message: String::new(), detail: None };
        let errored = Outcome::Errored { message: String::new() };
        let skipped = Outcome::Skipped { reason: String::new() };
        assert_eq!(Exit::of(&record(&[])), Exit::NothingRan);
        assert_eq!(Exit::of(&record(std::slice::from_ref(&skipped))), Exit::NothingRan);
        assert_eq!(Exit::of(&record(&[Outcome::Passed, skipped])), Exit::Passed);
        assert_eq!(Exit::of(&record(&[Outcome::Passed, failed.clone()])), Exit::Failed);
        assert_eq!(Exit::of(&record(&[Outcome::TimedOut { limit_ms: 1 }])), Exit::Failed);
        assert_eq!(Exit::of(&record(&[failed, errored.clone()])), Exit::Environment);
        let mut known = record(&[Outcome::Failed { message: String::new(), detail: None }]);
        known.cases[0].known = Some(KnownFailure { reason: String::new(), upstream: String::new() });
        assert_eq!(Exit::of(&known), Exit::Passed);
        let mut interrupted = record(&[errored]);
        interrupted.footer.interrupted = Some(Signal::Terminate);
        assert_eq!(Exit::of(&interrupted).code(), 143);
    }
}
