//! One pass over all steps, forwards and backwards, from which everything is learned that concerns single steps.

use super::variants::is_repeatable;
use super::{Replay, run_fresh};
use crate::environment::Environment;
use crate::migrations::evidence::Settings;
use crate::migrations::sandbox::{End, Refusal, Sandbox, SandboxError, Session};
use crate::migrations::source::{Project, Step};
use crate::schema::difference;

/// How often the database is made anew, where a step has left it in a state that no step follows.
const REBUILDS_MAX: usize = 3;

/// What happens step by step.
#[derive(Debug, Default)]
pub struct History {
    /// What happened at each step.
    pub steps: Vec<StepHistory>,
    /// What happened when all steps were reverted, from the last to the first.
    pub all_down: Option<AllDown>,
}

/// What happened at a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepHistory {
    /// The catalogs that were not as before, when the step's last statement was followed by one that failed.
    pub trace: Vec<String>,
    /// What happened when it was reverted, if it can be.
    pub down: Option<Down>,
    /// What happened when it was run again, if it may be.
    pub repeated: Option<Repeated>,
}

/// What happened when a step was reverted and applied again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Down {
    /// What was refused of its down script.
    pub refusal: Option<Refusal>,
    /// How the schema differs from the one before the step.
    pub difference: Option<String>,
    /// What was refused when it was applied again.
    pub again_refusal: Option<Refusal>,
    /// How the schema differs from the one that the step led to at first.
    pub again_difference: Option<String>,
}

/// What happened when a step was run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeated {
    /// What was refused.
    pub refusal: Option<Refusal>,
    /// How the schema differs from the one before.
    pub difference: Option<String>,
}

/// What happened when all steps were reverted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllDown {
    /// The step at which it ended, and what was refused.
    pub refused: Option<(usize, Refusal)>,
    /// How the schema differs from that of an empty database.
    pub difference: Option<String>,
}

/// Where the pass is.
struct Walk<'a> {
    environment: &'a Environment,
    project: &'a Project,
    settings: &'a Settings,
    replay: &'a Replay,
    sandbox: Sandbox,
    session: Session,
    /// The schema as it is, if it was looked at.
    schema: Option<String>,
    rebuilds: usize,
}

impl History {
    /// Executes the steps that apply, one by one.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn run(
        environment: &Environment,
        project: &Project,
        settings: &Settings,
        replay: &Replay,
    ) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::with(environment, settings, &[]).await?;
        let session = sandbox.session().await?;
        let mut walk =
            Walk { environment, project, settings, replay, sandbox, session, schema: None, rebuilds: 0 };
        let empty = walk.schema().await?;
        let mut history = Self::default();
        for (number, step) in project.steps.iter().enumerate() {
            let seen =
                if replay.applied(number) { walk.step(number, step).await? } else { StepHistory::default() };
            history.steps.push(seen);
        }
        for (number, step) in project.steps.iter().enumerate() {
            if is_repeatable(step.kind) && replay.applied(number) {
                let repeated = walk.repeat(step).await?;
                if let Some(seen) = history.steps.get_mut(number) {
                    seen.repeated = Some(repeated);
                }
            }
        }
        history.all_down = walk.all_down(&empty).await?;
        walk.sandbox.release().await;
        Ok(history)
    }
}

