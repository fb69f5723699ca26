//! Files that are not what they should be.

use super::MigratorSubject;
use super::stage::{Stage, file};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::migration_set::Migration;

fn models() -> Migration {
    file(1, "models", "CREATE TABLE public.models (id bigint PRIMARY KEY);")
}

fn services() -> Migration {
    file(2, "services", "CREATE TABLE public.services (id bigint PRIMARY KEY);")
}

pub(super) async fn an_out_of_order_file_is_refused(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let traces = file(3, "traces", "CREATE TABLE public.traces (id bigint PRIMARY KEY);");
    let instance = stage.instance("instance");
    stage.succeeds(&[models(), traces.clone()], &instance, "versions 1 and 3").await?;
    let late = [models(), services(), traces];
    stage.fails(&late, &instance, "version 2 after version 3 was applied").await?;
    check_eq!(stage.executed().await?, [1, 3], "the files that were run");
    Ok(())
}

pub(super) async fn a_changed_file_is_refused(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let instance = stage.instance("instance");
    stage.succeeds(&[models(), services()], &instance, "versions 1 and 2").await?;
    let changed = Migration { up: models().up.replace("bigint", "integer"), ..models() };
    stage.fails(&[changed, services()], &instance, "version 1 with another text").await?;
    check_eq!(stage.executed().await?, [1, 2], "the files that were run");
    Ok(())
}

pub(super) async fn a_missing_file_is_refused(subject: MigratorSubject) -> CaseResult {
    let stage = Stage::new(&subject).await?;
    let instance = stage.instance("instance");
    stage.succeeds(&[models(), services()], &instance, "versions 1 and 2").await?;
    stage.fails(&[models()], &instance, "version 2 without its file").await.map(drop)
}

pub(super) async fn a_duplicate_version_is_refused(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let other = file(2, "traces", "CREATE TABLE public.traces (id bigint PRIMARY KEY);");
    let error =
        stage.fails(&[models(), services(), other], &stage.instance("instance"), "two files of version 2").await?;
    let executed = stage.executed().await?;
    check!(
        !executed.contains(&2),
        "two files of version 2: expected a refusal before either is applied, found that one of them was, by the order \
         of the directory, and then: {error}"
    );
    Ok(())
}

pub(super) async fn line_ends_do_not_change_the_checksum(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let instance = stage.instance("instance");
    stage.succeeds(&[models(), services()], &instance, "files with LF").await?;
    let checked_out = |file: Migration| Migration { up: file.up.replace('\n', "\r\n"), ..file };
    let files = [checked_out(models()), checked_out(services())];
    stage.succeeds(&files, &instance, "the same files with CRLF").await?;
    check_eq!(stage.executed().await?, [1, 2], "the files that were run");
    Ok(())
}

pub(super) async fn undo_without_a_down_file_is_an_error(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let instance = stage.instance("instance");
    let reversible = Migration { down: Some("DROP TABLE public.models;".to_owned()), ..models() };
    let files = [reversible, services()];
    stage.succeeds(&files, &instance, "versions 1 and 2").await?;
    match stage.undo(&files, &instance, 0).await {
        Err(_) => {}
        Ok(()) => {
            let left = (stage.has("models").await?, stage.has("services").await?);
            return Err(CaseError::failed(format!(
                "to revert version 2, which has no down file, and version 1: expected an error, found success, with \
                 models there: {}, services there: {}, and versions {:?} in the history",
                left.0,
                left.1,
                stage.history().await?
            )));
        }
    }
    check_eq!(stage.history().await?, [1, 2], "the versions in the history after an error");
    check!(
        stage.has("models").await?,
        "expected nothing to be reverted beside an error, found that models is gone"
    );
    Ok(())
}
