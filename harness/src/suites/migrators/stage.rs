//! What the cases have in common: a database with a log in which files write down that they were run, runs in the
//! background, and a gate at which a file waits until the case opens it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::MigratorSubject;
use crate::case::CaseError;
use crate::check;
use crate::database::TestDatabase;
use crate::migration_set::Migration;
use crate::migrations::migrator::{Instance, MigratorError};

/// No wait is longer than this; a sound migrator does not come near it.
const GUARD: Duration = Duration::from_secs(20);

/// How often the server is asked.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a run is blocked by one that has ended before that is no transition any more.
const BLOCKED_TIME_MAX: Duration = Duration::from_secs(2);

/// The gate's lock, in the space of two numbers, where no migrator has its own.
const GATE: (i32, i32) = (1_886_548_847, 1);

/// A database under migrators.
pub(super) struct Stage {
    subject: MigratorSubject,
    database: TestDatabase,
    /// For looking at the server while others are at work.
    watcher: PgConnection,
}

impl Stage {
    pub(super) async fn new(subject: &MigratorSubject) -> Result<Self, CaseError> {
        let database = subject.context.empty_database().await?;
        let mut watcher = database.connect().await.map_err(CaseError::harness)?;
        let log = sqlx::raw_sql("CREATE TABLE public.executed (version bigint NOT NULL)");
        log.execute(&mut watcher).await.map_err(CaseError::harness)?;
        Ok(Self { subject: subject.clone(), database, watcher })
    }

    /// Another instance of the service.
    pub(super) fn instance(&self, name: &str) -> Instance {
        Instance::new(&self.database, name)
    }

    pub(super) fn watcher(&mut self) -> &mut PgConnection {
        &mut self.watcher
    }

    /// A run from its beginning to its end.
    pub(super) async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        self.subject.migrator.up(files, instance).await
    }

    /// One that must succeed.
    pub(super) async fn succeeds(
        &self,
        files: &[Migration],
        instance: &Instance,
        what: &str,
    ) -> Result<(), CaseError> {
        let ended = timeout(GUARD, self.up(files, instance)).await;
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CaseError::failed(format!("{what}: expected success, found: {}", text(&error)))),
            Err(_) => Err(CaseError::failed(format!("{what}: expected an end within {GUARD:?}, found none"))),
        }
    }

    /// One that must fail; what it says.
    pub(super) async fn fails(
        &self,
        files: &[Migration],
        instance: &Instance,
        what: &str,
    ) -> Result<String, CaseError> {
        match timeout(GUARD, self.up(files, instance)).await {
            Ok(Err(error)) => Ok(text(&error)),
            Ok(Ok(())) => Err(CaseError::failed(format!("{what}: expected an error, found success"))),
            Err(_) => Err(CaseError::failed(format!("{what}: expected an error within {GUARD:?}, found none"))),
        }
    }

    /// Reverts what is applied above a version.
    pub(super) async fn undo(
        &self,
        files: &[Migration],
        instance: &Instance,
        version: i64,
    ) -> Result<(), MigratorError> {
        self.subject.migrator.undo(files, instance, version).await
    }

    /// A run in the background.
    pub(super) fn start(&self, files: &[Migration], name: &str) -> Run {
        let (migrator, instance) = (Arc::clone(&self.subject.migrator), self.instance(name));
        let (files, kept) = (files.to_vec(), instance.clone());
        let task = tokio::spawn(async move { migrator.up(&files, &instance).await });
        Run { name: name.to_owned(), task, _instance: kept }
    }

    /// The versions whose files were run, as often as they were.
    pub(super) async fn executed(&mut self) -> Result<Vec<i64>, CaseError> {
        let query = sqlx::query_scalar("SELECT version FROM public.executed ORDER BY version");
        query.fetch_all(&mut self.watcher).await.map_err(CaseError::harness)
    }

    /// Whether there is something of this name in the schema `public`.
    pub(super) async fn has(&mut self, relation: &str) -> Result<bool, CaseError> {
        let query =
            sqlx::query_scalar("SELECT to_regclass('public.' || quote_ident($1)) IS NOT NULL").bind(relation);
        query.fetch_one(&mut self.watcher).await.map_err(CaseError::harness)
    }

    /// What the migrator remembers.
    pub(super) async fn history(&self) -> Result<Vec<i64>, CaseError> {
        let history = self.subject.migrator.history(&self.instance("history")).await;
        history
            .map_err(|error| CaseError::failed(format!("its history: expected versions, found: {}", text(&error))))
    }

    /// Closes the gate that [`waits_at_gate`] is about.
    pub(super) async fn close_gate(&self) -> Result<Gate, CaseError> {
        let mut session = self.database.connect().await.map_err(CaseError::harness)?;
        let lock = sqlx::query("SELECT pg_advisory_lock($1, $2)").bind(GATE.0).bind(GATE.1);
        lock.execute(&mut session).await.map_err(CaseError::harness)?;
        Ok(Gate { session })
    }

    /// Waits until somebody is at the gate, unless the run has ended before.
    pub(super) async fn wait_for_gate(&mut self, run: &Run) -> Result<i32, CaseError> {
        let begun = Instant::now();
        while begun.elapsed() < GUARD {
            let query = "SELECT pid FROM pg_locks
                WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND (classid, objid, objsubid) = ($1::bigint::oid, $2::bigint::oid, 2) AND NOT granted
                LIMIT 1";
            let query = sqlx::query_scalar(query).bind(i64::from(GATE.0)).bind(i64::from(GATE.1));
            if let Some(pid) = query.fetch_optional(&mut self.watcher).await.map_err(CaseError::harness)? {
                return Ok(pid);
            }
            check!(
                !run.task.is_finished(),
                "expected {} to run its first file, found that it ended before",
                run.name
            );
            tokio::time::sleep(PAUSE).await;
        }
        Err(CaseError::failed(format!(
            "expected {} to run its first file within {GUARD:?}, found that it did not",
            run.name
        )))
    }

    /// Waits until a run cannot go on while another is at the gate: it waits for a lock, or asks for one again and
    /// again. One that never does either is not waited for for ever.
    pub(super) async fn wait_until_settled(&mut self, run: &Run) -> Result<(), CaseError> {
        let query = "SELECT count(*) > 0 FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = $1
                AND (wait_event_type = 'Lock' OR query ILIKE '%pg_try_advisory%')";
        let begun = Instant::now();
        while begun.elapsed() < GUARD / 2 && !run.task.is_finished() {
            let query = sqlx::query_scalar::<_, bool>(query).bind(&run.name);
            if query.fetch_one(&mut self.watcher).await.map_err(CaseError::harness)? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits for a run's success, and fails as soon as it is kept waiting by a session in which nothing runs any
    /// more, which will not let go.
    pub(super) async fn ends_undisturbed(&mut self, mut run: Run, what: &str) -> Result<(), CaseError> {
        let query = "SELECT holder.application_name AS name, holder.state AS state
            FROM pg_stat_activity waiter
            CROSS JOIN LATERAL unnest(pg_blocking_pids(waiter.pid)) AS blocker (pid)
            JOIN pg_stat_activity holder ON holder.pid = blocker.pid
            WHERE waiter.datname = current_database() AND waiter.application_name = $1
                AND holder.state LIKE 'idle%'
            LIMIT 1";
        let begun = Instant::now();
        let mut blocked_since: Option<Instant> = None;
        while begun.elapsed() < GUARD {
            if let Ok(ended) = timeout(PAUSE, &mut run.task).await {
                return run.judge(ended, what);
            }
            let query = sqlx::query(query).bind(&run.name);
            match query.fetch_optional(&mut self.watcher).await.map_err(CaseError::harness)? {
                None => blocked_since = None,
                Some(_) if blocked_since.get_or_insert_with(Instant::now).elapsed() < BLOCKED_TIME_MAX => {}
                Some(row) => {
                    let get = |column| row.try_get::<String, _>(column).unwrap_or_default();
                    return Err(CaseError::failed(format!(
                        "{what}: expected the next run to go on, found that it waits for a lock that a session of {} \
                         holds, which is {}: nobody will release it",
                        get("name"),
                        get("state")
                    )));
                }
            }
        }
        Err(CaseError::failed(format!(
            "{what}: expected the next run to end within {GUARD:?}, found that it did not"
        )))
    }
}

/// A lock that holds up whoever runs a file with [`waits_at_gate`] in it.
pub(super) struct Gate {
    session: PgConnection,
}

impl Gate {
    pub(super) async fn open(mut self) -> Result<(), CaseError> {
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1, $2)").bind(GATE.0).bind(GATE.1);
        unlock.execute(&mut self.session).await.map(drop).map_err(CaseError::harness)
    }
}

