//! Prompt optimisation runs and instructions.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, now};
use crate::domain::{
    Instruction, InstructionId, NewInstruction, NewPromptRun, PromptRun, PromptRunEnd, PromptRunId,
    PromptRunStatus, validate_agent_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::prompt::{
    INSTRUCTIONS, RUNS, cannot_end, no_instruction, no_run, prompt_constraint as constraint,
};
use crate::repository::{Page, PageRequest, PromptRepository, RepositoryError};

/// Runs and instructions in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryPromptRepository {
    store: MemoryStore,
}

/// The rows of the tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    runs: HashMap<PromptRunId, PromptRun>,
    instructions: HashMap<InstructionId, Instruction>,
}

impl From<&MemoryStore> for MemoryPromptRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn run_key(run: &PromptRun) -> Moment {
    (run.started_at, run.id.as_uuid())
}

impl Rows {
    fn instruction(&self, id: InstructionId) -> Result<&Instruction, RepositoryError> {
        self.instructions.get(&id).ok_or_else(|| no_instruction(id))
    }

    fn of_agent(&self, agent_name: &str) -> impl Iterator<Item = &Instruction> {
        self.instructions.values().filter(move |instruction| instruction.agent_name == agent_name)
    }
}

#[async_trait]
impl PromptRepository for MemoryPromptRepository {
    async fn start_run(&self, new: NewPromptRun) -> Result<PromptRun, RepositoryError> {
        new.validate()?;
        let run = PromptRun {
            id: PromptRunId::random(),
            agent_name: new.agent_name,
            optimizer_type: new.optimizer_type,
            budget: new.budget,
            status: PromptRunStatus::Running,
            initial_score: new.initial_score,
            best_score: None,
            evaluations: None,
            error_message: None,
            started_at: now(),
            completed_at: None,
        };
        self.store.tables().prompts.runs.insert(run.id, run.clone());
        Ok(run)
    }

    async fn finish_run(&self, id: PromptRunId, end: PromptRunEnd) -> Result<PromptRun, RepositoryError> {
        end.validate()?;
        let mut tables = self.store.tables();
        let run = tables.prompts.runs.get_mut(&id).ok_or_else(|| no_run(id))?;
        if let Some(error) = cannot_end(run, &end) {
            return Err(error);
        }
        run.status = end.status();
        run.completed_at = Some(now().max(run.started_at));
        match end {
            PromptRunEnd::Completed { best_score, evaluations } => {
                (run.best_score, run.evaluations) = (Some(best_score), Some(evaluations));
            }
            PromptRunEnd::Failed(message) => run.error_message = Some(message),
            PromptRunEnd::Cancelled => {}
        }
        Ok(run.clone())
    }

    async fn find_run(&self, id: PromptRunId) -> Result<PromptRun, RepositoryError> {
        self.store.tables().prompts.runs.get(&id).cloned().ok_or_else(|| no_run(id))
    }

    async fn runs(&self, agent_name: &str, request: PageRequest) -> Result<Page<PromptRun>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [agent_name];
        let list = List::filtered(RUNS, &filter);
        let after = self.store.cursors.after(&list, &request, before_newest())?;
        let tables = self.store.tables();
        let is_one = |run: &&PromptRun| run.agent_name == agent_name && run_key(run) < after;
        let mut runs: Vec<_> = tables.prompts.runs.values().filter(is_one).cloned().collect();
        runs.sort_by_key(|run| Reverse(run_key(run)));
        Page::of(runs, limit, |last| self.store.cursors.cursor(&list, &run_key(last)))
    }

    async fn add_instruction(&self, new: NewInstruction) -> Result<Instruction, RepositoryError> {
        new.validate()?;
        let rows = &mut self.store.tables().prompts;
        let is_of_agent = |id| rows.runs.get(&id).is_some_and(|run| run.agent_name == new.agent_name);
        if !new.run_id.is_none_or(is_of_agent) {
            return Err(RepositoryError::missing(constraint::INSTRUCTION_RUN));
        }
        let latest = rows.of_agent(&new.agent_name).map(|instruction| instruction.version).max();
        let instruction = Instruction {
            id: InstructionId::random(),
            agent_name: new.agent_name,
            version: latest.unwrap_or(0) + 1,
            instruction: new.instruction,
            score: new.score,
            run_id: new.run_id,
            is_active: false,
            activated_at: None,
            created_at: now(),
        };
        rows.instructions.insert(instruction.id, instruction.clone());
        Ok(instruction)
    }

    async fn activate(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        let rows = &mut self.store.tables().prompts;
        let agent_name = rows.instruction(id)?.agent_name.clone();
        for instruction in rows.instructions.values_mut().filter(|one| one.agent_name == agent_name) {
            let is_one = instruction.id == id;
            if is_one && !instruction.is_active {
                instruction.activated_at = Some(now().max(instruction.created_at));
            }
            instruction.is_active = is_one;
        }
        rows.instruction(id).cloned()
    }

    async fn deactivate(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        let mut tables = self.store.tables();
        let instruction = tables.prompts.instructions.get_mut(&id).ok_or_else(|| no_instruction(id))?;
        instruction.is_active = false;
        Ok(instruction.clone())
    }

    async fn find_instruction(&self, id: InstructionId) -> Result<Instruction, RepositoryError> {
        self.store.tables().prompts.instruction(id).cloned()
    }

    async fn active(&self, agent_name: &str) -> Result<Option<Instruction>, RepositoryError> {
        validate_agent_name(agent_name)?;
        Ok(self.store.tables().prompts.of_agent(agent_name).find(|instruction| instruction.is_active).cloned())
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
        let after = self.store.cursors.after(&list, &request, i64::MAX)?;
        let tables = self.store.tables();
        let before = tables.prompts.of_agent(agent_name).filter(|one| i64::from(one.version) < after);
        let mut instructions: Vec<_> = before.cloned().collect();
        instructions.sort_by_key(|instruction| Reverse(instruction.version));
        Page::of(instructions, limit, |last| self.store.cursors.cursor(&list, &i64::from(last.version)))
    }
}
