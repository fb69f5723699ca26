//! What a directory of migrations comes to, in a few lines: how many of its files apply, and why others do not.

use crate::event::{FailureCause, MigrationVerdict};
use crate::report::plural;

/// The most files of an order that are named.
const ORDER_MAX: usize = 12;

/// Lines of plain text, the first of which is a heading; what a subject says in them is not cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub(super) struct Lines {
    /// Whether every file applies.
    pub(super) is_good: bool,
    /// The answer.
    pub(super) heading: String,
    /// Of what, and why.
    pub(super) rest: Vec<String>,
}

impl Lines {
    pub(super) fn of(verdict: &MigrationVerdict) -> Self {
        let MigrationVerdict { files, applied, best_applied, .. } = verdict;
        let heading = match (applied == files, best_applied > applied) {
            (true, _) => format!("all {} apply in this order", plural(*files, "file")),
            (false, true) => {
                format!(
                    "{applied} of {} apply in this order; {best_applied} in the best order found",
                    plural(*files, "file")
                )
            }
            (false, false) => {
                format!("{applied} of {} apply, in this order and in any that was tried", plural(*files, "file"))
            }
        };
        let mut rest = vec![format!("{}, layout {}", verdict.subject, verdict.layout)];
        let count = |wanted: fn(&FailureCause) -> bool| {
            verdict.failures.iter().filter(|failure| wanted(&failure.cause)).count()
        };
        let causes = [
            (
                count(|cause| matches!(cause, FailureCause::Own)),
                "for a reason of its own",
                "for reasons of their own",
            ),
            (
                count(|cause| matches!(cause, FailureCause::WrongOrder { .. })),
                "as a later file makes what it needs",
                "as later files make what they need",
            ),
            (
                count(|cause| matches!(cause, FailureCause::Missing { .. })),
                "as no file makes what it needs",
                "as no file makes what they need",
            ),
            (
                count(|cause| matches!(cause, FailureCause::Consequence { .. })),
                "as a consequence of another's failure",
                "as a consequence of others' failures",
            ),
        ];
        let causes: Vec<String> = causes
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| match count {
                1 => format!("1 fails {one}"),
                count => format!("{count} fail {many}"),
            })
            .collect();
        if !causes.is_empty() {
            rest.push(causes.join("; "));
        }
        if !verdict.best_order.is_empty() {
            let named: Vec<&str> = verdict.best_order.iter().take(ORDER_MAX).map(String::as_str).collect();
            let more = match verdict.best_order.len().saturating_sub(ORDER_MAX) {
                0 => String::new(),
                more => format!(" and {more} more, in the recorded run"),
            };
            rest.push(format!("the best order: {}{more}", named.join(", ")));
        }
        rest.extend(verdict.limitation.clone());
        Self { is_good: applied == files, heading, rest }
    }
}
