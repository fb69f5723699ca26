//! One pass over all steps, forwards and backwards, from which everything is learned that concerns single steps.
//!
//! To write down a whole schema after each step would make the cost grow with the square of the number of steps. So
//! states are compared by a digest, and schemas as text only where digests differ. The text of the state before a step
//! then comes from a second database, the shadow, which follows one step behind and is never reverted.

use super::variants::is_repeatable;
use super::{Ran, Replay, run_fresh};
use crate::environment::Environment;
use crate::migrations::evidence::Settings;
use crate::migrations::sandbox::{End, Refusal, Sandbox, SandboxError, Session};
use crate::migrations::source::{Project, Script, Step};
use crate::schema::difference;

/// How often the database is made anew, where a step has left it in a state that no step follows.
const REBUILDS_MAX: usize = 3;

/// How many steps are compared as text.
const TEXTS_MAX: usize = 200;

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
    /// Whether something was not tried, as too much had gone wrong before.
    pub given_up: bool,
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

/// A database, and the session that is in use there.
struct Place {
    sandbox: Sandbox,
    session: Session,
}

impl Place {
    async fn new(environment: &Environment, settings: &Settings) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::with(environment, settings, &[]).await?;
        let session = sandbox.session().await?;
        Ok(Self { sandbox, session })
    }

    async fn run(&mut self, script: &Script) -> Result<Ran, SandboxError> {
        run_fresh(&self.sandbox, &mut self.session, script).await
    }

    async fn release(self) {
        drop(self.session);
        self.sandbox.release().await;
    }
}

/// Where the pass is.
struct Walk<'a> {
    environment: &'a Environment,
    project: &'a Project,
    settings: &'a Settings,
    replay: &'a Replay,
    main: Place,
    /// One step behind, if any step can be reverted.
    shadow: Option<Place>,
    rebuilds: usize,
    texts: usize,
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
        let has_downs = project.steps.iter().any(|step| step.down.is_some());
        let main = Place::new(environment, settings).await?;
        let shadow = if has_downs { Some(Place::new(environment, settings).await?) } else { None };
        let empty = main.sandbox.schema().await?;
        let mut walk = Walk { environment, project, settings, replay, main, shadow, rebuilds: 0, texts: 0 };
        let mut history = Self::default();
        for (number, step) in project.steps.iter().enumerate() {
            let seen =
                if replay.applied(number) { walk.step(number, step).await? } else { StepHistory::default() };
            history.steps.push(seen);
        }
        walk.repeat_all(&mut history).await?;
        history.all_down = walk.all_down(&empty).await?;
        walk.main.release().await;
        if let Some(shadow) = walk.shadow {
            shadow.release().await;
        }
        Ok(history)
    }
}