/// A run in the background; given up when it is dropped.
pub(super) struct Run {
    name: String,
    task: JoinHandle<Result<(), MigratorError>>,
    /// The instance lives on, with its pool.
    _instance: Instance,
}

impl Run {
    /// Waits for its success.
    pub(super) async fn succeeds(mut self, what: &str) -> Result<(), CaseError> {
        match timeout(GUARD, &mut self.task).await {
            Ok(ended) => self.judge(ended, what),
            Err(_) => Err(CaseError::failed(format!(
                "{what}: expected {} to end within {GUARD:?}, found that it did not",
                self.name
            ))),
        }
    }

    /// Waits for its end, whatever that is.
    pub(super) async fn ends(mut self) -> Result<Self, CaseError> {
        if timeout(GUARD, &mut self.task).await.is_err() {
            return Err(CaseError::failed(format!(
                "expected {} to end within {GUARD:?}, found that it did not",
                self.name
            )));
        }
        Ok(self)
    }

    /// Cancels it, as a service does that is shut down while it starts; the instance itself stays.
    pub(super) async fn cancel(mut self) -> Self {
        self.task.abort();
        let _ = timeout(GUARD, &mut self.task).await;
        self
    }

    fn judge(
        &self,
        ended: Result<Result<(), MigratorError>, tokio::task::JoinError>,
        what: &str,
    ) -> Result<(), CaseError> {
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                Err(CaseError::failed(format!("{what}: {}: expected success, found: {}", self.name, text(&error))))
            }
            Err(died) => match died.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(died) => Err(CaseError::harness(died)),
            },
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A file that writes down that it was run, and does something else.
pub(super) fn file(version: i64, name: &str, sql: &str) -> Migration {
    Migration::new(version, name, format!("INSERT INTO public.executed VALUES ({version});\n{sql}\n"), None)
}

/// The statement at which a file waits while the gate is closed.
pub(super) fn waits_at_gate() -> String {
    format!("SELECT pg_advisory_xact_lock_shared({}, {});", GATE.0, GATE.1)
}

/// The same within a block of PL/pgSQL.
pub(super) fn waits_at_gate_in_block() -> String {
    format!("PERFORM pg_advisory_xact_lock_shared({}, {});", GATE.0, GATE.1)
}

/// An error with its causes.
pub(super) fn text(error: &MigratorError) -> String {
    crate::error_chain(error)
}