impl Walk<'_> {
    async fn schema(&mut self) -> Result<String, SandboxError> {
        if let Some(schema) = &self.schema {
            return Ok(schema.clone());
        }
        let schema = self.sandbox.schema().await?;
        self.schema = Some(schema.clone());
        Ok(schema)
    }

    async fn run(&mut self, script: &crate::migrations::source::Script) -> Result<super::Ran, SandboxError> {
        self.schema = None;
        run_fresh(&self.sandbox, &mut self.session, script).await
    }

    async fn step(&mut self, number: usize, step: &Step) -> Result<StepHistory, SandboxError> {
        let mut seen = StepHistory::default();
        let before = match &step.down {
            Some(_) => Some(self.schema().await?),
            None => None,
        };
        let own_end = self.replay.steps.get(number).and_then(|report| report.own_end);
        // What ends the transaction itself would be there twice.
        if step.up.in_transaction && own_end.is_none() {
            let state = self.sandbox.fingerprint().await?;
            self.session.run_to(&step.up, End::Fail).await?;
            self.session.reset().await?;
            seen.trace =
                state.changes(&self.sandbox.fingerprint().await?).iter().map(ToString::to_string).collect();
        }
        let state = self.sandbox.fingerprint().await?;
        if self.run(&step.up).await?.refusal.is_some() {
            // It left something when it failed, and is in its own way.
            self.rebuild(number + 1).await?;
            return Ok(seen);
        }
        if own_end.is_some() {
            seen.trace =
                state.changes(&self.sandbox.fingerprint().await?).iter().map(ToString::to_string).collect();
        }
        if let (Some(before), Some(down)) = (before, &step.down) {
            let after = if self.rebuilds < REBUILDS_MAX { Some(self.schema().await?) } else { None };
            if let Some(after) = after {
                seen.down = Some(self.down(number, step, down, &before, &after).await?);
            }
        }
        Ok(seen)
    }

    async fn down(
        &mut self,
        number: usize,
        step: &Step,
        script: &crate::migrations::source::Script,
        before: &str,
        after: &str,
    ) -> Result<Down, SandboxError> {
        let mut down = Down::default();
        let ran = self.run(script).await?;
        if let Some(refusal) = ran.refusal {
            down.refusal = Some(refusal);
            if ran.kept > 0 {
                self.rebuild(number + 1).await?;
            }
            return Ok(down);
        }
        let found = self.schema().await?;
        if found != before {
            down.difference = Some(difference(before, &found));
        }
        down.again_refusal = self.run(&step.up).await?.refusal;
        if down.again_refusal.is_some() {
            self.rebuild(number + 1).await?;
        } else if down.difference.is_some() {
            let again = self.schema().await?;
            if again != after {
                down.again_difference = Some(difference(after, &again));
                self.rebuild(number + 1).await?;
            }
        }
        Ok(down)
    }

    /// Makes a database that is as after so many steps. After a few times the pass goes on with what there is.
    async fn rebuild(&mut self, steps: usize) -> Result<(), SandboxError> {
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Ok(());
        }
        let sandbox = Sandbox::with(self.environment, self.settings, &[]).await?;
        let session = sandbox.session().await?;
        std::mem::replace(&mut self.sandbox, sandbox).release().await;
        self.session = session;
        for (number, step) in self.project.steps.iter().enumerate().take(steps) {
            if self.replay.applied(number) {
                self.run(&step.up).await?;
            }
        }
        Ok(())
    }

    async fn repeat(&mut self, step: &Step) -> Result<Repeated, SandboxError> {
        let before = self.schema().await?;
        let refusal = self.run(&step.up).await?.refusal;
        let after = self.schema().await?;
        Ok(Repeated { refusal, difference: (before != after).then(|| difference(&before, &after)) })
    }

    /// Reverts all, if all can be reverted that was applied.
    async fn all_down(&mut self, empty: &str) -> Result<Option<AllDown>, SandboxError> {
        let applied = |(number, step)| self.replay.applied(number).then_some((number, step));
        let steps: Vec<(usize, &Step)> = self.project.steps.iter().enumerate().filter_map(applied).collect();
        if steps.is_empty() || steps.iter().any(|(_, step)| step.down.is_none()) {
            return Ok(None);
        }
        for (number, step) in steps.into_iter().rev() {
            let Some(down) = &step.down else { continue };
            if let Some(refusal) = self.run(down).await?.refusal {
                return Ok(Some(AllDown { refused: Some((number, refusal)), difference: None }));
            }
        }
        let left = self.schema().await?;
        Ok(Some(AllDown { refused: None, difference: (left != empty).then(|| difference(empty, &left)) }))
    }
}
