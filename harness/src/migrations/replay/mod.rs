//! Every file in order, and what becomes of it: a file that fails is recorded, rolled back, and passed over, so that
//! one replay shows the whole truth.

pub mod history;
mod objects;
mod order;
mod variants;
mod verdict;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use history::{History, StepHistory};
pub use objects::{Creators, Kind, Object, created_objects, missing_object};
pub use variants::{Difference, Variant};
pub use verdict::{cause, file_of, place_of, statement_of, verdict};

use super::evidence::Settings;
use super::sandbox::{
    Beyond, End, Notice, Ran, Reach, Refusal, Sandbox, SandboxError, Session, reach, reach_of_refusal,
};
use super::source::{Project, Script};
use crate::environment::Environment;

/// A project, executed.
#[derive(Debug)]
pub struct Replay {
    /// What became of each step, in the project's order.
    pub steps: Vec<StepReport>,
    /// How many steps applied in this order.
    pub applied_in_order: usize,
    /// An order in which more of them apply, if one was found; those that fail in any order stand at its end.
    pub best_order: Option<Vec<usize>>,
    /// How many steps apply in that order, or in the project's own.
    pub applied_in_best_order: usize,
    /// Whether scripts were executed as a role that may do nothing outside of its database.
    pub is_confined: bool,
    /// The schema that the project's order led to.
    pub schema: String,
    /// The extensions that the server has.
    pub extensions: BTreeSet<String>,
    /// The database that the project's order led to.
    pub sandbox: Arc<Sandbox>,
    /// The one that the best order led to, and what was refused there.
    pub best: Option<(Arc<Sandbox>, Vec<Option<Refusal>>)>,
}

/// What became of a step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// What was refused, and why.
    pub failure: Option<StepFailure>,
    /// How many of its statements have an effect that stays: if it failed, it left the work half done unless that is
    /// none.
    pub kept: usize,
    /// The first statement that ends the runner's transaction.
    pub own_end: Option<usize>,
    /// What it wanted beyond its database.
    pub beyond: Vec<Beyond>,
    /// What the server said beside its answers.
    pub notices: Vec<Notice>,
}

/// What was refused, and why.
#[derive(Debug, Clone)]
pub struct StepFailure {
    /// What the server said.
    pub refusal: Refusal,
    /// Why.
    pub cause: Cause,
    /// What it reached for, if it was beyond its database.
    pub reach: Option<Reach>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// For a reason of its own.
    Own,
    /// It misses what an earlier step would have made, had it not failed.
    Consequence {
        /// That step.
        of: usize,
        /// What it misses.
        object: Object,
    },
    /// It misses what a later step makes.
    WrongOrder {
        /// That step.
        creator: usize,
        /// What it misses.
        object: Object,
    },
    /// It misses what no step makes.
    Missing {
        /// What it misses.
        object: Object,
    },
}

