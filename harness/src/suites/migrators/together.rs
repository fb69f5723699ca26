//! Several runs at the same time, as when all instances of a service start.

use super::MigratorSubject;
use super::stage::{Stage, file, waits_at_gate};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::migration_set::Migration;

pub(super) async fn two_runs_at_once(subject: MigratorSubject) -> CaseResult {
    together(&mut Stage::new(&subject).await?, 2, &tables()).await
}

pub(super) async fn eight_runs_at_once(subject: MigratorSubject) -> CaseResult {
    together(&mut Stage::new(&subject).await?, 8, &tables()).await
}

pub(super) async fn runs_at_once_with_concurrently(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let index = Migration::new(
        2,
        "index",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY models_name ON public.models (name);\n",
        None,
    );
    let first =
        file(1, "models", &format!("{}\nCREATE TABLE public.models (name text NOT NULL);", waits_at_gate()));
    together(&mut stage, 2, &[first, index]).await?;
    let valid =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('public.models_name') AND indisvalid";
    let valid =
        sqlx::query_scalar::<_, i64>(valid).fetch_one(stage.watcher()).await.map_err(CaseError::harness)?;
    check_eq!(valid, 1, "valid indexes called models_name");
    Ok(())
}

fn tables() -> [Migration; 2] {
    [
        file(1, "models", &format!("{}\nCREATE TABLE public.models (id bigint PRIMARY KEY);", waits_at_gate())),
        file(2, "services", "CREATE TABLE public.services (id bigint PRIMARY KEY);"),
    ]
}

/// Starts as many runs while the first one is in the middle of its first file, lets it go on, and expects all to
/// succeed and each file to have been run once.
async fn together(stage: &mut Stage, count: usize, files: &[Migration]) -> CaseResult {
    let gate = stage.close_gate().await?;
    let mut runs = vec![stage.start(files, "run 1")];
    stage.wait_for_gate(&runs[0]).await?;
    for number in 2..=count {
        runs.push(stage.start(files, &format!("run {number}")));
    }
    for run in &runs {
        stage.wait_until_settled(run).await?;
    }
    gate.open().await?;
    for run in runs {
        run.succeeds(&format!("{count} runs at once")).await?;
    }
    let mut executed = stage.executed().await?;
    executed.dedup();
    check_eq!(
        executed.len(),
        stage.executed().await?.len(),
        "the number of files that were run, each counted once"
    );
    let versions: Vec<i64> = files.iter().map(|file| file.version).collect();
    check_eq!(stage.history().await?, versions, "the versions in the migrator's history");
    check!(stage.has("models").await?, "expected the table models, found none");
    Ok(())
}
