//! One run of a migration, statement by statement.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::look::{self, Table};
use super::relations::Relation;
use super::words::{is_harmless, is_transaction_control, words};
use super::{Change, LockMode, Observed, Touched, change};
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError, Session};
use crate::migrations::source::Script;
use crate::migrations::sql::Input;

/// A statement of this code cannot run in a transaction.
const NOT_IN_A_TRANSACTION: [&str; 2] = ["25001", "2D000"];

/// What was there before a migration.
pub(super) struct Before {
    pub(super) tables: HashMap<i64, Arc<Table>>,
    pub(super) relations: HashMap<i64, Arc<Relation>>,
    /// The tables with rows, and those that would have some by now.
    pub(super) in_use: HashSet<i64>,
}

/// A migration that is being run.
pub(super) struct Run {
    pub(super) session: Session,
    pub(super) tables: HashMap<i64, Arc<Table>>,
    /// What the transaction did to tables until the last look.
    pub(super) counted: HashMap<i64, Table>,
    pub(super) statements: Vec<Observed>,
    /// What a session begins with.
    pub(super) lock_timeout_ms: i64,
    pub(super) refusal: Option<Refusal>,
    pub(super) transaction: usize,
    pub(super) in_block: bool,
    /// It has never left the transaction that its runner began.
    pub(super) whole: bool,
}

