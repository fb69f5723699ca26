//! Our own migrator: what one has to do that passes every case, in as few lines as it takes. Each rule that it keeps
//! can be turned off, as in many a real one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::{Instance, Migrator, MigratorError};
use crate::case::Capability;
use crate::migration_set::Migration;
use crate::migrations::sql::split;

/// How long another run is waited for.
const LOCK_TIME_MAX: Duration = Duration::from_secs(300);

/// How often it is asked for.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How two runs are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// By an advisory lock of the session that is asked for again and again. Who asks holds no snapshot between two
    /// questions, so that `CREATE INDEX CONCURRENTLY` of the other run does not wait for it.
    Poll,
    /// By an advisory lock of the session that is waited for in the server.
    Wait,
    /// Not at all.
    None,
}

/// An advisory lock, a history table with checksums, and a transaction for each file.
///
/// A file that begins with `-- no-transaction` is run statement by statement. As it cannot be rolled back, it is
/// recorded before it begins, and again when it has ended: one that was begun and not finished is not begun again.
#[derive(Debug, Clone)]
pub struct PlainMigrator {
    /// How two runs are kept apart.
    pub lock: Lock,
    /// The history table, with its schema, so that no search path hides it.
    pub history: &'static str,
    /// Whether a file may come below the highest version that is applied.
    pub allows_out_of_order: bool,
    /// Whether a file may have changed since it was applied.
    pub allows_changed: bool,
    /// Whether a version may have lost its file.
    pub allows_missing: bool,
}

impl Default for PlainMigrator {
    fn default() -> Self {
        Self {
            lock: Lock::Poll,
            history: "public.proofmark_migrations",
            allows_out_of_order: false,
            allows_changed: false,
            allows_missing: false,
        }
    }
}

#[async_trait]
impl Migrator for PlainMigrator {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Undo, Capability::OutsideTransaction]
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        let files = in_order(files)?;
        let mut session = self.session(instance).await?;
        // On a failure the session ends with its lock: it belongs to no pool.
        let pending = self.pending(&files, &mut session).await?;
        for file in pending {
            self.apply(file, &mut session).await?;
        }
        self.end(session).await
    }

    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError> {
        let files = in_order(files)?;
        let mut session = self.session(instance).await?;
        self.pending(&files, &mut session).await?;
        let applied = self.applied(&mut session).await?;
        let reverted: Vec<&Migration> = files
            .into_iter()
            .rev()
            .filter(|file| file.version > version && applied.contains_key(&file.version))
            .collect();
        // All or nothing: to revert the half of it helps nobody.
        if let Some(file) = reverted.iter().find(|file| file.down.is_none()) {
            return Err(MigratorError::NoDownFile { file: file.up_file() });
        }
        for file in reverted {
            let down = file.down.as_deref().unwrap_or_default();
            let mut transaction = session.begin().await?;
            let done = transaction.execute(sqlx::raw_sql(AssertSqlSafe(down))).await;
            done.map_err(|source| MigratorError::Statement { file: file.down_file(), source })?;
            let delete = format!("DELETE FROM {} WHERE version = $1", self.history);
            sqlx::query(AssertSqlSafe(delete)).bind(file.version).execute(&mut *transaction).await?;
            transaction.commit().await?;
            reset(&mut session).await?;
        }
        self.end(session).await
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        let table = sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL").bind(self.history);
        if !table.fetch_one(instance.pool()).await? {
            return Ok(Vec::new());
        }
        let versions = format!("SELECT version FROM {} WHERE state = 'applied' ORDER BY version", self.history);
        Ok(sqlx::query_scalar(AssertSqlSafe(versions)).fetch_all(instance.pool()).await?)
    }
}

