//! Replay and history: what running migrations forwards and backwards leads to.

mod apply;
mod revert;
mod snapshots;

pub use snapshots::Snapshots;

use super::MigrationSubject;
use crate::case;
use crate::case::{Capability, Case};
use apply::{
    applies_to_an_empty_server, edited_migration_is_refused, failed_migration_leaves_no_trace,
    rerun_changes_nothing, stepwise_equals_all_at_once,
};
use revert::{down_scripts_leave_nothing, up_down_up_restores_the_catalog};
use snapshots::every_version_matches_its_snapshot;

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(applies_to_an_empty_server, "migrations apply to an empty server"),
    case!(stepwise_equals_all_at_once, "one by one gives the same schema as all at once"),
    case!(rerun_changes_nothing, "a second run changes nothing"),
    case!(edited_migration_is_refused, "an edited migration is noticed"),
    case!(failed_migration_leaves_no_trace, "a migration that fails is rolled back"),
    case!(
        up_down_up_restores_the_catalog,
        "down undoes what up did, step by step",
        requires: [Capability::DownScripts]
    ),
    case!(
        down_scripts_leave_nothing,
        "all the way down leaves an empty database",
        requires: [Capability::DownScripts]
    ),
    case!(
        every_version_matches_its_snapshot,
        "every version has the committed schema",
        requires: [Capability::SchemaSnapshots]
    ),
];
