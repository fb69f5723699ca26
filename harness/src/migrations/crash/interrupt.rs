//! Indexes that are made concurrently, and are interrupted in the middle.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::{POLL_INTERVAL, end, kill, process, run_part, run_whole};
use crate::migrations::observe::{document, run, tokens, words};
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError};
use crate::migrations::source::Script;

/// How long the statement may take until it waits for the lock that is held against it.
const WAIT_TIME_MAX: Duration = Duration::from_secs(10);

const INVALID: &str = "SELECT coalesce(pg_catalog.json_agg(i.indexrelid::regclass::text), '[]')::text
    FROM pg_catalog.pg_index i WHERE NOT i.indisvalid";

/// An index that was being made when its session was killed.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// The statement.
    pub statement: usize,
    /// The invalid indexes after the kill.
    pub invalid: Vec<String>,
    /// What the server said when the migration was run again.
    pub refused: Option<Refusal>,
    /// The invalid indexes after that.
    pub still_invalid: Vec<String>,
}

/// Whether a statement makes an index concurrently.
pub(super) fn is_concurrent(script: &Script, number: usize) -> bool {
    let Some(statement) = script.statements.get(number) else { return false };
    let words = words(script.statement(statement));
    let kind = if words.get(1).is_some_and(|word| word == "unique") { 2 } else { 1 };
    let word = |number: usize| words.get(number).map_or("", String::as_str);
    word(0) == "create" && word(kind) == "index" && word(kind + 1) == "concurrently"
}

/// The table of an index, as it is written.
fn table(text: &str) -> Option<String> {
    let tokens = tokens(text);
    let on = tokens.iter().position(|token| token.eq_ignore_ascii_case("on"))?;
    let mut rest = tokens.get(on + 1..)?.iter().skip_while(|token| token.eq_ignore_ascii_case("only"));
    let mut name = (*rest.next()?).to_owned();
    while let (Some(&"."), Some(part)) = (rest.next(), rest.next()) {
        name = format!("{name}.{part}");
    }
    Some(name)
}

/// Kills the session in the middle of the statement, and runs the script again. None if it could not be done.
pub(super) async fn interrupt(
    sandbox: &Sandbox,
    script: &Script,
    number: usize,
) -> Result<Option<Interrupted>, SandboxError> {
    let Some(table) = script.statements.get(number).and_then(|part| table(script.statement(part))) else {
        return Ok(None);
    };
    let mut session = sandbox.session().await?;
    let process = process(&mut session).await?;
    let refused = run_part(&mut session, script, number).await?;
    // The index is made, and waits for those that have the table in use.
    let mut user = sandbox.admin().await?;
    let locked = run(&mut user, &format!("BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE")).await?;
    let mut admin = sandbox.admin().await?;
    if refused.is_some() || locked.is_some() {
        kill(&mut admin, process).await?;
        return Ok(None);
    }
    let waits = async {
        let waited = wait(&mut admin, process).await;
        kill(&mut admin, process).await?;
        waited
    };
    // What becomes of the statement is known.
    let (_, waited) = tokio::join!(session.statement(script, number), waits);
    drop(session);
    run(&mut user, "ROLLBACK").await?;
    let _ = user.close().await;
    if !waited? {
        return Ok(None);
    }
    let invalid = document(&mut admin, INVALID, "look for invalid indexes").await?;
    let mut session = sandbox.session().await?;
    let refused = run_whole(&mut session, script).await?;
    end(session).await;
    let still_invalid = document(&mut admin, INVALID, "look for invalid indexes").await?;
    let _ = admin.close().await;
    Ok(Some(Interrupted { statement: number, invalid, refused, still_invalid }))
}

/// Waits until the session waits for somebody. Whether it does.
async fn wait(admin: &mut PgConnection, process: i64) -> Result<bool, SandboxError> {
    let query = format!("SELECT (pg_catalog.cardinality(pg_catalog.pg_blocking_pids({process})) > 0)::text");
    let deadline = Instant::now() + WAIT_TIME_MAX;
    while Instant::now() < deadline {
        if document(admin, &query, "look for a session that waits").await? {
            return Ok(true);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_an_index_is_found() {
        let found = |text| table(text).unwrap();
        assert_eq!(found("CREATE INDEX CONCURRENTLY i ON runs (a)"), "runs");
        assert_eq!(
            found("create unique index concurrently if not exists i on only \"S\".\"t\" using btree (a)"),
            "\"S\".\"t\""
        );
    }
}