impl Replay {
    /// Executes a project. When something failed, another order is looked for.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn run(
        environment: &Environment,
        project: &Project,
        settings: &Settings,
    ) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::with(environment, settings, &[]).await?;
        let mut session = sandbox.session().await?;
        let mut rans = Vec::with_capacity(project.steps.len());
        for step in &project.steps {
            let ran = run_fresh(&sandbox, &mut session, &step.up).await?;
            if ran.refusal.as_ref().is_some_and(Refusal::is_limit) {
                // However many do not end, all of them together have an end.
                session.hurry().await?;
            }
            rans.push(ran);
        }
        drop(session);
        let creators = Creators::of(project);
        let steps = classify(project, rans, &creators);
        let applied = steps.iter().filter(|step| step.failure.is_none()).count();
        let mut replay = Self {
            applied_in_order: applied,
            best_order: None,
            applied_in_best_order: applied,
            is_confined: sandbox.is_confined(),
            schema: sandbox.schema().await?,
            extensions: sandbox.available_extensions().await?,
            sandbox: Arc::new(sandbox),
            best: None,
            steps,
        };
        // What no file makes is missed in any order.
        let may_help = |(step, _)| {
            let cause = replay.steps.get(root(&replay, step)).and_then(|report| report.failure.as_ref());
            cause.is_some_and(|failure| {
                !matches!(failure.cause, Cause::Missing { .. }) && !failure.refusal.is_limit()
            })
        };
        if replay.failures().any(may_help) {
            let given_up =
                replay.steps.iter().map(|step| step.failure.as_ref().is_some_and(|f| f.refusal.is_limit()));
            let given_up: Vec<bool> = given_up.collect();
            let found = order::search(environment, project, settings, &creators, &given_up).await?;
            if found.applied > applied {
                replay.applied_in_best_order = found.applied;
                replay.best_order = Some(found.order);
                replay.best = Some((Arc::new(found.sandbox), found.refusals));
            } else {
                found.sandbox.release().await;
            }
        }
        Ok(replay)
    }

    /// The database in which all was executed that can be.
    #[must_use]
    pub fn head(&self) -> &Arc<Sandbox> {
        self.best.as_ref().map_or(&self.sandbox, |(sandbox, _)| sandbox)
    }

    /// Another database like it, for who changes it.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn another_head(
        &self,
        environment: &Environment,
        project: &Project,
        settings: &Settings,
    ) -> Result<Sandbox, SandboxError> {
        let sandbox = Sandbox::with(environment, settings, &[]).await?;
        let mut session = sandbox.session().await?;
        let order: Vec<usize> = match &self.best_order {
            Some(order) => order.iter().copied().take(self.applied_in_best_order).collect(),
            None => (0..project.steps.len()).filter(|step| self.applied(*step)).collect(),
        };
        for step in order.into_iter().filter_map(|number| project.steps.get(number)) {
            run_fresh(&sandbox, &mut session, &step.up).await?;
        }
        session.close().await;
        Ok(sandbox)
    }

    /// The step failures.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &StepFailure)> {
        self.steps.iter().enumerate().filter_map(|(step, report)| Some((step, report.failure.as_ref()?)))
    }

    /// Whether a step applied, in the project's order.
    #[must_use]
    pub fn applied(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|report| report.failure.is_none())
    }
}

/// Runs a script in a session that no earlier one has touched.
pub(crate) async fn run_fresh(
    sandbox: &Sandbox,
    session: &mut Session,
    script: &Script,
) -> Result<Ran, SandboxError> {
    let ran = session.run_to(script, End::Commit).await?;
    if session.reset().await.is_err() {
        *session = sandbox.session().await?;
    }
    Ok(ran)
}

/// Says of each failure why.
fn classify(project: &Project, rans: Vec<Ran>, creators: &Creators) -> Vec<StepReport> {
    let failed: Vec<bool> = rans.iter().map(|ran| ran.refusal.is_some()).collect();
    let report = |(number, ran): (usize, Ran)| {
        let failure = ran.refusal.map(|refusal| {
            let script = project.steps.get(number).map(|step| &step.up);
            let text = script.and_then(|script| Some(script.statement(script.statements.get(refusal.statement)?)));
            let reach = text.and_then(reach).or_else(|| reach_of_refusal(&refusal.sqlstate, &refusal.message));
            let cause = cause_of(number, &refusal, &failed, creators);
            StepFailure { refusal, cause, reach }
        });
        StepReport { failure, kept: ran.kept, own_end: ran.own_end, beyond: ran.beyond, notices: ran.notices }
    };
    rans.into_iter().enumerate().map(report).collect()
}

fn cause_of(number: usize, refusal: &Refusal, failed: &[bool], creators: &Creators) -> Cause {
    let Some(object) = missing_object(refusal) else { return Cause::Own };
    // That a file creates it does not help where the server has nothing to create it from.
    if object.kind == Kind::Extension && refusal.sqlstate != "42704" {
        return Cause::Missing { object };
    }
    let steps = creators.steps(&object);
    let has_failed = |step: usize| failed.get(step).copied().unwrap_or_default();
    let earlier = steps.iter().copied().filter(|step| *step < number);
    if let Some(of) = earlier.clone().find(|step| has_failed(*step)) {
        return Cause::Consequence { of, object };
    }
    // It was made, and is gone or elsewhere by now; or its own file makes it too late.
    if earlier.count() > 0 || steps.contains(&number) {
        return Cause::Own;
    }
    match steps.into_iter().find(|step| *step > number) {
        Some(creator) => Cause::WrongOrder { creator, object },
        None => Cause::Missing { object },
    }
}

/// The roots of consequences: each step with the step that a chain of consequences begins at.
pub(crate) fn root(replay: &Replay, step: usize) -> usize {
    let mut at = step;
    let mut seen = HashMap::new();
    while let Some(StepFailure { cause: Cause::Consequence { of, .. }, .. }) =
        replay.steps.get(at).and_then(|report| report.failure.as_ref())
        && seen.insert(at, ()).is_none()
    {
        at = *of;
    }
    at
}
