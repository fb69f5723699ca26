//! `prompt_optimization_runs` and `optimized_instructions`.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::read::{Reader, integer};
use super::session::Session;
use super::statement::statements;
use super::{Statement, Store};
use crate::domain::{
    Instruction, InstructionId, NewInstruction, NewPromptRun, PromptRun, PromptRunEnd, PromptRunId,
    validate_agent_name,
};
use crate::repository::cursor::{List, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::prompt::{INSTRUCTIONS, RUNS, cannot_end, no_instruction, no_run};
use crate::repository::{Page, PageRequest, PromptRepository, RepositoryError};

/// The runs and instructions of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresPromptRepository {
    store: Store,
}

impl PostgresPromptRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn try_add(&self, new: &NewInstruction) -> Result<Instruction, RepositoryError> {
        let mut session = Session::begin(self.store.pool()).await?;
        let outcome = async {
            let connection = session.connection()?;
            sqlx::query(LOCK_AGENT.sql).bind(&new.agent_name).execute(&mut *connection).await?;
            // A statement of its own sees what was committed while the first one waited.
            let row = sqlx::query(ADD_INSTRUCTION.sql)
                .bind(&new.agent_name)
                .bind(&new.instruction)
                .bind(new.score)
                .bind(new.run_id.map(PromptRunId::as_uuid))
                .fetch_one(&mut *connection)
                .await?;
            instruction(&row)
        }
        .await;
        session.end(outcome).await
    }

    async fn try_activate(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        let mut session = Session::begin(self.store.pool()).await?;
        let outcome = async {
            let connection = session.connection()?;
            let row = sqlx::query(AGENT_OF.sql).bind(id.as_uuid()).fetch_optional(&mut *connection).await?;
            let agent_name: String = row.ok_or_else(|| no_instruction(id))?.try_get("agent_name")?;
            sqlx::query(LOCK_AGENT.sql).bind(&agent_name).execute(&mut *connection).await?;
            sqlx::query(DEACTIVATE_OTHERS.sql)
                .bind(&agent_name)
                .bind(id.as_uuid())
                .execute(&mut *connection)
                .await?;
            let row = sqlx::query(ACTIVATE.sql).bind(id.as_uuid()).fetch_optional(&mut *connection).await?;
            instruction(&row.ok_or_else(|| no_instruction(id))?)
        }
        .await;
        session.end(outcome).await
    }
}

/// The columns that [`run`] reads.
macro_rules! run_columns {
    () => {
        "id, agent_name, optimizer_type, budget, status, initial_score, best_score, evaluations, error_message, \
         started_at, completed_at"
    };
}

/// The columns that [`instruction`] reads.
macro_rules! instruction_columns {
    () => {
        "id, agent_name, version, instruction, score, run_id, is_active, activated_at, created_at"
    };
}

statements! {
    START_RUN(18) = concat!(
        "INSERT INTO prompt_optimization_runs (agent_name, optimizer_type, budget, initial_score) \
         VALUES ($1, $2, $3, $4) RETURNING ",
        run_columns!()
    );

    FINISH_RUN(18) = concat!(
        "UPDATE prompt_optimization_runs \
         SET status = $2, best_score = $3, evaluations = $4, error_message = $5, \
             completed_at = greatest(now(), started_at) \
         WHERE id = $1 AND status = 'running' AND coalesce($4 <= budget, true) RETURNING ",
        run_columns!()
    );

    FIND_RUN(18) = concat!("SELECT ", run_columns!(), " FROM prompt_optimization_runs WHERE id = $1");

    LIST_RUNS(18) = concat!(
        "SELECT ",
        run_columns!(),
        " FROM prompt_optimization_runs WHERE agent_name = $1 AND (started_at, id) < ($2, $3) \
         ORDER BY started_at DESC, id DESC LIMIT $4"
    );

    /// Until the end of the transaction, nobody else adds or activates an instruction of the agent.
    LOCK_AGENT(18) = "SELECT pg_advisory_xact_lock(hashtextextended('optimized_instructions ' || $1, 0))";

    ADD_INSTRUCTION(18) = concat!(
        "INSERT INTO optimized_instructions (agent_name, version, instruction, score, run_id) \
         SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4 FROM optimized_instructions WHERE agent_name = $1 \
         RETURNING ",
        instruction_columns!()
    );

    AGENT_OF(18) = "SELECT agent_name FROM optimized_instructions WHERE id = $1";

    DEACTIVATE_OTHERS(18) =
        "UPDATE optimized_instructions SET is_active = false WHERE agent_name = $1 AND is_active AND id <> $2";

    ACTIVATE(18) = concat!(
        "UPDATE optimized_instructions \
         SET is_active = true, \
             activated_at = CASE WHEN is_active THEN activated_at ELSE greatest(now(), created_at) END \
         WHERE id = $1 RETURNING ",
        instruction_columns!()
    );

    DEACTIVATE(18) = concat!(
        "UPDATE optimized_instructions SET is_active = false WHERE id = $1 RETURNING ",
        instruction_columns!()
    );

    FIND_INSTRUCTION(18) =
        concat!("SELECT ", instruction_columns!(), " FROM optimized_instructions WHERE id = $1");

    ACTIVE(18) = concat!(
        "SELECT ",
        instruction_columns!(),
        " FROM optimized_instructions WHERE agent_name = $1 AND is_active"
    );

    LIST_INSTRUCTIONS(18) = concat!(
        "SELECT ",
        instruction_columns!(),
        " FROM optimized_instructions WHERE agent_name = $1 AND version < $2::bigint \
         ORDER BY version DESC LIMIT $3"
    );
}

