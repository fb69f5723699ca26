//! Makes a used database like new, or finds out that this cannot be done.
//!
//! A clone costs the server tens of milliseconds; most tests leave no more behind than rows. So what they left is
//! looked for through a session that stays, where it takes about a millisecond: rows of tables that were empty are
//! deleted and sequences set back. Whatever else has changed spoils the database. Catalogs and tables that had rows
//! are compared by the number of their rows and the newest transaction that wrote one: every change either takes a
//! row away or writes one with a newer transaction, so that what is equal is what it was.
//!
//! That comparison reads whole catalogs, and most tests write to none of them. So the server's counters of rows
//! written are asked first: a session counts what it writes, rolled back or not, and has told it when it is gone. Only
//! one that was told not to (`track_counts`, which no user but a superuser may set) writes unseen, and then not to
//! `pg_class`, which is always read, as tables, indexes and sequences are in it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
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

/// The SQLSTATE of the check that rows are gone.
const DIVISION_BY_ZERO: &str = "22012";

/// Catalogs of which every row counts; of all others only those that are not the system's own, whose rows nobody
/// changes but on purpose.
const WHOLE_CATALOGS: [&str; 4] = ["pg_class", "pg_language", "pg_largeobject_metadata", "pg_namespace"];

/// How to look at databases with one schema, and what an unused one looks like.
#[derive(Debug)]
pub(super) struct Plan {
    /// The query that says whether the catalogs and the rows from the beginning may have been written to, and all that
    /// is not told by them.
    glance: String,
    /// The query that says everything.
    check: String,
    /// Tables that are empty at first, ready for a statement.
    tables: Vec<String>,
    /// Sequences as they are at first.
    sequences: Vec<Sequence>,
    catalogs: String,
    seeded: String,
    /// The state of `pg_class`.
    relations: String,
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
    /// How often rows of catalogs, and of tables that had some from the beginning, were written.
    written: i64,
    relations: String,
    /// None unless looked for.
    compared: Option<Compared>,
    /// One digit per table: whether it has rows.
    filled: String,
    sequences: Vec<String>,
    database: String,
    roles: String,
    leftovers: i64,
}

/// What was read row by row.
#[derive(Debug)]
struct Compared {
    catalogs: String,
    seeded: String,
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
            glance: String::new(),
            check: String::new(),
            tables: Vec::new(),
            sequences: Vec::new(),
            catalogs: String::new(),
            seeded: String::new(),
            relations: String::new(),
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
        let glance = glance(&catalogs, &seeded, &contents);
        plan.check = format!("{glance}, {}", comparison(&catalogs, &seeded));
        plan.glance = glance;
        let found = plan.look(connection).await?;
        plan.relations = found.relations;
        if let Some(Compared { catalogs, seeded }) = found.compared {
            (plan.catalogs, plan.seeded) = (catalogs, seeded);
        }
        Ok(Some(plan))
    }

    /// Looks at everything.
    async fn look(&self, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        let row = sqlx::query(AssertSqlSafe(self.check.as_str())).fetch_one(connection).await?;
        let compared = Compared { catalogs: row.try_get("catalogs")?, seeded: row.try_get("seeded")? };
        Ok(Found { compared: Some(compared), ..Found::of(&row)? })
    }

    /// Looks at what takes a moment.
    async fn glance(&self, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        Found::of(&sqlx::query(AssertSqlSafe(self.glance.as_str())).fetch_one(connection).await?)
    }

    /// Why a database that was used by a test cannot be used by another, if so.
    fn spoils(&self, found: &Found, identity: &Identity, roles: &str) -> Option<&'static str> {
        let compared = |differs: fn(&Self, &Compared) -> bool| {
            found.compared.as_ref().is_some_and(|compared| differs(self, compared))
        };
        let differs = [
            (compared(|plan, found| found.catalogs != plan.catalogs), "its schema was changed"),
            (found.relations != self.relations, "its tables were changed"),
            (
                compared(|plan, found| found.seeded != plan.seeded),
                "rows that it had from the beginning were changed",
            ),
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
        for table in &filled {
            // Where rows stay nonetheless, a division fails.
            let _ = write!(statements, "SELECT 1 / (NOT EXISTS (SELECT FROM ONLY {table}))::int;");
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

impl Found {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            written: row.try_get("written")?,
            relations: row.try_get("relations")?,
            compared: None,
            filled: row.try_get("filled")?,
            sequences: row.try_get("sequences")?,
            database: row.try_get("database")?,
            roles: row.try_get("roles")?,
            leftovers: row.try_get("leftovers")?,
        })
    }
}

/// What can be found out without reading catalogs row by row.
fn glance(catalogs: &[Catalog], seeded: &[String], contents: &str) -> String {
    let counted =
        catalogs.iter().map(|catalog| format!("pg_catalog.{}", catalog.name)).chain(seeded.iter().cloned());
    let counted: Vec<String> =
        counted.map(|name| format!("'{}'::regclass::oid", name.replace('\'', "''"))).collect();
    format!(
        "SELECT {contents}, (SELECT coalesce(sum(pg_stat_get_tuples_inserted(relation) +
            pg_stat_get_tuples_updated(relation) + pg_stat_get_tuples_deleted(relation)), 0)::bigint
            FROM unnest(ARRAY[{}]) AS relation) AS written,
        (SELECT {STATE} FROM pg_catalog.pg_class) AS relations, {} AS roles, {}",
        counted.join(", "),
        include_str!("roles.sql"),
        include_str!("outside.sql"),
    )
}

fn comparison(catalogs: &[Catalog], seeded: &[String]) -> String {
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
    format!("{catalogs} AS catalogs, {seeded} AS seeded")
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
    /// How often rows had been written when the database was found to be like new.
    written: Option<i64>,
}

impl Keeper {
    pub(super) async fn start(mut connection: PgConnection) -> Result<Self, sqlx::Error> {
        let settings = format!(
            // Not before each use: that would have every plan made anew.
            "SET session_replication_role = replica; SET row_security = off; SET search_path = ''; SET jit = off; SET lock_timeout = '1s'; SET statement_timeout = {}",
            STATEMENT_TIME_MAX.as_millis()
        );
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
        Ok(Self { connection, uses: 0, written: None })
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
        let mut found = plan.glance(&mut self.connection).await?;
        if self.written != Some(found.written) {
            found = plan.look(&mut self.connection).await?;
        }
        if let Some(what) = plan.spoils(&found, identity, roles) {
            return Ok((Verdict::Spoiled(what), Some(found.roles)));
        }
        self.written = Some(found.written);
        self.uses += 1;
        let Some((statements, filled)) = plan.restoration(&found.filled, &found.sequences) else {
            return Ok((Verdict::Restored, None));
        };
        // One transaction, as they are sent as one.
        match sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await {
            Ok(done) if done.rows_affected() > DEAD_ROWS_MAX || self.uses.is_multiple_of(USES_BETWEEN_VACUUMS) => {
                self.vacuum(&filled).await?;
            }
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DIVISION_BY_ZERO) => {
                return Ok((Verdict::Spoiled("what was left in it does not go away"), None));
            }
            Err(error) => return Err(error),
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
