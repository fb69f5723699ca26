//! Rows for the tables of any database, made from its catalogs alone.
//!
//! The server computes them, by one statement for each table, so that memory does not depend on their number; what a
//! table's conditions accept is tried on the server, never concluded from their text. The same seed gives the same
//! rows, but for what the server numbers or fills in by default.

mod candidates;
mod catalog;
mod order;
mod pattern;
mod plan;
mod refute;
mod rows;
mod value;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

pub use refute::{Accepting, accepting};
pub use value::literal;

use catalog::{Catalog, Name, Table};
use plan::{Plan, Probe};

/// What to fill with.
#[derive(Debug, Clone)]
pub struct Fill {
    /// The tables, by their object identifiers; all of them unless given.
    pub only: Option<Vec<i64>>,
    /// How many rows a table should have afterwards.
    pub rows_per_table: usize,
    /// What the rows are random by.
    pub seed: u64,
    /// How long it may take in all.
    pub time_max: Duration,
}

impl Default for Fill {
    fn default() -> Self {
        Self { only: None, rows_per_table: 200, seed: 1, time_max: Duration::from_secs(30) }
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// The tables that have rows now, in the order in which they were filled.
    pub tables: Vec<TableRows>,
    /// The tables that have none.
    pub skipped: Vec<SkippedTable>,
}

/// A table with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// Its object identifier.
    pub id: i64,
    /// Its name, quoted where needed and with its schema.
    pub table: String,
    /// How many rows it has; no more than were asked for are counted.
    pub rows: u64,
}

/// A table that no row could be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedTable {
    /// Its object identifier.
    pub id: i64,
    /// Its name, quoted where needed and with its schema.
    pub table: String,
    /// What kind of reason.
    pub kind: SkipKind,
    /// Why, for people.
    pub reason: String,
    /// The code of what the server said, if it refused.
    pub sqlstate: Option<String>,
    /// The functions that it happened in, the innermost first, line by line.
    pub context: String,
}

/// Why a table has no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipKind {
    /// The server refused all that was tried.
    Refused,
    /// A table that it must refer to has no rows.
    NoParent,
    /// It is partitioned, and has no partition.
    NoPartition,
    /// A column has conditions that no value was found for.
    NoValue,
    /// A column has a type that no value is known of.
    UnknownType,
    /// All was tried, and nothing was accepted.
    NothingAccepted,
    /// There was no time.
    NoTime,
}

/// The connection is gone, or the catalogs cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// What the server did not do.
    #[error("{action}: {source}")]
    Server {
        /// What was to be done.
        action: &'static str,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
}

/// The most statements for one table or partition.
const ROUNDS_MAX: usize = 16;

/// How many candidates there are for each row that is wanted, more whenever few came of them: to begin with, as many as
/// rows, where nothing is known that would refuse one.
const CANDIDATES: [u64; 5] = [1, 4, 16, 64, 256];

/// The most candidates of one round.
const CANDIDATES_MAX: u64 = 60_000;

/// How many rows are tried one by one where all at once fail.
const SINGLE_TRIES_MAX: u64 = 40;

/// After how many of them without a success it is given up.
const SINGLE_FAILURES_MAX: u64 = 10;

/// The most tables whose rows are counted by one statement.
const COUNTED_MAX: usize = 200;

/// How long a lock is waited for.
const LOCK_MS: u128 = 2_000;

