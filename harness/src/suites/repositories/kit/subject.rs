//! What a case is run against, and what all cases do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use super::adapter::{Adapter, Database, Listed, Refusal, RefusalKind};
use super::spec::Spec;
use super::value::Record;
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::context::CaseContext;
use crate::database::TestDatabase;

/// The most pages that a list is read in before a case gives up on it.
const PAGES_MAX: usize = 2_000;

/// Opens a repository.
pub type Opener = Arc<dyn Fn(Database) -> BoxFuture<'static, Result<Arc<dyn Adapter>, Refusal>> + Send + Sync>;

/// A kind of repository that is not opened yet.
#[derive(Clone)]
pub struct Subject {
    pub(super) spec: Arc<Spec>,
    pub(super) open: Opener,
    pub(super) context: CaseContext,
}

impl Subject {
    /// The repository behind an adapter.
    #[must_use]
    pub fn of<A: Adapter>(context: CaseContext) -> Self {
        let open: Opener = Arc::new(|database| {
            Box::pin(async move {
                let adapter = A::open(&database).await?;
                Ok(Arc::new(adapter) as Arc<dyn Adapter>)
            })
        });
        Self::new(A::spec(), open, context)
    }

    /// A repository that is opened in another way.
    #[must_use]
    pub fn new(spec: Spec, open: Opener, context: CaseContext) -> Self {
        Self { spec: Arc::new(spec), open, context }
    }

    /// The repository, on a database of its own if it has one.
    pub(super) async fn store(&self) -> Result<Store, CaseError> {
        if !self.has_database() {
            return self.opened(Database::new(""), None).await;
        }
        let database = self.database().await?;
        let url = database.url().to_owned();
        self.opened(Database::new(url), Some(database)).await
    }

    /// A database with its tables.
    pub(super) async fn database(&self) -> Result<TestDatabase, CaseError> {
        let set =
            self.spec.migration_set().map_err(|error| CaseError::failed(format!("its migrations: {error}")))?;
        Ok(self.context.database(&set).await?)
    }

    pub(super) fn has_database(&self) -> bool {
        self.spec.abilities().contains(&super::Ability::Database)
    }

    /// The repository, opened on this database.
    pub(super) async fn opened(
        &self,
        database: Database,
        lease: Option<TestDatabase>,
    ) -> Result<Store, CaseError> {
        let repository = (self.open)(database).await;
        let repository = repository
            .map_err(|refusal| CaseError::failed(format!("open: expected success, found: {refusal}")))?;
        Ok(Store {
            repository,
            spec: Arc::clone(&self.spec),
            seed: self.context.seed(),
            lease,
            numbers: Arc::new(AtomicU64::new(1)),
        })
    }
}

/// An opened repository. Clones share it.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) repository: Arc<dyn Adapter>,
    pub(super) spec: Arc<Spec>,
    pub(super) seed: u64,
    pub(super) lease: Option<TestDatabase>,
    numbers: Arc<AtomicU64>,
}

impl Store {
    /// The same repository once more, with other connections; the two never take the same sample.
    pub(super) async fn opened_again(&self, subject: &Subject, database: Database) -> Result<Self, CaseError> {
        Ok(subject.opened(database, self.lease.clone()).await?.numbered_as(self))
    }

    /// The store, which never takes the same sample as the other one.
    pub(super) fn numbered_as(self, other: &Self) -> Self {
        Self { numbers: Arc::clone(&other.numbers), ..self }
    }

    /// A number that was not given before.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A valid record that was not given before.
    pub(super) fn sample(&self) -> Record {
        self.spec.record(self.number())
    }

    /// The URL of its database.
    pub(super) fn url(&self) -> Result<&str, CaseError> {
        let lease =
            self.lease.as_ref().ok_or_else(|| CaseError::harness("expected a repository on a database"))?;
        Ok(lease.url())
    }

    /// Inserts a record that must be accepted.
    pub(super) async fn insert(&self, record: &Record) -> Result<String, CaseError> {
        self.repository.insert(record).await.map_err(|refusal| {
            CaseError::failed(format!("insert of {record:?}: expected success, found: {refusal}"))
        })
    }

