//! What a team has decided, looked at once all cases have ended that it is about.

use super::MigrationSubject;
use crate::case;
use crate::case::{Case, CaseResult};

/// Planned for a directory alone: one process has run all the other cases then.
pub const CASES: &[Case<MigrationSubject>] = &[case!(
    suppressions_are_used,
    "every suppression suppresses something, and what the baseline names is there"
)];

async fn suppressions_are_used(subject: MigrationSubject) -> CaseResult {
    let findings = subject.evidence.policy.unused_among(|check| subject.evidence.has_concluded(check));
    subject.conclude(findings)
}
