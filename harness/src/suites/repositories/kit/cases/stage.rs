//! A repository behind a proxy, and what must be true of it after whatever happened.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::super::subject::{Store, Subject};
use super::super::value::{Record, Value};
use super::super::{Ability, Database, Refusal, RefusalKind};
use super::crud::another;
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::database::TestDatabase;
use crate::faults::{Admin, Fault, Proxy};

/// How many connections the repository may have.
const CONNECTIONS: u32 = 3;

/// How many measurements an append consists of.
const POINTS: u64 = 50;

/// What is tried while something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Insert,
    Append,
    Update,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Append => "append",
            Self::Update => "update",
        }
    }
}

/// Whether it must be there afterwards, as far as the fault says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// It was committed: it is there, whatever the caller was told.
    There,
    /// It was not committed: it is there only if the repository tried again, and then it said so.
    AsTold,
    /// It is there if the caller was told so, and may be there if not.
    Either,
}

/// One piece of work, and how to see whether it was done.
#[derive(Clone)]
pub(super) struct Task {
    work: Work,
    key: String,
    old: Record,
    /// The record to insert, or the changes.
    pub(super) record: Record,
    points: Vec<Record>,
}

impl Task {
    /// Does it.
    pub(super) async fn run(&self, store: &Store) -> Result<(), Refusal> {
        match self.work {
            Work::Insert => store.repository.insert(&self.record).await.map(|_| ()),
            Work::Append => store.repository.append(&self.key, &self.points).await,
            Work::Update => store.repository.update(&self.key, &self.record).await,
        }
    }
}

/// A repository that is reached by way of a proxy, and the database behind it.
pub(super) struct Stage {
    pub(super) store: Store,
    /// The same repository by the straight way.
    pub(super) direct: Store,
    pub(super) proxy: Proxy,
    pub(super) admin: Admin,
    /// What was acknowledged.
    known: Vec<(String, Record)>,
    /// The rows that an insert, and that an append, adds.
    footprints: BTreeMap<&'static str, BTreeMap<String, i64>>,
    points: u64,
}

impl Stage {
    pub(super) async fn new(subject: &Subject, work: Work) -> Result<Self, CaseError> {
        let lease = subject.database().await?;
        Self::on(subject, lease, work).await
    }

    pub(super) async fn on(subject: &Subject, lease: TestDatabase, work: Work) -> Result<Self, CaseError> {
        let proxy = Proxy::start(lease.url()).await.map_err(CaseError::harness)?;
        let admin = Admin::connect(lease.url()).await?;
        let direct = subject.opened(Database::new(lease.url()), Some(lease)).await?;
        let store = direct.opened_again(subject, database(&proxy)).await?;
        let (known, footprints) = (Vec::new(), BTreeMap::new());
        let mut stage = Self { store, direct, proxy, admin, known, footprints, points: 1 };
        for work in [Work::Insert, work] {
            let task = stage.task(work).await?;
            let before = stage.admin.rows().await?;
            task.run(&stage.store).await.map_err(|refusal| {
                CaseError::failed(format!("{}: expected success, found: {refusal}", work.name()))
            })?;
            let added = difference(&before, &stage.admin.rows().await?);
            stage.footprints.insert(work.name(), added);
        }
        stage.remember().await?;
        Ok(stage)
    }

    /// Inserts a record that is acknowledged and must stay.
    pub(super) async fn remember(&mut self) -> CaseResult {
        let record = self.store.sample();
        let key = self.store.insert(&record).await?;
        self.known.push((key, record));
        Ok(())
    }

    /// A repository that has no connections and no prepared statements yet.
    pub(super) async fn renew(&mut self, subject: &Subject) -> CaseResult {
        self.store = self.direct.opened_again(subject, database(&self.proxy)).await?;
        Ok(())
    }

    /// Work that was not done before.
    pub(super) async fn task(&mut self, work: Work) -> Result<Task, CaseError> {
        let record = self.store.sample();
        let (key, old) = if work == Work::Insert {
            (String::new(), Record::new())
        } else {
            (self.direct.insert(&record).await?, record.clone())
        };
        let count = if self.store.spec.abilities().contains(&Ability::UpdateMany) { usize::MAX } else { 1 };
        let fields = self.store.spec.updatable().filter(|field| !field.unique).take(count);
        let changes = fields.fold(Record::new(), |changes, field| {
            let value = another(&self.store, field, old.get(field.name));
            changes.with(field.name, value.unwrap_or(Value::Absent))
        });
        let record = if work == Work::Insert { record } else { changes };
        let points = (self.points..self.points + POINTS).map(|number| self.store.spec.point(number)).collect();
        self.points += POINTS;
        Ok(Task { work, key, old, record, points })
    }

