//! Makes a used database like new, or finds out that this cannot be done.
//!
//! A clone costs the server tens of milliseconds; most tests leave no more behind than rows. So what they left is
//! looked for through a session that stays, where it takes about a millisecond: rows of tables that were empty are
//! deleted and sequences set back. Whatever else has changed spoils the database. Catalogs and tables that had rows
//! are compared by the number of their rows and the newest transaction that wrote one: every change either takes a
//! row away or writes one with a newer transaction, so that what is equal is what it was.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::timeout;

/// The most tables and sequences of a schema that is recycled.
const RELATIONS_MAX: usize = 2_000;

/// The most rows that tables may have from the beginning: they are counted after every use.
const SEEDED_ROWS_MAX: i64 = 20_000;

/// How long the sessions of a test may take to end after they were told to.
const SESSIONS_TIME_MAX: Duration = Duration::from_secs(2);

const SESSIONS_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How long one statement of ours may take. A database that takes longer is not worth it.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(2);

/// Deleted rows stay in their tables, and autovacuum is off: after so many, and after so many uses, they are removed.
const DEAD_ROWS_MAX: u64 = 1_000;
const USES_BETWEEN_VACUUMS: u32 = 50;

/// Catalogs of which every row counts; of all others only those that are not the system's own, whose rows nobody
/// changes but on purpose.
const WHOLE_CATALOGS: [&str; 4] = ["pg_class", "pg_language", "pg_largeobject_metadata", "pg_namespace"];

/// How to look at databases with one schema, and what an unused one looks like.
#[derive(Debug)]
pub(super) struct Plan {
    /// The query that says everything.
    check: String,
    /// The query for rows and sequences alone.
    contents: String,
    /// Tables that are empty at first, ready for a statement.
    tables: Vec<String>,
    /// Sequences as they are at first.
    sequences: Vec<Sequence>,
    catalogs: String,
    seeded: String,
}

#[derive(Debug)]
struct Sequence {
    name: String,
    last_value: i64,
    is_called: bool,
}

#[derive(sqlx::FromRow)]
struct Catalog {
    name: String,
    object: String,
}

#[derive(sqlx::FromRow)]
struct Relation {
    name: String,
    kind: String,
}

/// What a database looks like after use.
#[derive(Debug)]
struct Found {
    catalogs: String,
    seeded: String,
    /// One digit per table: whether it has rows.
    filled: String,
    sequences: Vec<String>,
    database: String,
    roles: String,
    leftovers: i64,
}

/// What can be said of a used database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Like new.
    Restored,
    /// It cannot be used again, for a reason.
    Spoiled(&'static str),
}

/// What a database is known by while it is in use, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) oid: i64,
    /// The newest transaction that wrote its entry among the databases.
    pub(crate) written: String,
}

impl Plan {
    /// Finds out how to recycle databases with the schema of this one, which nobody has used. None if they cannot be.
    pub(super) async fn make(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        // Only with it can rows be deleted in any order, and without triggers that write others.
        let may = sqlx::raw_sql("BEGIN; SET LOCAL session_replication_role = replica; ROLLBACK");
        if may.execute(&mut *connection).await.is_err() {
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            return Ok(None);
        }
        let catalogs: Vec<Catalog> =
            sqlx::query_as(include_str!("catalogs.sql")).fetch_all(&mut *connection).await?;
        let relations: Vec<Relation> =
            sqlx::query_as(include_str!("relations.sql")).fetch_all(&mut *connection).await?;
        if relations.len() > RELATIONS_MAX {
            return Ok(None);
        }
        let mut plan = Self {
            check: String::new(),
            contents: String::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
            catalogs: String::new(),
            seeded: String::new(),
        };
        let mut seeded = Vec::new();
        let mut rows = 0;
        for Relation { name, kind } in relations {
            if kind == "S" {
                let query = AssertSqlSafe(format!("SELECT last_value, is_called FROM {name}"));
                let (last_value, is_called) = sqlx::query_as(query).fetch_one(&mut *connection).await?;
                plan.sequences.push(Sequence { name, last_value, is_called });
                continue;
            }
            let query = AssertSqlSafe(format!("SELECT count(*) FROM ONLY {name}"));
            let count: i64 = sqlx::query_scalar(query).fetch_one(&mut *connection).await?;
            rows += count;
            // A materialized view takes no DELETE.
            if count == 0 && kind != "m" {
                plan.tables.push(name);
            } else {
                seeded.push(name);
            }
        }
        if rows > SEEDED_ROWS_MAX {
            return Ok(None);
        }
        let contents = contents(&plan.tables, &plan.sequences);
        plan.check = check(&catalogs, &seeded, &contents);
        plan.contents = format!("SELECT {contents}");
        let found = plan.look(connection).await?;
        plan.catalogs = found.catalogs;
        plan.seeded = found.seeded;
        Ok(Some(plan))
    }

