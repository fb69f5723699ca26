//! One pass over all steps, forwards and backwards, from which everything is learned that concerns single steps.
//!
//! To write down a whole schema after each step would make the cost grow with the square of the number of steps. So
//! states are compared by what has changed in the catalogs since, and schemas as text only where that differs. The text
//! of the state before a step then comes from a second database, the shadow, which follows one step behind and is never
//! reverted.

use super::variants::is_repeatable;
use sqlx::postgres::PgConnection;

use super::{Ran, Replay, run_fresh};
use crate::environment::Environment;
use crate::migrations::evidence::Settings;
use crate::migrations::sandbox::{End, Refusal, Sandbox, SandboxError, Session, keeps_its_transaction};
use crate::migrations::source::{Project, Script, Step};
use crate::schema::{Fingerprint, Mark, difference};

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
    /// What was not as before, when the step's last statement was followed by one that failed.
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
    /// A session of ours that can look at the database as it was.
    memory: Option<PgConnection>,
}

/// A state that a later one is compared with.
enum Before {
    /// By what has changed since.
    Mark(Box<Mark>),
    /// As a whole, where a mark would be in the way.
    Digest(String),
}

impl Place {
    async fn new(environment: &Environment, settings: &Settings) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::with(environment, settings, &[]).await?;
        let session = sandbox.session().await?;
        Ok(Self { sandbox, session, memory: None })
    }

    async fn run(&mut self, script: &Script) -> Result<Ran, SandboxError> {
        run_fresh(&self.sandbox, &mut self.session, script).await
    }

    /// Keeps in mind what there is, until two scripts have been run.
    async fn remember(&mut self, scripts: [&Script; 2]) -> Result<Before, SandboxError> {
        // Only outside of a transaction can a statement wait for the end of all older ones.
        if !scripts.into_iter().all(keeps_its_transaction) {
            return Ok(Before::Digest(self.sandbox.digest().await?));
        }
        let memory = match self.memory.take() {
            Some(memory) => memory,
            None => self.sandbox.admin().await?,
        };
        let mark = Mark::set(memory).await.map_err(broken("remember the catalogs"))?;
        Ok(Before::Mark(Box::new(mark)))
    }

    /// Whether all is as it was, which may be forgotten then.
    async fn is_as(&mut self, before: Before) -> Result<bool, SandboxError> {
        match before {
            Before::Digest(digest) => Ok(self.sandbox.digest().await? == digest),
            Before::Mark(mut mark) => {
                let is_as_it_was = self.sandbox.is_as_it_was(&mut mark).await?;
                self.memory = Some(mark.clear().await.map_err(broken("forget the catalogs"))?);
                Ok(is_as_it_was)
            }
        }
    }

    async fn release(self) {
        drop((self.session, self.memory));
        self.sandbox.release().await;
    }
}

fn broken(action: &'static str) -> impl Fn(sqlx::Error) -> SandboxError {
    move |source| SandboxError::Server { action, source }
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
        let own_end = self.replay.steps.get(number).and_then(|report| report.own_end);
        let fails_first = step.up.in_transaction && own_end.is_none();
        let is_ended = step.up.in_transaction && own_end.is_some();
        if fails_first {
            let ran = self.main.session.run_to(&step.up, End::Fail).await?;
            self.main.session.reset().await?;
            seen.trace.extend(ran.left);
        }
        // What ends the transaction itself could not be run twice.
        let state = if is_ended { Some(self.main.sandbox.fingerprint().await?) } else { None };
        let before = match &step.down {
            Some(down) if self.rebuilds < REBUILDS_MAX => Some(self.main.remember([&step.up, down]).await?),
            _ => None,
        };
        if self.main.run(&step.up).await?.refusal.is_some() {
            // It left something when it failed, and is in its own way.
            self.advance(step).await?;
            self.rebuild(number + 1).await?;
            return Ok(seen);
        }
        if is_ended {
            seen.trace = self.changes(state.as_ref()).await?;
        }
        match (before, &step.down) {
            (Some(before), Some(down)) => {
                seen.down = self.down(number, step, down, before).await?;
                seen.given_up = seen.down.is_none();
            }
            (None, down) => {
                seen.given_up = down.is_some();
                self.advance(step).await?;
            }
            (Some(_), None) => self.advance(step).await?,
        }
        Ok(seen)
    }

    async fn changes(&self, state: Option<&Fingerprint>) -> Result<Vec<String>, SandboxError> {
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
        before: Before,
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
        if !self.main.is_as(before).await? {
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
            let state = self.main.remember([&step.up, &step.up]).await?;
            let mut repeated = Repeated { refusal: self.main.run(&step.up).await?.refusal, difference: None };
            let mut after = before.clone();
            if !self.main.is_as(state).await? && self.texts < TEXTS_MAX {
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
