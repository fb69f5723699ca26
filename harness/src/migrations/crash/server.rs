//! A server that crashes in the middle of a migration.

use sqlx::Connection as _;

use super::state::State;
use super::{run_part, run_whole};
use crate::environment::EnvironmentError;
use crate::migration_set::MigrationSet;
use crate::migrations::Settings;
use crate::migrations::generate::{self, Fill};
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError};
use crate::migrations::source::Project;
use crate::server::{Crash, TestServer};

/// So many rows are enough to see whether they survive.
const ROWS: usize = 5;

/// What was there after the server had crashed in the middle of a migration.
#[derive(Debug, Clone, Default)]
pub struct AfterServerCrash {
    /// The migration; None if there is none that can be interrupted.
    pub step: Option<usize>,
    /// What differs from the time before the migration.
    pub changed: Option<String>,
    /// Tables that had rows and have none any more.
    pub emptied: Vec<String>,
    /// What the server refused afterwards, with the step.
    pub refused: Option<(usize, Refusal)>,
    /// The schema at the end.
    pub schema: String,
}

/// Crashes a server of its own in the middle of the last migration that runs in a transaction.
///
/// # Errors
/// When the environment is broken, or there are no binaries to start a server from.
pub async fn crash_the_server(
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
) -> Result<AfterServerCrash, SandboxError> {
    let is_refused = |number: usize| refusals.get(number).is_some_and(Option::is_some);
    let middle = project
        .steps
        .iter()
        .enumerate()
        .rposition(|(number, step)| step.up.in_transaction && !is_refused(number) && number > 0)
        .or_else(|| project.steps.first().is_some_and(|step| step.up.in_transaction).then_some(0));
    let Some(middle) = middle else { return Ok(AfterServerCrash::default()) };
    let mut server = TestServer::start().await?;
    let nothing = MigrationSet::new(Vec::new())
        .map_err(|error| EnvironmentError::Server { message: error.to_string().into() })?;
    let sandbox = Sandbox::on(server.database(&nothing).await?, settings, &[]).await?;
    for step in project.steps.get(..middle).unwrap_or_default() {
        run_whole(&mut sandbox.session().await?, &step.up).await?;
    }
    let mut admin = sandbox.admin().await?;
    let fill = Fill { rows_per_table: ROWS, ..Fill::default() };
    // What cannot be filled stays as it is.
    let _ = generate::fill(&mut admin, &fill).await;
    let before = State::of(&mut admin, sandbox.role()).await?;
    let _ = admin.close().await;
    let mut session = sandbox.session().await?;
    let mut found = AfterServerCrash { step: Some(middle), ..AfterServerCrash::default() };
    if let Some(step) = project.steps.get(middle) {
        run_part(&mut session, &step.up, usize::MAX).await?;
    }
    server.crash(Crash::Immediate).await;
    drop(session);
    server.restart().await?;
    sandbox.reconnect().await?;
    let mut after = State::take(&sandbox).await?;
    for (table, rows) in &before.rows {
        // Told apart from other differences: it is the table that is not logged.
        if *rows > 0 && after.rows.get(table) == Some(&0) {
            found.emptied.push(table.clone());
            after.rows.insert(table.clone(), *rows);
        }
    }
    found.changed = before.difference(&after);
    for (number, step) in project.steps.iter().enumerate().skip(middle) {
        let refusal = run_whole(&mut sandbox.session().await?, &step.up).await?;
        if let (Some(refusal), false, true) = (refusal, is_refused(number), found.refused.is_none()) {
            found.refused = Some((number, refusal));
        }
    }
    found.schema = State::take(&sandbox).await?.schema;
    Ok(found)
}
