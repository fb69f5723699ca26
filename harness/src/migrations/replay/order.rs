//! Looks for an order in which more files apply: what fails waits for the file that makes what it misses.

use std::collections::{HashMap, VecDeque};

use super::{Creators, missing_object, run_fresh};
use crate::environment::Environment;
use crate::migrations::evidence::Settings;
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError};
use crate::migrations::source::Project;

/// How often one file is tried.
const ATTEMPTS_MAX: usize = 8;

/// How often all that is left is tried once more.
const PASSES_MAX: usize = 3;

/// An order, and what it leads to.
pub(super) struct Found {
    pub(super) order: Vec<usize>,
    pub(super) applied: usize,
    pub(super) refusals: Vec<Option<Refusal>>,
    pub(super) sandbox: Sandbox,
}

/// The work is linear in files, but for those that fail again and again, which are few or given up.
pub(super) async fn search(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    creators: &Creators,
    given_up: &[bool],
) -> Result<Found, SandboxError> {
    let sandbox = Sandbox::with(environment, settings, &[]).await?;
    let mut session = sandbox.session().await?;
    let count = project.steps.len();
    let mut refusals: Vec<Option<Refusal>> = vec![None; count];
    let mut attempts = vec![0_usize; count];
    let mut is_applied = vec![false; count];
    let mut order = Vec::with_capacity(count);
    // What waits for a step, and what waits for nothing that is known.
    let mut waiting: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut left = Vec::new();
    // What did not end would not end again.
    let is_tried = |step: &usize| !given_up.get(*step).copied().unwrap_or_default();
    let mut queue: VecDeque<usize> = (0..count).filter(is_tried).collect();
    for _ in 0..=PASSES_MAX {
        let before = order.len();
        while let Some(number) = queue.pop_front() {
            let Some(step) = project.steps.get(number) else { continue };
            attempts[number] += 1;
            let ran = run_fresh(&sandbox, &mut session, &step.up).await?;
            let Some(refusal) = ran.refusal else {
                refusals[number] = None;
                is_applied[number] = true;
                order.push(number);
                for next in waiting.remove(&number).unwrap_or_default().into_iter().rev() {
                    queue.push_front(next);
                }
                continue;
            };
            let creator = missing_object(&refusal).and_then(|object| {
                let steps = creators.steps(&object).into_iter();
                steps.filter(|step| *step != number).find(|step| !is_applied[*step])
            });
            refusals[number] = Some(refusal);
            // What it left behind would be in its own way.
            if ran.kept > 0 || attempts[number] >= ATTEMPTS_MAX {
                continue;
            }
            if let Some(creator) = creator {
                waiting.entry(creator).or_default().push(number);
            } else {
                left.push(number);
            }
        }
        if order.len() == before && before > 0 {
            break;
        }
        let mut again: Vec<usize> = waiting.drain().flat_map(|(_, steps)| steps).chain(left.drain(..)).collect();
        again.sort_unstable();
        queue.extend(again);
        if queue.is_empty() {
            break;
        }
    }
    drop(session);
    let applied = order.len();
    let rest = (0..count).filter(|step| !is_applied[*step]);
    let order = order.iter().copied().chain(rest).collect();
    Ok(Found { order, applied, refusals, sandbox })
}