    async fn look(&self, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        let row = sqlx::query(AssertSqlSafe(self.check.as_str())).fetch_one(connection).await?;
        Ok(Found {
            catalogs: row.try_get("catalogs")?,
            seeded: row.try_get("seeded")?,
            filled: row.try_get("filled")?,
            sequences: row.try_get("sequences")?,
            database: row.try_get("database")?,
            roles: row.try_get("roles")?,
            leftovers: row.try_get("leftovers")?,
        })
    }

    /// Whether there are no rows where none were, and sequences are at their beginning.
    async fn is_restored(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(AssertSqlSafe(self.contents.as_str())).fetch_one(connection).await?;
        Ok(self
            .restoration(&row.try_get::<String, _>("filled")?, &row.try_get::<Vec<String>, _>("sequences")?)
            .is_none())
    }

    /// Why a database that was used by a test cannot be used by another, if so.
    fn spoils(&self, found: &Found, identity: &Identity, roles: &str) -> Option<&'static str> {
        let differs = [
            (found.catalogs != self.catalogs, "its schema was changed"),
            (found.seeded != self.seeded, "rows that it had from the beginning were changed"),
            (found.database != identity.written, "its settings were changed"),
            (found.roles != roles, "roles or their settings were changed"),
            (found.leftovers != 0, "it has prepared transactions or replication slots"),
        ];
        differs.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }

    /// The statements that undo what can be undone; none if there is nothing to undo.
    fn restoration(&self, filled: &str, sequences: &[String]) -> Option<(String, Vec<&str>)> {
        let filled = self.tables.iter().zip(filled.bytes()).filter(|(_, digit)| *digit == b'1');
        let filled: Vec<&str> = filled.map(|(table, _)| table.as_str()).collect();
        let mut statements = String::new();
        for table in &filled {
            let _ = write!(statements, "DELETE FROM ONLY {table};");
        }
        for (sequence, found) in self.sequences.iter().zip(sequences) {
            let Sequence { name, last_value, is_called } = sequence;
            if *found != sequence.state() {
                let name = name.replace('\'', "''");
                let _ = write!(statements, "SELECT setval('{name}', {last_value}, {is_called});");
            }
        }
        (!statements.is_empty()).then_some((statements, filled))
    }
}

impl Sequence {
    fn state(&self) -> String {
        format!("{}{}", self.last_value, self.is_called)
    }
}

fn check(catalogs: &[Catalog], seeded: &[String], contents: &str) -> String {
    let mut parts = Vec::new();
    for Catalog { name, object } in catalogs {
        let rows = match name.as_str() {
            // Those of temporary tables stay for the next session.
            "pg_namespace" => r" WHERE nspname !~ '^pg_(toast_)?temp_'".to_owned(),
            name if WHOLE_CATALOGS.contains(&name) => String::new(),
            _ => format!(" WHERE {object}::oid >= 16384"),
        };
        parts.push(format!("(SELECT {STATE} FROM pg_catalog.{name}{rows})"));
    }
    let catalogs = concatenation(&parts, ", ' ', ");
    let seeded: Vec<String> = seeded.iter().map(|name| format!("(SELECT {STATE} FROM ONLY {name})")).collect();
    let seeded = concatenation(&seeded, ", ' ', ");
    format!(
        "SELECT {contents}, {catalogs} AS catalogs, {seeded} AS seeded, {} AS roles, {}",
        include_str!("roles.sql"),
        include_str!("outside.sql"),
    )
}