/// Gives every table of a database rows, as many as it lacks, or only some of them. Tables of extensions and the histories of migrators are
/// left alone.
///
/// Defaults, triggers and conditions are executed as the connection's user: let it be the owner of the tables, not a
/// superuser, where nobody knows what they do. Each table is filled in a transaction of its own: the connection must not
/// be in one.
///
/// # Errors
/// When the connection is lost or the catalogs cannot be read; what the server refuses for a table is no error.
pub async fn fill(connection: &mut PgConnection, options: &Fill) -> Result<Filled, FillError> {
    let deadline = Instant::now() + options.time_max;
    let broken = |source| FillError::Server { action: "read the catalogs for generated rows", source };
    let names = catalog::names(connection, options.only.as_deref()).await.map_err(broken)?;
    let wanted = u64::try_from(options.rows_per_table).unwrap_or(u64::MAX);
    let mut filler = Filler { connection, options, deadline, wanted };
    let counted = filler.count(&names).await?;
    let mut filled = Filled::default();
    // Most of the time most tables have their rows: what there is to know about others is all that is read.
    let mut open = HashMap::new();
    for (Name { oid, name }, count) in names.into_iter().zip(counted) {
        match count {
            Ok(rows) if rows >= wanted => filled.tables.push(TableRows { id: oid, table: name, rows }),
            count => drop(open.insert(oid, count)),
        }
    }
    if open.is_empty() {
        return Ok(filled);
    }
    let oids: Vec<i64> = open.keys().copied().collect();
    let catalog = Catalog::read(filler.connection, &oids).await.map_err(broken)?;
    let mut counts: Vec<Result<u64, Refused>> =
        catalog.tables.iter().map(|table| open.remove(&table.oid).unwrap_or(Ok(0))).collect();
    let mut reasons: Vec<Option<Refused>> = catalog.tables.iter().map(|_| None).collect();
    let visits = order::visits(&catalog.tables);
    for visit in &visits {
        let (Some(table), Some(Ok(count))) = (catalog.tables.get(visit.table), counts.get_mut(visit.table)) else {
            continue;
        };
        // A table that refers to one that comes later gets the other half of its rows when that has some.
        let goal = if visit.is_half { wanted.div_ceil(2) } else { wanted };
        if *count >= goal {
            continue;
        }
        let (added, refused) = filler.table(&catalog, table, *count, goal).await?;
        *count += added;
        if let Some(reason) = reasons.get_mut(visit.table) {
            *reason = refused;
        }
    }
    let mut is_told = vec![false; catalog.tables.len()];
    for visit in visits {
        let Some(told) = is_told.get_mut(visit.table) else { continue };
        if std::mem::replace(told, true) {
            continue;
        }
        let (Some(table), Some(count)) = (catalog.tables.get(visit.table), counts.get_mut(visit.table)) else {
            continue;
        };
        let (id, table) = (table.oid, table.name.clone());
        let refused = match std::mem::replace(count, Ok(0)) {
            Ok(rows @ 1..) => {
                filled.tables.push(TableRows { id, table, rows });
                continue;
            }
            Ok(0) => reasons.get_mut(visit.table).and_then(Option::take),
            Err(refused) => Some(refused),
        };
        let refused = refused.unwrap_or_else(|| Refused::new(SkipKind::NoTime, "no rows were asked for"));
        let Refused { kind, reason, sqlstate, context } = refused;
        filled.skipped.push(SkippedTable { id, table, kind, reason, sqlstate, context });
    }
    Ok(filled)
}

/// Why a table has no rows.
#[derive(Debug, Clone)]
struct Refused {
    kind: SkipKind,
    reason: String,
    sqlstate: Option<String>,
    context: String,
}

impl Refused {
    fn new(kind: SkipKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), sqlstate: None, context: String::new() }
    }
}

struct Filler<'c> {
    connection: &'c mut PgConnection,
    options: &'c Fill,
    deadline: Instant,
    wanted: u64,
}

/// What the server answered: a value, or what it refused, or that it is gone.
type Answer<T> = Result<Result<T, Refused>, FillError>;

fn answer<T>(action: &'static str, result: Result<T, sqlx::Error>) -> Answer<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(sqlx::Error::Database(error)) => {
            let context = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::r#where);
            Ok(Err(Refused {
                kind: SkipKind::Refused,
                reason: format!("the server refuses every row: {}", error.message()),
                sqlstate: error.code().map(|code| code.into_owned()),
                context: context.unwrap_or_default().to_owned(),
            }))
        }
        Err(source) => Err(FillError::Server { action, source }),
    }
}

