//! Files without a transaction, which nothing rolls back.

use super::MigratorSubject;
use super::stage::{Stage, file, waits_at_gate_in_block};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::migration_set::Migration;

pub(super) async fn a_no_transaction_file_with_two_statements_is_applied_or_refused(
    subject: MigratorSubject,
) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let files = [
        file(1, "models", "CREATE TABLE public.models (name text NOT NULL, stage text NOT NULL);"),
        Migration::new(
            2,
            "indexes",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY models_name ON public.models (name);\n\
             CREATE INDEX CONCURRENTLY models_stage ON public.models (stage);\n",
            None,
        ),
    ];
    let ended = stage.up(&files, &stage.instance("instance")).await;
    let found = (stage.has("models_name").await?, stage.has("models_stage").await?);
    let history = stage.history().await?;
    match ended {
        Ok(()) => {
            check_eq!(found, (true, true), "whether both indexes are there after success");
            check_eq!(history, [1, 2], "the versions in the history after success");
        }
        Err(_) => {
            check_eq!(found, (false, false), "whether either index is there after a refusal");
            check_eq!(history, [1], "the versions in the history after a refusal");
        }
    }
    Ok(())
}

pub(super) async fn a_killed_no_transaction_file_is_not_forgotten(subject: MigratorSubject) -> CaseResult {
    let mut stage = Stage::new(&subject).await?;
    let models = file(1, "models", "CREATE TABLE public.models (id bigint PRIMARY KEY);");
    // What it does is committed while it waits: between the file and the migrator's record of it.
    let fill = format!(
        "-- no-transaction\nDO $$ BEGIN\n    INSERT INTO public.executed VALUES (2);\n    COMMIT;\n    {}\nEND $$;\n",
        waits_at_gate_in_block()
    );
    let files = [models, Migration::new(2, "fill", fill, None)];
    let gate = stage.close_gate().await?;
    let run = stage.start(&files, "the killed run");
    let pid = stage.wait_for_gate(&run).await?;
    let kill = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid);
    kill.execute(stage.watcher()).await.map_err(CaseError::harness)?;
    let killed = run.ends().await?;
    gate.open().await?;
    // It may refuse, or know what is left to do; it must not begin as if nothing had happened.
    let next = stage.up(&files, &stage.instance("the next run")).await;
    let executed = stage.executed().await?;
    drop(killed);
    check!(
        executed == [1, 2],
        "expected the next run to know of a file that was killed after it had done its work, found that it ran it once \
         more: files run {executed:?}, and then {}",
        next.map_or_else(|error| super::stage::text(&error), |()| "success".to_owned())
    );
    Ok(())
}