    /// Inserts so many records and returns their keys.
    pub(super) async fn insert_many(&self, count: usize) -> Result<Vec<String>, CaseError> {
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(self.insert(&self.sample()).await?);
        }
        Ok(keys)
    }

    /// The record with this key, which must be there.
    pub(super) async fn get(&self, key: &str) -> Result<Record, CaseError> {
        let found = self.repository.get(key).await;
        found
            .map_err(|refusal| CaseError::failed(format!("get of a stored record: expected it, found: {refusal}")))
    }

    /// Fails unless the record with this key is the expected one.
    pub(super) async fn expect(&self, key: &str, expected: &Record, what: &str) -> CaseResult {
        let found = self.get(key).await?;
        match expected.difference(&found) {
            None => Ok(()),
            Some(difference) => Err(CaseError::failed(format!("get of {what}: {difference}"))),
        }
    }

    /// Inserts a record and expects it to come back.
    pub(super) async fn round_trip(&self, record: &Record) -> Result<String, CaseError> {
        let key = self.insert(record).await?;
        self.expect(&key, record, "what was inserted").await?;
        Ok(key)
    }

    /// Changes a record, which must be accepted.
    pub(super) async fn update(&self, key: &str, changes: &Record) -> CaseResult {
        accepted(self.repository.update(key, changes).await, &format!("update with {changes:?}"))
    }

    /// Deletes a record, which must be accepted.
    pub(super) async fn delete(&self, key: &str) -> CaseResult {
        accepted(self.repository.delete(key).await, "delete of a stored record")
    }

    /// One page, which must be had.
    pub(super) async fn page(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, CaseError> {
        let listed =
            accepted(self.repository.list(limit, cursor).await, &format!("list with a limit of {limit}"))?;
        let count = listed.records.len();
        check!(
            u32::try_from(count).is_ok_and(|count| count <= limit),
            "list: expected at most {limit} records in a page, found {count}"
        );
        Ok(listed)
    }

    /// All records, read in pages of this size.
    pub(super) async fn list(&self, limit: u32) -> Result<Vec<(String, Record)>, CaseError> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(limit, cursor.as_deref()).await?;
            records.extend(page.records);
            match page.next {
                None => return Ok(records),
                next => cursor = next,
            }
        }
        Err(CaseError::failed(format!("list: expected an end within {PAGES_MAX} pages of {limit}, found none")))
    }

    /// The keys of all records, read in pages of this size.
    pub(super) async fn keys(&self, limit: u32) -> Result<Vec<String>, CaseError> {
        Ok(self.list(limit).await?.into_iter().map(|(key, _)| key).collect())
    }

    /// Appends measurements, which must be accepted, as many at a time as the repository takes.
    pub(super) async fn append(&self, key: &str, points: &[Record]) -> CaseResult {
        let many = self.spec.abilities().contains(&super::Ability::AppendMany);
        let size = if many { points.len().max(1) } else { 1 };
        for points in points.chunks(size) {
            let what = format!("append of {} measurements", points.len());
            accepted(self.repository.append(key, points).await, &what)?;
        }
        Ok(())
    }

    /// The latest measurements, which must be had.
    pub(super) async fn points(&self, key: &str, limit: u32) -> Result<Vec<Record>, CaseError> {
        let points =
            accepted(self.repository.points(key, limit).await, &format!("points with a limit of {limit}"))?;
        let count = points.len();
        check!(
            u32::try_from(count).is_ok_and(|count| count <= limit),
            "points: expected at most {limit} measurements, found {count}"
        );
        Ok(points)
    }
}

/// The value; a refusal is a failure that names the action.
pub(super) fn accepted<T>(result: Result<T, Refusal>, action: &str) -> Result<T, CaseError> {
    result.map_err(|refusal| CaseError::failed(format!("{action}: expected success, found: {refusal}")))
}

/// Fails unless it was refused in one of these ways.
pub(super) fn refused<T: std::fmt::Debug>(
    result: Result<T, Refusal>,
    kinds: &[RefusalKind],
    action: &str,
) -> CaseResult {
    let expected = || kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    match result {
        Err(refusal) if kinds.contains(&refusal.kind) => Ok(()),
        Err(refusal) => {
            Err(CaseError::failed(format!("{action}: expected the refusal {}, found: {refusal}", expected())))
        }
        Ok(found) => Err(CaseError::failed(format!(
            "{action}: expected the refusal {}, found success: {found:?}",
            expected()
        ))),
    }
}