impl Filler<'_> {
    /// How many rows the tables have, none counted above what is wanted.
    async fn count(&mut self, tables: &[Name]) -> Result<Vec<Result<u64, Refused>>, FillError> {
        let mut counts = Vec::with_capacity(tables.len());
        for chunk in tables.chunks(COUNTED_MAX) {
            match self.count_all(chunk).await? {
                Ok(counted) => counts.extend(counted.into_iter().map(Ok)),
                // One of them cannot be read: the others can.
                Err(_) => {
                    for table in chunk {
                        let counted = self.count_all(std::slice::from_ref(table)).await?;
                        counts.push(counted.map(|counted| counted.first().copied().unwrap_or(0)));
                    }
                }
            }
        }
        Ok(counts)
    }

    async fn count_all(&mut self, tables: &[Name]) -> Answer<Vec<u64>> {
        let limit = self.wanted;
        let parts: Vec<String> = tables
            .iter()
            .map(|table| format!("(SELECT count(*) FROM (SELECT FROM {} LIMIT {limit}) AS t)", table.name))
            .collect();
        let statement = format!("SELECT ARRAY[{}]::int8[]", parts.join(", "));
        let counted = sqlx::query_scalar::<_, Vec<i64>>(AssertSqlSafe(statement));
        let counted = answer("count rows", counted.fetch_one(&mut *self.connection).await)?;
        Ok(counted.map(|counted| counted.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect()))
    }

    /// Adds rows to a table; says how many, and why there are no more.
    async fn table(
        &mut self,
        catalog: &Catalog,
        table: &Table,
        count: u64,
        goal: u64,
    ) -> Result<(u64, Option<Refused>), FillError> {
        if table.partitioned && table.partitions.is_empty() {
            return Ok((
                0,
                Some(Refused::new(SkipKind::NoPartition, "it has no partition that a row could be in")),
            ));
        }
        let mut plan = Plan::new(catalog, table, self.options.seed);
        if let Err(refused) = self.probe(&mut plan).await? {
            return Ok((0, Some(refused)));
        }
        if let Some((kind, reason)) = plan.missing() {
            return Ok((0, Some(Refused::new(kind, reason))));
        }
        let mut added = 0;
        let mut refused = None;
        let whole = [None];
        let partitions = if table.partitioned { table.partitions.as_slice() } else { &whole };
        let share = (goal - count).div_ceil(u64::try_from(partitions.len()).unwrap_or(1).max(1));
        for partition in partitions {
            let share = share.min(goal.saturating_sub(count + added));
            if share == 0 {
                break;
            }
            let (more, why) = self.rows(&plan, count + added, share, partition.as_deref()).await?;
            added += more;
            if why.is_some() {
                refused = why;
            }
        }
        if added == 0 && refused.is_none() {
            refused = Some(self.why_none(&plan).await?);
        }
        Ok((added, refused))
    }

    async fn why_none(&mut self, plan: &Plan<'_>) -> Result<Refused, FillError> {
        for target in plan.needs() {
            let statement = format!("SELECT EXISTS (SELECT FROM {target})");
            let exists = sqlx::query_scalar::<_, bool>(AssertSqlSafe(statement));
            if let Ok(false) = answer("look for rows", exists.fetch_one(&mut *self.connection).await)? {
                let reason = format!("it must refer to {target}, which has no rows");
                return Ok(Refused::new(SkipKind::NoParent, reason));
            }
        }
        let reason = "no row was found that all of its conditions, keys and triggers accept together";
        Ok(Refused::new(SkipKind::NothingAccepted, reason))
    }

    /// How long a statement may take, in milliseconds: a part of what is left, so that one that never ends leaves time
    /// for others.
    fn statement_ms(&self) -> Option<u128> {
        let left = self.deadline.saturating_duration_since(Instant::now()).as_millis();
        (left > 0).then_some((left / 3).max(1))
    }

    /// What a statement is sent after, in one message, which is a transaction to the server: that nothing takes longer than
    /// there is time, and that no constraint waits for the end.
    fn limits(&self) -> Result<String, Refused> {
        let Some(time) = self.statement_ms() else {
            return Err(Refused::new(SkipKind::NoTime, "the time for generated rows is over"));
        };
        Ok(format!(
            "SET LOCAL statement_timeout = {time}; SET LOCAL lock_timeout = {LOCK_MS}; SET CONSTRAINTS ALL IMMEDIATE"
        ))
    }

    /// Finds out what the conditions of columns accept.
    async fn probe(&mut self, plan: &mut Plan<'_>) -> Result<Result<(), Refused>, FillError> {
        let first = plan.first_probes();
        let entangled = plan.entangled();
        if first.is_empty() && entangled.is_empty() {
            return Ok(Ok(()));
        }
        let statements: Vec<String> = first.iter().filter_map(|probe| plan.probe(probe, None)).collect();
        let answers = match self.answers(&statements.join(" UNION ALL ")).await? {
            Ok(answers) => answers,
            // One of them fails on what its type gives: each by itself then.
            Err(_) => {
                let mut answers = Vec::new();
                for statement in &statements {
                    answers.extend(self.answers(statement).await?.unwrap_or_default());
                }
                answers
            }
        };
        for probe in &first {
            let found = answers.iter().find(|answer| answer.0 == probe.column);
            let is_enough = found
                .is_some_and(|(_, _, accepted, different)| plan.is_enough(probe.column, *accepted, *different));
            if is_enough && !entangled.contains(&probe.column) {
                continue;
            }
            self.more(plan, probe.column, is_enough).await?;
        }
        for column in entangled {
            if !first.iter().any(|probe| probe.column == column) {
                self.more(plan, column, true).await?;
            }
        }
        Ok(Ok(()))
    }

    /// Tries what the constants of a column's conditions suggest.
    async fn more(&mut self, plan: &mut Plan<'_>, column: usize, keep: bool) -> Result<(), FillError> {
        let Some(probe) = plan.candidates(column, keep) else { return Ok(()) };
        if probe.candidates.is_empty() {
            if !keep {
                plan.choose(&probe, &[], false);
            }
            return Ok(());
        }
        let Some(statement) = plan.probe(&probe, None) else { return Ok(()) };
        let answers = match self.answers(&statement).await? {
            Ok(answers) => answers,
            Err(_) => self.one_by_one(plan, &probe).await?,
        };
        let answers: Vec<(usize, i64, i64)> =
            answers.into_iter().map(|(_, number, accepted, different)| (number, accepted, different)).collect();
        plan.choose(&probe, &answers, keep);
        Ok(())
    }

    async fn one_by_one(&mut self, plan: &Plan<'_>, probe: &Probe) -> Result<Vec<Counted>, FillError> {
        let mut answers = Vec::new();
        for number in 0..probe.candidates.len() {
            let Some(statement) = plan.probe(probe, Some(number)) else { continue };
            answers.extend(self.answers(&statement).await?.unwrap_or_default());
        }
        Ok(answers)
    }

    async fn answers(&mut self, statement: &str) -> Answer<Vec<Counted>> {
        if statement.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let limits = match self.limits() {
            Ok(limits) => limits,
            Err(refused) => return Ok(Err(refused)),
        };
        let statement = sqlx::raw_sql(AssertSqlSafe(format!("{limits}; {statement}")));
        let rows = self.connection.fetch_all(statement).await;
        let rows = match answer("try values", rows)? {
            Ok(rows) => rows,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            let get = |column| {
                row.try_get::<i64, _>(column)
                    .map_err(|source| FillError::Server { action: "read what values do", source })
            };
            let number = |column| get(column).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
            answers.push((number("of_column")?, number("candidate")?, get("accepted")?, get("different")?));
        }
        Ok(Ok(answers))
    }

    /// Adds rows to a table or one of its partitions.
    async fn rows(
        &mut self,
        plan: &Plan<'_>,
        count: u64,
        wanted: u64,
        partition: Option<&str>,
    ) -> Result<(u64, Option<Refused>), FillError> {
        let mut added = 0;
        let mut from = count + 1;
        let mut each = CANDIDATES.into_iter().skip(usize::from(plan.is_choosy()));
        let mut factor = each.next();
        for _ in 0..ROUNDS_MAX {
            let missing = wanted - added;
            let Some(candidates) = factor.filter(|_| missing > 0) else { break };
            let to = from + (missing * candidates).min(CANDIDATES_MAX) - 1;
            match self.insert(&plan.insert(from, to, missing, partition)).await? {
                Ok(0) => factor = each.next(),
                Ok(rows) => {
                    added += rows;
                    if rows * 2 < missing {
                        factor = each.next().or(factor);
                    }
                }
                Err(refused) if refused.is_final() => return Ok((added, Some(refused))),
                Err(refused) => {
                    let (more, why) = self.one_row_at_a_time(plan, from, missing, partition, refused).await?;
                    return Ok((added + more, why));
                }
            }
            from = to + 1;
        }
        Ok((added, None))
    }

    async fn one_row_at_a_time(
        &mut self,
        plan: &Plan<'_>,
        from: u64,
        wanted: u64,
        partition: Option<&str>,
        first: Refused,
    ) -> Result<(u64, Option<Refused>), FillError> {
        let (mut added, mut failures) = (0, 0);
        for number in from..from + SINGLE_TRIES_MAX {
            if added >= wanted || added == 0 && failures >= SINGLE_FAILURES_MAX {
                break;
            }
            match self.insert(&plan.insert(number, number, 1, partition)).await? {
                Ok(rows) => added += rows,
                Err(refused) if refused.is_final() => break,
                Err(_) => failures += 1,
            }
        }
        Ok((added, (added == 0).then_some(first)))
    }

    async fn insert(&mut self, statement: &str) -> Answer<u64> {
        match self.insert_once(statement).await? {
            // Where a table has rules, the server knows no ON CONFLICT.
            Err(refused) if refused.sqlstate.as_deref() == Some("0A000") => {
                self.insert_once(statement.strip_suffix(plan::ON_CONFLICT).unwrap_or(statement)).await
            }
            answer => Ok(answer),
        }
    }

    async fn insert_once(&mut self, statement: &str) -> Answer<u64> {
        let limits = match self.limits() {
            Ok(limits) => limits,
            Err(refused) => return Ok(Err(refused)),
        };
        // Nothing is known of the rows that are joined, and a loop within a loop is what a planner makes of that.
        let statement = format!("{limits}; SET LOCAL enable_nestloop = off; {statement}");
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        let done = self.connection.execute(statement).await.map(|done| done.rows_affected());
        answer("add rows", done)
    }
}

impl Refused {
    /// Whether another try is of no use: there is no time, or no right.
    fn is_final(&self) -> bool {
        matches!(self.sqlstate.as_deref(), None | Some("57014" | "42501" | "55P03"))
    }
}

/// A column, the number of a candidate, how many of its rows were accepted, and how many of them differ.
type Counted = (usize, usize, i64, i64);

/// Values for the arguments of functions.
#[derive(Debug)]
pub struct Values {
    catalog: Catalog,
}

impl Values {
    /// Reads what types a database has.
    ///
    /// # Errors
    /// When the catalogs cannot be read.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, FillError> {
        let catalog = Catalog::read_types(connection).await;
        let catalog =
            catalog.map_err(|source| FillError::Server { action: "read the catalogs for arguments", source })?;
        Ok(Self { catalog })
    }

    /// An expression for a value of a type; what is in a text begins with `value-`. Nothing, if the type is not known.
    #[must_use]
    pub fn value(&self, type_oid: i64, seed: i64) -> Option<String> {
        let draw = value::Draw { catalog: &self.catalog, seed, word: "value", distinct: false, place: None };
        // There are no rows here: as if for the first one.
        draw.value(type_oid, -1).map(|expression| expression.replace("g.i", "(1::int8)"))
    }
}