/// Which tables have rows, and where sequences are.
fn contents(tables: &[String], sequences: &[Sequence]) -> String {
    let filled = tables.iter().map(|name| format!("(EXISTS (SELECT FROM ONLY {name}))::int"));
    let filled = concatenation(&filled.collect::<Vec<_>>(), ", ");
    let sequences = sequences
        .iter()
        .map(|sequence| format!("(SELECT last_value::text || is_called::text FROM {})", sequence.name));
    let sequences = sequences.collect::<Vec<_>>().join(", ");
    format!("{filled} AS filled, ARRAY[{sequences}]::text[] AS sequences")
}

/// The number of rows, and the newest transaction that wrote one.
const STATE: &str = "count(*) || ':' || coalesce(max(xmin::text::bigint), 0)";

/// A text of all parts. A function takes at most a hundred arguments.
fn concatenation(parts: &[String], separator: &str) -> String {
    let groups = parts.chunks(40).map(|group| format!("concat({})", group.join(separator)));
    let groups: Vec<String> = groups.collect();
    if groups.is_empty() { "''".to_owned() } else { groups.join(" || ") }
}

/// The session that stays in a database which is used again and again.
#[derive(Debug)]
pub(super) struct Keeper {
    connection: PgConnection,
    uses: u32,
}

impl Keeper {
    pub(super) async fn start(mut connection: PgConnection) -> Result<Self, sqlx::Error> {
        let settings = format!(
            // Not before each use: that would have every plan made anew.
            "SET session_replication_role = replica; SET row_security = off; SET search_path = ''; SET jit = off; SET lock_timeout = '1s'; SET statement_timeout = {}",
            STATEMENT_TIME_MAX.as_millis()
        );
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
        Ok(Self { connection, uses: 0 })
    }

    pub(super) async fn is_alive(&mut self) -> bool {
        matches!(timeout(STATEMENT_TIME_MAX, self.connection.ping()).await, Ok(Ok(())))
    }

    /// Ends all other sessions, then makes the database like new. Also returns what there is of roles now.
    pub(super) async fn restore(
        &mut self,
        plan: &Plan,
        identity: &Identity,
        roles: &str,
    ) -> Result<(Verdict, Option<String>), sqlx::Error> {
        if !self.end_sessions(identity).await? {
            return Ok((Verdict::Spoiled("its sessions do not end"), None));
        }
        let found = plan.look(&mut self.connection).await?;
        if let Some(what) = plan.spoils(&found, identity, roles) {
            return Ok((Verdict::Spoiled(what), Some(found.roles)));
        }
        self.uses += 1;
        let Some((statements, filled)) = plan.restoration(&found.filled, &found.sequences) else {
            return Ok((Verdict::Restored, None));
        };
        // One transaction, as they are sent as one.
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await?;
        if done.rows_affected() > DEAD_ROWS_MAX || self.uses.is_multiple_of(USES_BETWEEN_VACUUMS) {
            self.vacuum(&filled).await?;
        }
        if !plan.is_restored(&mut self.connection).await? {
            return Ok((Verdict::Spoiled("what was left in it does not go away"), None));
        }
        Ok((Verdict::Restored, None))
    }

    async fn end_sessions(&mut self, identity: &Identity) -> Result<bool, sqlx::Error> {
        let started = Instant::now();
        loop {
            let others: i64 = sqlx::query_scalar(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_get_activity(NULL)
                 WHERE datid = $1::bigint::oid AND pid <> pg_backend_pid()",
            )
            .bind(identity.oid)
            .fetch_one(&mut self.connection)
            .await?;
            if others == 0 {
                return Ok(true);
            }
            if started.elapsed() > SESSIONS_TIME_MAX {
                return Ok(false);
            }
            tokio::time::sleep(SESSIONS_POLL_INTERVAL).await;
        }
    }

    async fn vacuum(&mut self, tables: &[&str]) -> Result<(), sqlx::Error> {
        for table in tables {
            let statement = AssertSqlSafe(format!("VACUUM {table}"));
            sqlx::raw_sql(statement).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(super) async fn end(self) {
        let _ = self.connection.close().await;
    }
}