#[async_trait]
impl PromptRepository for PostgresPromptRepository {
    async fn start_run(&self, new: NewPromptRun) -> Result<PromptRun, RepositoryError> {
        new.validate()?;
        let row = sqlx::query(START_RUN.sql)
            .bind(new.agent_name)
            .bind(new.optimizer_type)
            .bind(integer(new.budget))
            .bind(new.initial_score)
            .fetch_one(self.store.pool())
            .await?;
        run(&row)
    }

    async fn finish_run(&self, id: PromptRunId, end: PromptRunEnd) -> Result<PromptRun, RepositoryError> {
        end.validate()?;
        let (best_score, evaluations, message) = match &end {
            PromptRunEnd::Completed { best_score, evaluations } => {
                (Some(*best_score), Some(integer(*evaluations)), None)
            }
            PromptRunEnd::Failed(message) => (None, None, Some(message)),
            PromptRunEnd::Cancelled => (None, None, None),
        };
        let row = sqlx::query(FINISH_RUN.sql)
            .bind(id.as_uuid())
            .bind(end.status().as_str())
            .bind(best_score)
            .bind(evaluations)
            .bind(message)
            .fetch_optional(self.store.pool())
            .await?;
        match row {
            Some(row) => run(&row),
            None => Err(cannot_end(&self.find_run(id).await?, &end).unwrap_or_else(|| no_run(id))),
        }
    }

    async fn find_run(&self, id: PromptRunId) -> Result<PromptRun, RepositoryError> {
        let row = sqlx::query(FIND_RUN.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        run(&row.ok_or_else(|| no_run(id))?)
    }

    async fn runs(&self, agent_name: &str, request: PageRequest) -> Result<Page<PromptRun>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [agent_name];
        let list = List::filtered(RUNS, &filter);
        let (started_at, after) = self.store.cursors().after(&list, &request, before_newest())?;
        let rows = sqlx::query(LIST_RUNS.sql)
            .bind(agent_name)
            .bind(started_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let runs = rows.iter().map(run).collect::<Result<Vec<_>, _>>()?;
        Page::of(runs, limit, |last| self.store.cursors().cursor(&list, &(last.started_at, last.id.as_uuid())))
    }

    async fn add_instruction(&self, new: NewInstruction) -> Result<Instruction, RepositoryError> {
        new.validate()?;
        self.store.retry(|| self.try_add(&new)).await
    }

    async fn activate(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        self.store.retry(|| self.try_activate(id)).await
    }

    async fn deactivate(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        let row = sqlx::query(DEACTIVATE.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        instruction(&row.ok_or_else(|| no_instruction(id))?)
    }

    async fn find_instruction(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        let row = sqlx::query(FIND_INSTRUCTION.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        instruction(&row.ok_or_else(|| no_instruction(id))?)
    }

    async fn active(&self, agent_name: &str) -> Result<Option<Instruction>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let row = sqlx::query(ACTIVE.sql).bind(agent_name).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(instruction).transpose()
    }

    async fn instructions(
        &self,
        agent_name: &str,
        request: PageRequest,
    ) -> Result<Page<Instruction>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [agent_name];
        let list = List::filtered(INSTRUCTIONS, &filter);
        let after = self.store.cursors().after(&list, &request, i64::MAX)?;
        let rows = sqlx::query(LIST_INSTRUCTIONS.sql)
            .bind(agent_name)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let instructions = rows.iter().map(instruction).collect::<Result<Vec<_>, _>>()?;
        Page::of(instructions, limit, |last| self.store.cursors().cursor(&list, &i64::from(last.version)))
    }
}

fn run(row: &PgRow) -> Result<PromptRun, RepositoryError> {
    let row = Reader::new("prompt run", row)?;
    Ok(PromptRun {
        id: row.id(),
        agent_name: row.get("agent_name")?,
        optimizer_type: row.get("optimizer_type")?,
        budget: row.count("budget")?,
        status: row.parse("status")?,
        initial_score: row.get("initial_score")?,
        best_score: row.get("best_score")?,
        evaluations: row.optional_count("evaluations")?,
        error_message: row.get("error_message")?,
        started_at: row.get("started_at")?,
        completed_at: row.get("completed_at")?,
    })
}

fn instruction(row: &PgRow) -> Result<Instruction, RepositoryError> {
    let row = Reader::new("instruction", row)?;
    Ok(Instruction {
        id: row.id(),
        agent_name: row.get("agent_name")?,
        version: row.count("version")?,
        instruction: row.get("instruction")?,
        score: row.get("score")?,
        run_id: row.optional_reference("run_id")?,
        is_active: row.get("is_active")?,
        activated_at: row.get("activated_at")?,
        created_at: row.get("created_at")?,
    })
}
