//! The contract of a store of prompt optimisation runs and the instructions that come out of them.

use async_trait::async_trait;

use super::{Page, PageRequest, RepositoryError};
use crate::domain::{
    Instruction, InstructionId, NewInstruction, NewPromptRun, PromptRun, PromptRunEnd, PromptRunId,
    PromptRunStatus,
};

/// The names of the constraints that errors name.
pub mod prompt_constraint {
    /// Foreign key: the run, of the same agent, that an instruction comes from.
    pub const INSTRUCTION_RUN: &str = "optimized_instructions_run_id_fkey";
    /// Unique: the version of an agent's instruction.
    pub const VERSION: &str = "optimized_instructions_agent_name_version_key";
    /// Unique: the active instruction of an agent.
    pub const ACTIVE: &str = "idx_optimized_instructions_active";
}

/// The lists of runs, by agent.
pub(super) const RUNS: &str = "prompt runs";
/// The lists of instructions, by agent.
pub(super) const INSTRUCTIONS: &str = "instructions";

/// There is no such run.
pub(super) fn no_run(id: PromptRunId) -> RepositoryError {
    RepositoryError::not_found("prompt run", id.as_uuid())
}

/// There is no such instruction.
pub(super) fn no_instruction(id: InstructionId) -> RepositoryError {
    RepositoryError::not_found("instruction", id.as_uuid())
}

/// Why a run cannot end so.
pub(super) fn cannot_end(run: &PromptRun, end: &PromptRunEnd) -> Option<RepositoryError> {
    if run.status != PromptRunStatus::Running {
        let reason = format!("expected one that is running, found one with the status {}", run.status);
        return Some(RepositoryError::refused("prompt run", run.id.as_uuid(), reason));
    }
    end.validate_within(run.budget).err().map(Into::into)
}

/// Optimisation of prompts, and the instructions that agents work by.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]).
#[async_trait]
pub trait PromptRepository: Send + Sync {
    /// Records that a run begins.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid).
    async fn start_run(&self, new: NewPromptRun) -> Result<PromptRun, RepositoryError>;

    /// Records how a run ended.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Refused`](RepositoryError::Refused) when it has ended already; then `Invalid` when it took more evaluations
    /// than its budget.
    async fn finish_run(&self, id: PromptRunId, end: PromptRunEnd) -> Result<PromptRun, RepositoryError>;

    /// The run with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_run(&self, id: PromptRunId) -> Result<PromptRun, RepositoryError>;

    /// One page of the runs for an agent, the one that began last first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no agent can have this name, or for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn runs(&self, agent_name: &str, request: PageRequest) -> Result<Page<PromptRun>, RepositoryError>;

    /// Adds an instruction, which gets the agent's next version and is not active. Versions have no gaps and none is
    /// given twice.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when the agent
    /// has no such run.
    async fn add_instruction(&self, new: NewInstruction) -> Result<Instruction, RepositoryError>;

    /// Makes an instruction the active one of its agent, and the one before it inactive, at once: there is no moment
    /// with two of them, or with none. To go back, activate the earlier one. One that is active already stays as it
    /// is.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn activate(&self, id: InstructionId) -> Result<Instruction, RepositoryError>;

    /// Makes an instruction inactive, and leaves its agent with none if it was active.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn deactivate(&self, id: InstructionId) -> Result<Instruction, RepositoryError>;

    /// The instruction with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_instruction(&self, id: InstructionId) -> Result<Instruction, RepositoryError>;

    /// The instruction that an agent works by; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no agent can have this name.
    async fn active(&self, agent_name: &str) -> Result<Option<Instruction>, RepositoryError>;

    /// One page of the instructions of an agent, the latest version first.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no agent can have this name, or for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn instructions(
        &self,
        agent_name: &str,
        request: PageRequest,
    ) -> Result<Page<Instruction>, RepositoryError>;
}
