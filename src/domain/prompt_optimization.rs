//! Optimisation of prompts, and the instructions that come out of it.

use chrono::{DateTime, Utc};

use super::text_enum::text_enum;
use super::validation::{InvalidField, Limit, number, text};
use super::{InstructionId, PromptRunId, validate_agent_name};

/// The longest name of an optimizer, in characters.
const OPTIMIZER_CHARACTERS_MAX: usize = 50;
/// The longest instruction, in octets of UTF-8.
const INSTRUCTION_OCTETS_MAX: usize = 1 << 20;
/// The longest error message, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 8192;
/// The most evaluations that a run can be allowed.
pub const BUDGET_MAX: u32 = i32::MAX.unsigned_abs();

text_enum! {
    /// How far a run is.
    PromptRunStatus("prompt run status") {
        /// Has begun and not ended.
        Running = "running",
        /// Has a best score.
        Completed = "completed",
        /// Broke.
        Failed = "failed",
        /// Was given up.
        Cancelled = "cancelled",
    }
}

/// A row of `prompt_optimization_runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptRun {
    /// The identifier.
    pub id: PromptRunId,
    /// Whose instructions are optimised.
    pub agent_name: String,
    /// By what, for example `gepa`.
    pub optimizer_type: String,
    /// Evaluations that it may make.
    pub budget: u32,
    /// How far it is.
    pub status: PromptRunStatus,
    /// The score of what it began with; higher is better.
    pub initial_score: Option<f64>,
    /// The best score that was found.
    pub best_score: Option<f64>,
    /// Evaluations that it made.
    pub evaluations: Option<u32>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A run that begins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPromptRun {
    /// See [`PromptRun::agent_name`]; 1 to 255 characters.
    pub agent_name: String,
    /// See [`PromptRun::optimizer_type`]; 1 to 50 characters.
    pub optimizer_type: String,
    /// See [`PromptRun::budget`]; from 1 to [`BUDGET_MAX`].
    pub budget: u32,
    /// See [`PromptRun::initial_score`]; finite.
    pub initial_score: Option<f64>,
}

impl NewPromptRun {
    /// Checks every text and number.
    ///
    /// # Errors
    /// The first that cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_agent_name(&self.agent_name)?;
        text("optimizer_type", &self.optimizer_type, Limit::Characters(OPTIMIZER_CHARACTERS_MAX))?;
        if !(1..=BUDGET_MAX).contains(&self.budget) {
            return Err(InvalidField::new("budget", format!("expected 1 to {BUDGET_MAX}, found {}", self.budget)));
        }
        score("initial_score", self.initial_score)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptRunEnd {
    /// With a best score; finite.
    Completed {
        /// The best score.
        best_score: f64,
        /// Evaluations that it took; not more than the budget.
        evaluations: u32,
    },
    /// Broken; why, in 1 to 8192 octets.
    Failed(String),
    /// Given up.
    Cancelled,
}

impl PromptRunEnd {
    /// The status that it leads to.
    #[must_use]
    pub const fn status(&self) -> PromptRunStatus {
        match self {
            Self::Completed { .. } => PromptRunStatus::Completed,
            Self::Failed(_) => PromptRunStatus::Failed,
            Self::Cancelled => PromptRunStatus::Cancelled,
        }
    }

    /// Checks every text and number but the evaluations, which depend on the run.
    ///
    /// # Errors
    /// The first that cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        match self {
            Self::Completed { best_score, .. } => score("best_score", Some(*best_score)),
            Self::Failed(message) => text("error_message", message, Limit::Octets(MESSAGE_OCTETS_MAX)),
            Self::Cancelled => Ok(()),
        }
    }

    /// Checks that the run kept to its budget.
    pub(crate) fn validate_within(&self, budget: u32) -> Result<(), InvalidField> {
        match self {
            Self::Completed { evaluations, .. } if *evaluations > budget => Err(InvalidField::new(
                "evaluations",
                format!("expected at most the budget ({budget}), found {evaluations}"),
            )),
            _ => Ok(()),
        }
    }
}

fn score(field: &'static str, score: Option<f64>) -> Result<(), InvalidField> {
    score.map_or(Ok(()), |score| number(field, score, f64::MIN, f64::MAX))
}

/// A row of `optimized_instructions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// The identifier.
    pub id: InstructionId,
    /// Whose.
    pub agent_name: String,
    /// Counts the agent's instructions from 1.
    pub version: u32,
    /// The text.
    pub instruction: String,
    /// Its score; higher is better.
    pub score: Option<f64>,
    /// The run that it came from; one that somebody wrote has none.
    pub run_id: Option<PromptRunId>,
    /// Whether the agent works by it; of an agent's instructions one does at most.
    pub is_active: bool,
    /// When it became active last.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// An instruction to add; it is not active.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInstruction {
    /// See [`Instruction::agent_name`]; 1 to 255 characters.
    pub agent_name: String,
    /// See [`Instruction::instruction`]; 1 octet to 1 MiB.
    pub instruction: String,
    /// See [`Instruction::score`]; finite.
    pub score: Option<f64>,
    /// See [`Instruction::run_id`]; a run of the same agent.
    pub run_id: Option<PromptRunId>,
}

impl NewInstruction {
    /// An instruction that somebody wrote.
    pub fn new(agent_name: impl Into<String>, instruction: impl Into<String>) -> Self {
        Self { agent_name: agent_name.into(), instruction: instruction.into(), score: None, run_id: None }
    }

    /// Checks every text and number.
    ///
    /// # Errors
    /// The first that cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_agent_name(&self.agent_name)?;
        text("instruction", &self.instruction, Limit::Octets(INSTRUCTION_OCTETS_MAX))?;
        score("score", self.score)
    }
}