impl Run {
    /// Runs a migration up to what its runner does at its end.
    pub(super) async fn start(
        sandbox: &Sandbox,
        script: &Script,
        before: &Before,
        zone: Option<&str>,
    ) -> Result<Self, SandboxError> {
        let mut run = Self {
            session: sandbox.session().await?,
            tables: before.tables.clone(),
            counted: HashMap::new(),
            statements: Vec::new(),
            lock_timeout_ms: 0,
            refusal: None,
            transaction: 0,
            in_block: script.in_transaction,
            whole: script.in_transaction,
        };
        run.lock_timeout_ms = look::lock_timeout_ms(run.session.connection()).await?;
        if script.in_transaction {
            look::run(run.session.connection(), "BEGIN").await?;
        }
        if let Some(zone) = zone {
            look::run(run.session.connection(), &format!("SET TimeZone = '{zone}'")).await?;
        }
        for number in 0..script.statements.len() {
            run.statement(sandbox, script, number, before).await?;
            if run.refusal.is_some() {
                break;
            }
        }
        Ok(run)
    }
    /// Runs one statement and looks at what it did.
    async fn statement(
        &mut self,
        sandbox: &Sandbox,
        script: &Script,
        number: usize,
        before: &Before,
    ) -> Result<(), SandboxError> {
        let Some(statement) = script.statements.get(number) else { return Ok(()) };
        let words = words(script.statement(statement));
        let is_control = is_transaction_control(&words) || statement.input == Input::PsqlCommand;
        // What would be a transaction of its own is one of ours, so that it can be looked at from within.
        let wrapped = !self.in_block && !is_control;
        if wrapped {
            self.begin().await?;
        }
        let begun = Instant::now();
        self.refusal = self.session.statement(script, number).await?;
        let mut elapsed = begun.elapsed();
        let must_be_alone = |refusal: &Refusal| NOT_IN_A_TRANSACTION.contains(&refusal.sqlstate.as_str());
        if wrapped && self.refusal.as_ref().is_some_and(must_be_alone) {
            look::roll_back(self.session.connection()).await;
            let mut admin = sandbox.admin().await?;
            let earlier = look::all_tables(&mut admin).await?;
            let begun = Instant::now();
            self.refusal = self.session.statement(script, number).await?;
            elapsed = begun.elapsed();
            self.tables = look::all_tables(&mut admin).await?;
            let _ = admin.close().await;
            self.alone(number, elapsed, before, &earlier);
            return Ok(());
        }
        if self.refusal.is_some() {
            return Ok(());
        }
        if !is_harmless(&words) || is_control {
            let is_end =
                matches!(words.first().map(String::as_str), Some("commit" | "end" | "rollback" | "abort"));
            // Also with `AND CHAIN`, after which there is a transaction as before.
            self.whole &= !(is_control && is_end && words.get(1).is_none_or(|word| word != "to"));
            self.look(number, elapsed, before, self.in_block || wrapped).await?;
        }
        if wrapped {
            self.refusal = look::run(self.session.connection(), "COMMIT").await?;
            self.in_block = false;
            if let Some(refusal) = &mut self.refusal {
                refusal.statement = number;
            }
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), SandboxError> {
        look::run(self.session.connection(), "BEGIN").await?;
        self.next_transaction();
        Ok(())
    }

    fn next_transaction(&mut self) {
        self.transaction += 1;
        // What was counted goes on; locks do not.
        self.counted.values_mut().for_each(|table| table.modes.clear());
    }

    /// Finds out what is different since the last look.
    async fn look(
        &mut self,
        number: usize,
        elapsed: Duration,
        before: &Before,
        in_block: bool,
    ) -> Result<(), SandboxError> {
        let look = look::look(self.session.connection(), false).await?;
        if in_block != look.in_block {
            // The script began or ended a transaction.
            self.whole = false;
            self.next_transaction();
        }
        self.in_block = look.in_block;
        let lock_timeout_ms = look::milliseconds(&look.lock_timeout);
        let mut tables = Vec::new();
        for id in look.gone {
            if let Some(table) = self.tables.remove(&id) {
                let held = Some(LockMode::AccessExclusive);
                // What was counted of it was so when it was last looked at, maybe by an earlier migration.
                let had = match self.counted.get(&id) {
                    Some(had) => had.clone(),
                    None => Table { modes: Vec::new(), ..(*table).clone() },
                };
                tables.extend(touched(before, &table, Some(&had), held, vec![Change::TableDropped]));
            }
        }
        for table in look.tables {
            let earlier = self.tables.get(&table.id).cloned();
            let name = earlier.as_ref().map_or(&table.name, |earlier| &earlier.name).clone();
            let changes = earlier.map_or_else(Vec::new, |earlier| change::changes(&earlier, &table));
            let had = self.counted.get(&table.id);
            let found = touched(before, &Table { name, ..table.clone() }, had, held(&table), changes);
            tables.extend(found);
            self.counted.insert(table.id, table.clone());
            self.tables.insert(table.id, Arc::new(table));
        }
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        self.statements.push(Observed {
            statement: number,
            transaction: self.transaction,
            elapsed,
            // A limit of ours is none of the migration's.
            lock_timeout_ms: if lock_timeout_ms == self.lock_timeout_ms { 0 } else { lock_timeout_ms },
            alone: false,
            tables,
        });
        Ok(())
    }

    /// What is different after a statement that cannot be looked at while it runs.
    fn alone(&mut self, number: usize, elapsed: Duration, before: &Before, earlier: &HashMap<i64, Arc<Table>>) {
        self.next_transaction();
        self.in_block = false;
        let mut tables = Vec::new();
        for (id, table) in earlier {
            let changes = match self.tables.get(id) {
                Some(now) => change::changes(table, now),
                None => vec![Change::TableDropped],
            };
            if !changes.is_empty() {
                tables.extend(touched(before, table, Some(table), None, changes));
            }
        }
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        let transaction = self.transaction;
        let lock_timeout_ms = 0;
        self.statements.push(Observed {
            statement: number,
            transaction,
            elapsed,
            lock_timeout_ms,
            alone: true,
            tables,
        });
    }
}

/// The strongest lock on a table.
fn held(table: &Table) -> Option<LockMode> {
    table.modes.iter().filter_map(|mode| LockMode::from_server(mode)).max()
}

/// What was done to a table since it was last looked at; None if it was not there before the migration, or nothing was.
fn touched(
    before: &Before,
    table: &Table,
    had: Option<&Table>,
    held_now: Option<LockMode>,
    changes: Vec<Change>,
) -> Option<Touched> {
    before.relations.get(&table.id)?;
    // Counts begin anew with a transaction.
    let since = |now: i64, before: Option<i64>| now - before.filter(|before| *before <= now).unwrap_or(0);
    let rows_changed =
        since(table.updated, had.map(|had| had.updated)) + since(table.deleted, had.map(|had| had.deleted));
    let scans = since(table.scans, had.map(|had| had.scans));
    let found = Touched {
        id: table.id,
        table: table.name.clone(),
        in_use: before.in_use.contains(&table.id),
        taken: held_now.filter(|now| had.and_then(held).is_none_or(|had| had < *now)),
        held: held_now,
        rows_read: if scans > 0 { since(table.read, had.map(|had| had.read)) } else { 0 },
        rows_inserted: since(table.inserted, had.map(|had| had.inserted)),
        rows_changed,
        changes,
    };
    let is_touched = found.taken.is_some()
        || found.rows_read + found.rows_inserted + found.rows_changed > 0
        || !found.changes.is_empty();
    is_touched.then_some(found)
}
