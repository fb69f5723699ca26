//! One run after another.

use super::MigratorSubject;
use super::stage::{Stage, file};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::schema::Fingerprint;

pub(super) async fn a_second_run_changes_nothing(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let files = [
        file(1, "models", "CREATE TABLE public.models (id bigint PRIMARY KEY);"),
        file(2, "services", "CREATE TABLE public.services (id bigint PRIMARY KEY);"),
    ];
    stage.succeeds(&files, &stage.instance("the first run"), "the first run").await?;
    let (history, before) = (stage.history().await?, fingerprint(&mut stage).await?);
    stage.succeeds(&files, &stage.instance("the second run"), "a second run").await?;
    let changes: Vec<String> =
        before.changes(&fingerprint(&mut stage).await?).iter().map(ToString::to_string).collect();
    check!(changes.is_empty(), "expected no change by a second run, found changes in {}", changes.join(", "));
    check_eq!(stage.executed().await?, [1, 2], "the files that were run");
    check_eq!(stage.history().await?, history, "the versions in the history after a second run");
    Ok(())
}

pub(super) async fn a_failing_file_leaves_no_trace(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let models = file(1, "models", "CREATE TABLE public.models (id bigint PRIMARY KEY);");
    let services = "CREATE TABLE public.services (id bigint PRIMARY KEY);";
    let failing = [models.clone(), file(2, "services", &format!("{services}\nSELECT 1 / 0;"))];
    let instance = stage.instance("instance");
    stage.fails(&failing, &instance, "a file whose last statement fails").await?;
    check!(
        !stage.has("services").await?,
        "expected a file that fails to be rolled back, found the table that its first statement creates"
    );
    check_eq!(stage.executed().await?, [1], "the files that were run and not rolled back");
    check_eq!(stage.history().await?, [1], "the versions in the history");
    // An instance that is deployed with the corrected file.
    let next = stage.instance("the next run");
    instance.pool().close().await;
    stage.succeeds(&[models, file(2, "services", services)], &next, "the corrected file").await
}

pub(super) async fn history_survives_a_hostile_search_path(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let files = [
        file(
            1,
            "registry",
            "CREATE SCHEMA registry;
            DO $$ BEGIN
                EXECUTE format('ALTER DATABASE %I SET search_path = registry, public', current_database());
            END $$;",
        ),
        file(2, "models", "SET search_path = registry;\nCREATE TABLE models (id bigint PRIMARY KEY);"),
    ];
    stage.succeeds(&files, &stage.instance("the first run"), "files that set the search path").await?;
    stage.succeeds(&files, &stage.instance("the second run"), "a run with another search path").await?;
    check_eq!(stage.executed().await?, [1, 2], "the files that were run");
    Ok(())
}

async fn fingerprint(stage: &mut Stage) -> Result<Fingerprint, CaseError> {
    Fingerprint::take(stage.watcher()).await.map_err(CaseError::harness)
}
