//! What happens on the way to the server: connections cut, stalled, delayed, truncated, and sessions terminated, at
//! chosen messages of the protocol.

use std::time::Duration;

use tokio::time::timeout;

use super::super::subject::Subject;
use super::stage::{Expected, Stage, Work, judge};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::{Action, Fault, Message, Point};

/// How long an answer is late.
const DELAY: Duration = Duration::from_millis(60);

/// How often it is looked for whether a fault has happened, and how long lies between.
const LOOKS_MAX: u32 = 1_000;
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Far more than a few calls take that wait for nobody.
const SERVED_TIME_MAX: Duration = Duration::from_secs(5);

fn all_messages() -> impl Iterator<Item = Message> {
    Message::OF_CLIENT.into_iter().chain(Message::OF_SERVER)
}

/// Interrupts the work at each of these points in turn, on new connections and on used ones.
async fn interrupt_at(
    subject: &Subject,
    work: Work,
    points: impl Iterator<Item = (Point, Action)>,
    expected: Expected,
) -> CaseResult {
    let mut stage = Stage::new(subject, work).await?;
    let mut fired = 0_u32;
    for (point, action) in points {
        stage.renew(subject).await?;
        for occurrence in [1, 2] {
            let fault = Fault { point, occurrence, action };
            if !stage.interrupt(fault, work, expected).await? {
                // There is no such message, or no second one.
                break;
            }
            fired += 1;
        }
    }
    check!(
        fired > 0,
        "expected messages of the protocol between the repository and the URL that it was given, found none"
    );
    Ok(())
}

pub(super) async fn a_cut_before_any_message_loses_nothing(subject: Subject) -> CaseResult {
    let points = all_messages().map(|message| (Point::Before(message), Action::Cut));
    interrupt_at(&subject, Work::Insert, points, Expected::Either).await
}

pub(super) async fn a_cut_after_any_message_loses_nothing(subject: Subject) -> CaseResult {
    let points = all_messages().map(|message| (Point::After(message), Action::Cut));
    interrupt_at(&subject, Work::Insert, points, Expected::Either).await
}

pub(super) async fn a_truncated_answer_is_no_answer(subject: Subject) -> CaseResult {
    let points = Message::OF_SERVER
        .into_iter()
        .flat_map(|message| [1, 4, 5].map(|octets| (Point::Before(message), Action::Truncate(octets))));
    interrupt_at(&subject, Work::Insert, points, Expected::Either).await
}

pub(super) async fn an_unacknowledged_commit_is_not_doubled(subject: Subject) -> CaseResult {
    let points = [Action::Cut, Action::Truncate(3)].map(|action| (Point::Before(Message::Committed), action));
    interrupt_at(&subject, Work::Insert, points.into_iter(), Expected::There).await
}

pub(super) async fn an_uncommitted_insert_is_no_success(subject: Subject) -> CaseResult {
    let points = [Action::Cut, Action::Truncate(3)].map(|action| (Point::Before(Message::Committing), action));
    interrupt_at(&subject, Work::Insert, points.into_iter(), Expected::AsTold).await
}

pub(super) async fn an_acknowledged_commit_is_kept(subject: Subject) -> CaseResult {
    let points = [(Point::After(Message::Committed), Action::Cut)];
    interrupt_at(&subject, Work::Insert, points.into_iter(), Expected::There).await
}

pub(super) async fn a_session_ended_before_the_commit_is_told(subject: Subject) -> CaseResult {
    let points = [(Point::Before(Message::Committing), Action::Terminate)];
    interrupt_at(&subject, Work::Insert, points.into_iter(), Expected::AsTold).await
}

pub(super) async fn a_session_ended_after_the_commit_loses_nothing(subject: Subject) -> CaseResult {
    let points = [Point::Before(Message::Committed), Point::After(Message::Committed)];
    let points = points.map(|point| (point, Action::Terminate));
    interrupt_at(&subject, Work::Insert, points.into_iter(), Expected::There).await
}

pub(super) async fn an_interrupted_append_is_whole_or_absent(subject: Subject) -> CaseResult {
    let points = all_messages().map(|message| (Point::Before(message), Action::Cut));
    interrupt_at(&subject, Work::Append, points, Expected::Either).await
}

pub(super) async fn an_interrupted_update_is_whole_or_absent(subject: Subject) -> CaseResult {
    let points = all_messages().map(|message| (Point::Before(message), Action::Cut));
    interrupt_at(&subject, Work::Update, points, Expected::Either).await
}

pub(super) async fn a_delayed_answer_is_waited_for(subject: Subject) -> CaseResult {
    let mut stage = Stage::new(&subject, Work::Insert).await?;
    for message in [Message::CommandComplete, Message::Committed] {
        let fault = Fault { point: Point::Before(message), occurrence: 1, action: Action::Delay(DELAY) };
        let task = stage.task(Work::Insert).await?;
        let before = stage.admin.rows().await?;
        stage.proxy.arm(fault);
        let result = task.run(&stage.store).await;
        let _ = stage.proxy.disarm();
        let what = format!("insert whose {message:?} was {DELAY:?} late");
        check!(result.is_ok(), "{what}: expected success, found: {result:?}");
        let done = stage.is_done(&task, &before, &what).await?;
        judge(&result, done, Expected::There, &what)?;
        stage.expect_health(&what).await?;
    }
    Ok(())
}

/// The answer never comes: others are served meanwhile, and after the caller has given up nothing is wrong.
pub(super) async fn a_stalled_call_can_be_given_up(subject: Subject) -> CaseResult {
    for message in [Message::CommandComplete, Message::Committed] {
        let mut stage = Stage::new(&subject, Work::Insert).await?;
        let what = format!("insert whose {message:?} never came");
        let task = stage.task(Work::Insert).await?;
        let before = stage.admin.rows().await?;
        stage.proxy.arm(Fault { point: Point::Before(message), occurrence: 1, action: Action::Stall });
        let stalled = {
            let (store, task) = (stage.store.clone(), task.clone());
            tokio::spawn(async move { task.run(&store).await })
        };
        let mut looks = 0;
        while !stage.proxy.has_fired() && !stalled.is_finished() {
            looks += 1;
            if looks > LOOKS_MAX {
                stalled.abort();
                return Err(CaseError::failed(format!(
                    "{what}: expected an insert by way of the proxy, found none"
                )));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let _ = stage.proxy.disarm();
        let served = timeout(SERVED_TIME_MAX, stage.expect_known(&what)).await;
        stalled.abort();
        let Ok(served) = served else {
            return Err(CaseError::failed(format!(
                "{what}: expected others to be served meanwhile, found them waiting"
            )));
        };
        served?;
        let _ = stalled.await;
        stage.expect_known(&format!("{what}, and was given up")).await?;
        stage.proxy.release();
        stage.admin.expect_rest(&what).await?;
        stage.is_done(&task, &before, &what).await?;
        stage.expect_health(&what).await?;
    }
    Ok(())
}