impl Walk<'_> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<StepHistory, SandboxError> {
        let mut seen = StepHistory::default();
        let before = match &step.down {
            Some(_) => Some(self.main.sandbox.digest().await?),
            None => None,
        };
        let own_end = self.replay.steps.get(number).and_then(|report| report.own_end);
        let fails_first = step.up.in_transaction && own_end.is_none();
        let state = if step.up.in_transaction { Some(self.main.sandbox.fingerprint().await?) } else { None };
        if fails_first {
            self.main.session.run_to(&step.up, End::Fail).await?;
            self.main.session.reset().await?;
            seen.trace = self.changes(state.as_ref()).await?;
        }
        if self.main.run(&step.up).await?.refusal.is_some() {
            // It left something when it failed, and is in its own way.
            self.advance(step).await?;
            self.rebuild(number + 1).await?;
            return Ok(seen);
        }
        if !fails_first {
            // What ends the transaction itself could not be run twice.
            seen.trace = self.changes(state.as_ref()).await?;
        }
        match (before, &step.down) {
            (Some(before), Some(down)) if self.rebuilds < REBUILDS_MAX => {
                seen.down = self.down(number, step, down, &before).await?;
                seen.given_up = seen.down.is_none();
            }
            (Some(_), Some(_)) => {
                seen.given_up = true;
                self.advance(step).await?;
            }
            _ => self.advance(step).await?,
        }
        Ok(seen)
    }

    async fn changes(&self, state: Option<&crate::schema::Fingerprint>) -> Result<Vec<String>, SandboxError> {
        let Some(state) = state else { return Ok(Vec::new()) };
        let now = self.main.sandbox.fingerprint().await?;
        Ok(state.changes(&now).iter().map(ToString::to_string).collect())
    }

    /// Lets the shadow follow.
    async fn advance(&mut self, step: &Step) -> Result<(), SandboxError> {
        if let Some(shadow) = &mut self.shadow {
            shadow.run(&step.up).await?;
        }
        Ok(())
    }

    /// How the schema differs from the shadow's.
    async fn difference_to_shadow(&self) -> Result<Option<String>, SandboxError> {
        let Some(shadow) = &self.shadow else { return Ok(None) };
        let (expected, found) = (shadow.sandbox.schema().await?, self.main.sandbox.schema().await?);
        Ok((expected != found).then(|| difference(&expected, &found)))
    }

    /// Reverts the step and applies it again, and lets the shadow follow. None if there were too many texts already.
    async fn down(
        &mut self,
        number: usize,
        step: &Step,
        script: &Script,
        before: &str,
    ) -> Result<Option<Down>, SandboxError> {
        let mut down = Down::default();
        let ran = self.main.run(script).await?;
        if let Some(refusal) = ran.refusal {
            down.refusal = Some(refusal);
            self.advance(step).await?;
            if ran.kept > 0 {
                self.rebuild(number + 1).await?;
            }
            return Ok(Some(down));
        }
        if self.main.sandbox.digest().await? != before {
            self.texts += 1;
            if self.texts <= TEXTS_MAX {
                down.difference = self.difference_to_shadow().await?;
            }
        }
        down.again_refusal = self.main.run(&step.up).await?.refusal;
        self.advance(step).await?;
        if down.again_refusal.is_some() {
            self.rebuild(number + 1).await?;
        } else if down.difference.is_some() {
            down.again_difference = self.difference_to_shadow().await?;
            if down.again_difference.is_some() {
                self.rebuild(number + 1).await?;
            }
        }
        Ok((self.texts <= TEXTS_MAX).then_some(down))
    }

    /// Makes a database that is as after so many steps. After a few times the pass goes on with what there is.
    async fn rebuild(&mut self, steps: usize) -> Result<(), SandboxError> {
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Ok(());
        }
        let place = Place::new(self.environment, self.settings).await?;
        std::mem::replace(&mut self.main, place).release().await;
        for (number, step) in self.project.steps.iter().enumerate().take(steps) {
            if self.replay.applied(number) {
                self.main.run(&step.up).await?;
            }
        }
        Ok(())
    }

    /// Runs once more what may be run whenever it has changed.
    async fn repeat_all(&mut self, history: &mut History) -> Result<(), SandboxError> {
        let mut text: Option<String> = None;
        for (number, step) in self.project.steps.iter().enumerate() {
            if !is_repeatable(step.kind) || !self.replay.applied(number) {
                continue;
            }
            let before = match text.take() {
                Some(text) => text,
                None => self.main.sandbox.schema().await?,
            };
            let digest = self.main.sandbox.digest().await?;
            let mut repeated = Repeated { refusal: self.main.run(&step.up).await?.refusal, difference: None };
            let mut after = before.clone();
            if self.main.sandbox.digest().await? != digest && self.texts < TEXTS_MAX {
                self.texts += 1;
                after = self.main.sandbox.schema().await?;
                repeated.difference = (before != after).then(|| difference(&before, &after));
            }
            text = Some(after);
            if let Some(seen) = history.steps.get_mut(number) {
                seen.repeated = Some(repeated);
            }
        }
        Ok(())
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
            if let Some(refusal) = self.main.run(down).await?.refusal {
                return Ok(Some(AllDown { refused: Some((number, refusal)), difference: None }));
            }
        }
        let left = self.main.sandbox.schema().await?;
        Ok(Some(AllDown { refused: None, difference: (left != empty).then(|| difference(empty, &left)) }))
    }
}
