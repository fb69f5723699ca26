//! What a running case gets from its runner.

use std::sync::{Arc, Mutex, PoisonError};

use crate::database::TestDatabase;
use crate::environment::{Environment, EnvironmentError};
use crate::event::{Finding, LatencyRecord, MigrationVerdict};
use crate::migration_set::MigrationSet;
use crate::server::TestServer;
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
    findings: Mutex<Vec<Finding>>,
    verdict: Mutex<Option<MigrationVerdict>>,
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
                findings: Mutex::default(),
                verdict: Mutex::default(),
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

    /// A database with all migrations of the set applied, taken back when the case has ended, however it ended.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let database = self.inner.environment.database(migrations).await?;
        self.lease(&database);
        Ok(database)
    }

    /// The same, but certainly a database that nobody has used, and in which nobody else has a session.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn fresh_database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let database = self.inner.environment.fresh_database(migrations).await?;
        self.lease(&database);
        Ok(database)
    }

    /// A server that nobody else uses: for cases that change a whole server, or crash it.
    ///
    /// # Errors
    /// When the machine has no binaries to start one from.
    pub async fn server(&self) -> Result<TestServer, EnvironmentError> {
        TestServer::start().await
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

    /// Where its databases come from; what is taken from it directly is not given back with the case.
    #[must_use]
    pub fn environment(&self) -> &Arc<Environment> {
        &self.inner.environment
    }

    /// Reports a measured latency.
    pub fn measured(&self, latency: LatencyRecord) {
        self.inner.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
    }

    /// Reports what was found in the subject, in its name.
    pub fn found(&self, finding: Finding) {
        let check = self.inner.id.case.clone();
        self.inner.findings.lock().unwrap_or_else(PoisonError::into_inner).push(Finding { check, ..finding });
    }

    /// Reports what a directory of migrations comes to.
    pub fn verdict(&self, verdict: MigrationVerdict) {
        *self.inner.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }

    /// What was last said that a directory of migrations comes to; there is none afterwards.
    #[must_use]
    pub fn take_verdict(&self) -> Option<MigrationVerdict> {
        self.inner.verdict.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was found so far; the list is empty afterwards.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.inner.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was measured so far; the list is empty afterwards.
    #[must_use]
    pub fn take_latencies(&self) -> Vec<LatencyRecord> {
        std::mem::take(&mut self.inner.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the server of one of its databases does not answer any more, or is another by now.
    pub async fn lost_its_server(&self) -> bool {
        let servers: Vec<u64> = self.leases().iter().filter_map(TestDatabase::server).collect();
        if servers.is_empty() {
            return false;
        }
        let health = self.inner.environment.health().await;
        servers.into_iter().any(|server| health != Some(server))
    }

    /// Keeps its databases for somebody to look at, and says how, as far as that is possible.
    #[must_use]
    pub fn keep(&self) -> Vec<String> {
        let name = self.inner.id.to_string();
        self.leases().iter().filter_map(|database| database.keep(&name)).collect()
    }

    /// Gives the databases back that the case used and that are not kept.
    pub async fn release(&self) {
        let leases = std::mem::take(&mut *self.leases());
        for database in leases {
            database.release().await;
        }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Vec<TestDatabase>> {
        self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self, database: &TestDatabase) {
        self.leases().push(database.clone());
    }
}