    /// Does the work while the fault is armed, and checks everything afterwards. Whether the fault happened.
    pub(super) async fn interrupt(
        &mut self,
        fault: Fault,
        work: Work,
        expected: Expected,
    ) -> Result<bool, CaseError> {
        let what = format!("{} with {:?} {:?} (no. {})", work.name(), fault.action, fault.point, fault.occurrence);
        let task = self.task(work).await?;
        let before = self.admin.rows().await?;
        self.proxy.arm(fault);
        let result = task.run(&self.store).await;
        let fired = self.proxy.disarm();
        self.proxy.release();
        let expected = if fired { expected } else { Expected::Either };
        self.admin.expect_rest(&what).await?;
        let done = self.is_done(&task, &before, &what).await?;
        judge(&result, done, expected, &what)?;
        if fired {
            self.expect_health(&what).await?;
        }
        Ok(fired)
    }

    /// Whether the work was done; half of it, or twice, is a failure.
    pub(super) async fn is_done(
        &mut self,
        task: &Task,
        before: &BTreeMap<String, i64>,
        what: &str,
    ) -> Result<bool, CaseError> {
        if task.work == Work::Update {
            let mut new = task.old.clone();
            new.apply(&task.record);
            let found = self.direct.get(&task.key).await?;
            check!(
                found == task.old || found == new,
                "{what}: expected the record before or after the update, found another: {}",
                new.difference(&found).unwrap_or_default()
            );
            return Ok(found == new);
        }
        let added = difference(before, &self.admin.rows().await?);
        let once = self.footprints.get(task.work.name()).cloned().unwrap_or_default();
        check!(
            added.is_empty() || added == once,
            "{what}: expected no rows more, or those of one {}, {once:?}; found {added:?}",
            task.work.name()
        );
        Ok(!added.is_empty())
    }

    /// Fails unless the repository works again, what was acknowledged is there, and nothing is left open.
    pub(super) async fn expect_health(&mut self, what: &str) -> CaseResult {
        let mut attempts = 0;
        let mut record = self.store.sample();
        // Each connection may turn out to be broken once.
        let key = loop {
            match self.store.repository.insert(&record).await {
                Ok(key) => break key,
                Err(refusal) if attempts <= CONNECTIONS && is_outage(&refusal) => {
                    attempts += 1;
                    record = self.store.sample();
                }
                Err(refusal) => {
                    return Err(CaseError::failed(format!(
                        "{what}, and then an insert, attempt {}: expected success, found: {refusal}",
                        attempts + 1
                    )));
                }
            }
        };
        self.known.push((key, record));
        self.expect_known(what).await?;
        self.admin.expect_rest(what).await
    }

    /// Fails unless all that was acknowledged is there, for as many callers as there are connections.
    pub(super) async fn expect_known(&self, what: &str) -> CaseResult {
        let from = self.known.len().saturating_sub(8);
        let checks = self.known.iter().skip(from).map(|(key, record)| async move {
            self.store.expect(key, record, &format!("a record that was acknowledged ({what})")).await
        });
        join_all(checks).await.into_iter().collect()
    }
}

fn database(proxy: &Proxy) -> Database {
    Database { connections_max: CONNECTIONS, ..Database::new(proxy.url()) }
}

/// The rows that were added to each table.
fn difference(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    after
        .iter()
        .map(|(table, rows)| (table.clone(), rows - before.get(table).copied().unwrap_or(0)))
        .filter(|(_, rows)| *rows != 0)
        .collect()
}

/// Whether a caller may be told this when the server or the way to it is broken.
pub(super) fn is_outage(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::Unavailable | RefusalKind::Contended | RefusalKind::Cancelled)
}

/// Fails unless what the caller was told fits what is there.
pub(super) fn judge<T>(result: &Result<T, Refusal>, done: bool, expected: Expected, what: &str) -> CaseResult {
    if let Err(refusal) = result {
        check!(
            is_outage(refusal),
            "{what}: expected success or a refusal that blames the store (unavailable), found: {refusal}"
        );
    }
    let told = if result.is_ok() { "success" } else { "an error" };
    match (result.is_ok(), done, expected) {
        (true, false, _) => {
            Err(CaseError::failed(format!("{what}: expected what was acknowledged to be there, found nothing")))
        }
        (_, false, Expected::There) => {
            Err(CaseError::failed(format!("{what}: expected what was committed to be there, found nothing")))
        }
        (false, true, Expected::AsTold) => Err(CaseError::failed(format!(
            "{what}: expected nothing to be there, as it was not committed and the caller was told {told}; found it"
        ))),
        _ => Ok(()),
    }
}
