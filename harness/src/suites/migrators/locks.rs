//! Runs that do not come to their end must keep nobody from coming to theirs.

use super::MigratorSubject;
use super::stage::{Stage, file, waits_at_gate};
use crate::case::CaseResult;
use crate::check_eq;

pub(super) async fn a_failed_run_releases_its_lock(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let first = file(1, "models", "CREATE TABLE public.models (id bigint PRIMARY KEY);");
    let failing = [first.clone(), file(2, "services", "SELECT 1 / 0;")];
    let sound = [first, file(2, "services", "CREATE TABLE public.services (id bigint PRIMARY KEY);")];
    // The instance stays, with its pool, and answers requests by what is there.
    let instance = stage.instance("the failed run");
    stage.fails(&failing, &instance, "a run with a file that fails").await?;
    let next = stage.start(&sound, "the next run");
    stage.ends_undisturbed(next, "a run after a failed one").await?;
    check_eq!(stage.executed().await?, [1, 2], "the files that were run");
    stage.succeeds(&sound, &instance, "a run of the instance whose first one failed").await
}

pub(super) async fn a_cancelled_run_releases_its_lock(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let sql = format!("{}\nCREATE TABLE public.models (id bigint PRIMARY KEY);", waits_at_gate());
    let files = [file(1, "models", &sql)];
    let gate = stage.close_gate().await?;
    let run = stage.start(&files, "the cancelled run");
    stage.wait_for_gate(&run).await?;
    let cancelled = run.cancel().await;
    gate.open().await?;
    let next = stage.start(&files, "the next run");
    stage.ends_undisturbed(next, "a run after a cancelled one").await?;
    check_eq!(stage.executed().await?, [1], "the files that were run");
    check_eq!(stage.history().await?, [1], "the versions in the migrator's history");
    drop(cancelled);
    Ok(())
}
