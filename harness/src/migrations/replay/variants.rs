//! The same project where something is as it is not usually.

use super::{Replay, run_fresh};
use crate::environment::Environment;
use crate::migrations::evidence::Settings;
use crate::migrations::sandbox::{End, Profile, Refusal, Sandbox, SandboxError};
use crate::migrations::source::{Project, Script, StepKind};
use crate::migrations::sql;
use crate::schema::difference;

/// The schema that comes first in the search path.
const FIRST_SCHEMA: &str = "proofmark_first";

/// A zone that is never the server's, and never a whole number of hours away from it.
const OTHER_TIME_ZONE: &str = "Asia/Kathmandu";

/// What is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variant {
    /// All steps are run in one session, where usually each has its own.
    OneSession,
    /// Sessions have another time zone.
    TimeZone,
    /// Another schema comes first in the search path.
    SchemaFirst,
}

impl Variant {
    /// How many there are.
    pub const COUNT: usize = 3;
}

/// What is different then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Steps that are refused now, and were not.
    pub refused: Vec<(usize, Refusal)>,
    /// Steps that apply now, and were refused.
    pub applied: Vec<usize>,
    /// The difference between the schemas, if they are to be equal and are not.
    pub schema: Option<String>,
}

impl Difference {
    /// Executes the project once more.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn find(
        environment: &Environment,
        project: &Project,
        settings: &Settings,
        replay: &Replay,
        variant: Variant,
    ) -> Result<Self, SandboxError> {
        let path = match settings.profile {
            Profile::Plain => format!("{FIRST_SCHEMA}, public"),
            Profile::Supabase => format!("{FIRST_SCHEMA}, public, extensions"),
        };
        let parameters: &[(&str, &str)] = match variant {
            Variant::OneSession => &[],
            Variant::TimeZone => &[("timezone", OTHER_TIME_ZONE)],
            Variant::SchemaFirst => &[("search_path", &path)],
        };
        let sandbox = Sandbox::with(environment, settings, parameters).await?;
        let mut session = sandbox.session().await?;
        if variant == Variant::SchemaFirst {
            session.run(&preparation()).await?;
        }
        let mut found = Self::default();
        for (number, step) in project.steps.iter().enumerate() {
            let had_applied = replay.applied(number);
            // Refused for the same reason, whatever is unusual; but for what an earlier session would have left.
            let is_of_interest = had_applied || variant == Variant::OneSession;
            if !is_of_interest || step_meets_limits(replay, number) {
                continue;
            }
            let ran = match variant {
                Variant::OneSession => session.run_to(&step.up, End::Commit).await?,
                Variant::TimeZone | Variant::SchemaFirst => run_fresh(&sandbox, &mut session, &step.up).await?,
            };
            match ran.refusal {
                Some(refusal) if had_applied => found.refused.push((number, refusal)),
                None if !had_applied => found.applied.push(number),
                _ => {}
            }
        }
        drop(session);
        // What a file that fails has committed before is only in the one, as it is not run again.
        let is_comparable = replay.steps.iter().all(|step| step.failure.is_none() || step.kept == 0);
        let is_alike = found.refused.is_empty() && found.applied.is_empty();
        if variant != Variant::SchemaFirst && is_alike && is_comparable {
            let now = sandbox.schema().await?;
            found.schema = (replay.schema != now).then(|| difference(&replay.schema, &now));
        }
        sandbox.release().await;
        Ok(found)
    }
}

fn step_meets_limits(replay: &Replay, number: usize) -> bool {
    let failure = replay.steps.get(number).and_then(|report| report.failure.as_ref());
    failure.is_some_and(|failure| failure.refusal.is_limit())
}

fn preparation() -> Script {
    let text = format!("CREATE SCHEMA {FIRST_SCHEMA}");
    let range = 0..text.len();
    Script {
        file: "(preparation)".into(),
        statements: sql::split(&text, range.clone()),
        text: text.into(),
        range,
        in_transaction: false,
    }
}

/// Whether a step may be run again.
pub(super) fn is_repeatable(kind: StepKind) -> bool {
    kind == StepKind::Repeatable
}
