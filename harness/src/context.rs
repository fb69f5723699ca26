//! What a running case gets from its runner.

use std::sync::{Arc, Mutex, PoisonError};

use crate::database::TestDatabase;
use crate::environment::{Environment, EnvironmentError};
use crate::event::LatencyRecord;
use crate::migration_set::MigrationSet;
use crate::suite::CaseId;

/// The seed for its generated data, its databases, and a place for what it measures. Clones share all of it.
#[derive(Debug, Clone)]
pub struct CaseContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: CaseId,
    seed: u64,
    environment: Arc<Environment>,
    leases: Mutex<Vec<TestDatabase>>,
    latencies: Mutex<Vec<LatencyRecord>>,
}

impl CaseContext {
    /// A context for one run of one case.
    #[must_use]
    pub fn new(id: CaseId, seed: u64, environment: Arc<Environment>) -> Self {
        Self {
            inner: Arc::new(Inner {
                id,
                seed,
                environment,
                leases: Mutex::default(),
                latencies: Mutex::default(),
            }),
        }
    }

    /// The case's name.
    #[must_use]
    pub fn id(&self) -> &CaseId {
        &self.inner.id
    }

    /// The run's seed: the same for every case, so that one number repeats a run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// A database with all migrations of the set applied, dropped when the case has ended, however it ended.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let database = self.inner.environment.database(migrations).await?;
        self.lease(&database);
        Ok(database)
    }

    /// An empty database, dropped when the case has ended, however it ended.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn empty_database(&self) -> Result<TestDatabase, EnvironmentError> {
        let database = self.inner.environment.empty_database().await?;
        self.lease(&database);
        Ok(database)
    }

    /// Reports a measured latency.
    pub fn measured(&self, latency: LatencyRecord) {
        self.inner.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
    }

    /// What was measured so far; the list is empty afterwards.
    #[must_use]
    pub fn take_latencies(&self) -> Vec<LatencyRecord> {
        std::mem::take(&mut self.inner.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops the databases that the case used.
    ///
    /// # Errors
    /// The first that could not be dropped; the others are dropped all the same.
    pub async fn release(&self) -> Result<(), EnvironmentError> {
        let leases = std::mem::take(&mut *self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner));
        let mut result = Ok(());
        for database in leases {
            result = result.and(self.inner.environment.release(database).await);
        }
        result
    }

    fn lease(&self, database: &TestDatabase) {
        self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner).push(database.clone());
    }
}