impl PlainMigrator {
    /// A session that holds the lock, with a history table.
    async fn session(&self, instance: &Instance) -> Result<PgConnection, MigratorError> {
        let mut session = instance.options().connect().await?;
        match self.lock {
            Lock::None => {}
            Lock::Wait => {
                let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(self.history);
                lock.execute(&mut session).await?;
            }
            Lock::Poll => self.poll(&mut session).await?,
        }
        // An existing table is left alone: a run that has nothing to do changes nothing.
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                version bigint PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                state text NOT NULL CHECK (state IN ('begun', 'applied')),
                at timestamptz NOT NULL DEFAULT now()
            )",
            self.history
        );
        session.execute(AssertSqlSafe(create)).await?;
        Ok(session)
    }

    async fn poll(&self, session: &mut PgConnection) -> Result<(), MigratorError> {
        let begun = Instant::now();
        loop {
            let lock = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock(hashtextextended($1, 0))");
            if lock.bind(self.history).fetch_one(&mut *session).await? {
                return Ok(());
            }
            if begun.elapsed() > LOCK_TIME_MAX {
                return Err(MigratorError::Locked { waited: LOCK_TIME_MAX });
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// The files that are to be applied, if what was applied before is as it should be.
    async fn pending<'a>(
        &self,
        files: &[&'a Migration],
        session: &mut PgConnection,
    ) -> Result<Vec<&'a Migration>, MigratorError> {
        let applied = self.applied(session).await?;
        if let Some((version, _)) = applied.iter().find(|(_, entry)| entry.state != "applied") {
            return Err(MigratorError::Interrupted { version: *version, history: self.history.to_owned() });
        }
        let missing = applied.keys().filter(|version| files.iter().all(|file| file.version != **version)).min();
        if let Some(version) = missing
            && !self.allows_missing
        {
            return Err(MigratorError::Missing { version: *version });
        }
        let head = applied.keys().max().copied().unwrap_or(i64::MIN);
        let mut pending = Vec::new();
        for file in files {
            match applied.get(&file.version) {
                Some(entry) if entry.checksum != checksum(&file.up) && !self.allows_changed => {
                    return Err(MigratorError::Changed { file: file.up_file() });
                }
                Some(_) => {}
                None if file.version < head && !self.allows_out_of_order => {
                    return Err(MigratorError::OutOfOrder { file: file.up_file(), version: file.version, head });
                }
                None => pending.push(*file),
            }
        }
        Ok(pending)
    }

    async fn applied(&self, session: &mut PgConnection) -> Result<HashMap<i64, Entry>, MigratorError> {
        let query = format!("SELECT version, checksum, state FROM {}", self.history);
        let rows: Vec<Entry> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(session).await?;
        Ok(rows.into_iter().map(|row| (row.version, row)).collect())
    }

    async fn apply(&self, file: &Migration, session: &mut PgConnection) -> Result<(), MigratorError> {
        let refused = |source| MigratorError::Statement { file: file.up_file(), source };
        if file.is_outside_transaction() {
            self.record(file, "begun", session).await?;
            for statement in split(&file.up, 0..file.up.len()) {
                let text = file.up.get(statement.range).unwrap_or_default();
                session.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map_err(refused)?;
            }
            let update = format!("UPDATE {} SET state = 'applied', at = now() WHERE version = $1", self.history);
            sqlx::query(AssertSqlSafe(update)).bind(file.version).execute(&mut *session).await?;
        } else {
            let mut transaction = session.begin().await?;
            transaction.execute(sqlx::raw_sql(AssertSqlSafe(file.up.as_str()))).await.map_err(refused)?;
            self.record(file, "applied", &mut transaction).await?;
            transaction.commit().await?;
        }
        reset(session).await
    }

    async fn record(
        &self,
        file: &Migration,
        state: &str,
        session: &mut PgConnection,
    ) -> Result<(), MigratorError> {
        let insert =
            format!("INSERT INTO {} (version, name, checksum, state) VALUES ($1, $2, $3, $4)", self.history);
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(file.version).bind(&file.stem);
        insert.bind(checksum(&file.up)).bind(state).execute(session).await?;
        Ok(())
    }

    async fn end(&self, mut session: PgConnection) -> Result<(), MigratorError> {
        if self.lock != Lock::None {
            let unlock = sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(self.history);
            unlock.execute(&mut session).await?;
        }
        Ok(session.close().await?)
    }
}

#[derive(sqlx::FromRow)]
struct Entry {
    version: i64,
    checksum: String,
    state: String,
}

/// What a file has set must not reach the next one.
async fn reset(session: &mut PgConnection) -> Result<(), MigratorError> {
    for statement in ["RESET SESSION AUTHORIZATION", "RESET ALL"] {
        session.execute(statement).await?;
    }
    Ok(())
}

/// The files by version.
fn in_order(files: &[Migration]) -> Result<Vec<&Migration>, MigratorError> {
    let mut files: Vec<&Migration> = files.iter().collect();
    files.sort_by_key(|file| file.version);
    for pair in files.windows(2) {
        if let [first, second] = pair
            && first.version == second.version
        {
            return Err(MigratorError::Duplicate {
                version: first.version,
                first: first.up_file(),
                second: second.up_file(),
            });
        }
    }
    Ok(files)
}

/// The same for a text whatever its line ends are, and whether or not an editor has put a mark at its beginning.
fn checksum(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_no_part_of_the_checksum() {
        assert_eq!(checksum("\u{feff}SELECT 1;\r\n"), checksum("SELECT 1;\n"));
        assert_ne!(checksum("SELECT 1;\n"), checksum("SELECT 1; \n"));
    }

    #[test]
    fn files_are_put_in_order() {
        let files = [Migration::new(2, "b", "", None), Migration::new(1, "a", "", None)];
        let versions: Vec<i64> = in_order(&files).unwrap().iter().map(|file| file.version).collect();
        assert_eq!(versions, [1, 2]);
        let twice = [Migration::new(1, "b", "", None), Migration::new(1, "a", "", None)];
        assert!(in_order(&twice).unwrap_err().to_string().contains("0001_b.sql and 0001_a.sql"));
    }
}
