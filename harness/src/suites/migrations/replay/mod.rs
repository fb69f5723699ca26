//! Replay and history: what running migrations forwards and backwards leads to.

mod apply;
mod migrator;
mod snapshots;
mod step;
mod unusual;

pub use snapshots::Snapshots;

use super::MigrationSubject;
use crate::case;
use crate::case::{Capability, Case};
use apply::{
    applies_as_its_owner, applies_to_an_empty_server, applies_under_a_statement_timeout,
    every_object_is_created_somewhere, extensions_are_available, nothing_outside_the_database_is_touched,
    order_applies,
};
use migrator::{edited_migration_is_refused, rerun_changes_nothing};
use snapshots::every_version_matches_its_snapshot;
use step::{
    down_scripts_leave_nothing, every_migration_has_a_down, failed_migration_leaves_no_trace,
    repeatable_scripts_can_be_repeated, up_down_up_restores_the_catalog,
};
use unusual::{applies_in_another_time_zone, applies_with_a_hostile_search_path, stepwise_equals_all_at_once};

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(applies_to_an_empty_server, "migrations apply to an empty server"),
    case!(order_applies, "no file needs what a later one makes"),
    case!(every_object_is_created_somewhere, "no file needs what none makes"),
    case!(extensions_are_available, "the server has all extensions"),
    case!(applies_as_its_owner, "migrations need no superuser"),
    case!(nothing_outside_the_database_is_touched, "nothing outside the database is touched"),
    case!(applies_under_a_statement_timeout, "every statement ends"),
    case!(stepwise_equals_all_at_once, "one by one gives the same schema as all at once"),
    case!(applies_in_another_time_zone, "the session's time zone does not matter"),
    case!(applies_with_a_hostile_search_path, "another schema may come first"),
    case!(rerun_changes_nothing, "a second run changes nothing", requires: [Capability::SqlxMigrator]),
    case!(
        edited_migration_is_refused,
        "an edited migration is noticed",
        requires: [Capability::SqlxMigrator]
    ),
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
        every_migration_has_a_down,
        "every migration can be reverted",
        requires: [Capability::DownScripts]
    ),
    case!(
        repeatable_scripts_can_be_repeated,
        "what is run again may be run again",
        requires: [Capability::RepeatableScripts]
    ),
    case!(
        every_version_matches_its_snapshot,
        "every version has the committed schema",
        requires: [Capability::SchemaSnapshots]
    ),
];
