//! Which tables have their rows, so that only the others are looked at before a migration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::relations::Relation;
use super::{LockMode, Observed};
use crate::migrations::generate::{self, Fill, FillError};
use crate::migrations::sandbox::{Sandbox, SandboxError};

/// How long tables may be filled before one migration.
const FILL_TIME_MAX: Duration = Duration::from_secs(20);

/// How often a table is tried that cannot be filled, unless something is done to it.
const TRIES_MAX: u32 = 3;

/// What has been given rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The tables that were there when tables were last given rows.
    met: HashSet<i64>,
    /// Those that have as many as is wanted.
    full: HashSet<i64>,
    /// Those that do not, and how often they were tried.
    tries: HashMap<i64, u32>,
}

impl Rows {
    /// Whether a table was there when tables were last given rows: if it has none by now, it cannot have any.
    pub(super) fn has_met(&self, table: i64) -> bool {
        self.met.contains(&table)
    }

    /// All rows are gone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Notes what a migration did to tables: they may lack rows now, or take some at last.
    pub(super) fn touched(&mut self, statements: &[Observed], relations: &HashMap<i64, Arc<Relation>>) {
        for touched in statements.iter().flat_map(|observed| &observed.tables) {
            let writes = touched.held.is_some_and(|held| held >= LockMode::RowExclusive);
            if !(writes || touched.rows_changed > 0 || !touched.changes.is_empty()) {
                continue;
            }
            self.tries.remove(&touched.id);
            if !self.full.remove(&touched.id) {
                // It may be a part of one that is filled as a whole.
                let is_whole = |id: &i64| relations.get(id).is_some_and(|relation| relation.kind == "p");
                self.full.retain(|id| !is_whole(id));
            }
        }
    }

    /// Gives rows to tables that have too few, as their owner; what cannot be filled stays as it is. Returns the tables
    /// that may have more than before.
    pub(super) async fn fill(
        &mut self,
        sandbox: &Sandbox,
        rows: usize,
        relations: &HashMap<i64, Arc<Relation>>,
    ) -> Result<Vec<i64>, SandboxError> {
        let is_open =
            |id: &i64| !self.full.contains(id) && self.tries.get(id).is_none_or(|tries| *tries < TRIES_MAX);
        let tables = relations.values().filter(|relation| matches!(relation.kind.as_str(), "r" | "p"));
        let open: Vec<i64> = tables.map(|relation| relation.id).filter(is_open).collect();
        self.met = relations.keys().copied().collect();
        if open.is_empty() {
            return Ok(open);
        }
        let mut session = sandbox.session().await?;
        let options =
            Fill { only: Some(open.clone()), rows_per_table: rows, time_max: FILL_TIME_MAX, ..Fill::default() };
        let filled = generate::fill(session.connection(), &options).await;
        let filled =
            filled.map_err(|FillError::Server { action, source }| SandboxError::Server { action, source })?;
        session.close().await;
        let wanted = u64::try_from(rows).unwrap_or(u64::MAX);
        for table in filled.tables {
            if table.rows >= wanted {
                self.full.insert(table.id);
            } else {
                *self.tries.entry(table.id).or_default() += 1;
            }
        }
        for table in filled.skipped {
            *self.tries.entry(table.id).or_default() += 1;
        }
        // What it did not speak of is none that is filled: a part of another, or somebody else's.
        let is_unsaid = |id: &&i64| !self.full.contains(*id) && !self.tries.contains_key(*id);
        let unsaid: Vec<i64> = open.iter().filter(is_unsaid).copied().collect();
        self.full.extend(unsaid);
        Ok(open)
    }
}
