//! What the cases of this suite are run against.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use proofmark::domain::{BentoService, BentoServiceId, Measures, ModelId, NewBentoService, ServingMetric};
use proofmark::repository::memory::MemoryBentoServiceRepository;
use proofmark::repository::postgres::PostgresBentoServiceRepository;
use proofmark::repository::{BentoServiceRepository, Page, PageRequest, RepositoryError};
use sqlx::PgPool;

use crate::case::{CaseError, Expect as _};
use crate::check;
use crate::context::CaseContext;
use crate::migration_set::MigrationSet;

/// The most pages that a list is read in before a case gives up on it.
const PAGES_MAX: usize = 1_000;

/// An empty repository, and what a case needs beside it. Clones share all of it.
#[derive(Clone)]
pub struct RepositorySubject {
    /// The repository.
    pub repository: Arc<dyn BentoServiceRepository>,
    /// What a case needs beside the repository.
    pub fixtures: Arc<dyn Fixtures>,
    /// The seed of generated data.
    pub seed: u64,
}

/// What a case needs beside the repository, in the store behind it. Errors are the harness's.
#[async_trait]
pub trait Fixtures: Send + Sync {
    /// Registers a model that services can refer to.
    async fn a_model(&self) -> Result<ModelId, CaseError>;

    /// Sets when services were registered, so that the order of lists does not depend on the clock.
    async fn set_created_at(&self, ids: &[BentoServiceId], created_at: DateTime<Utc>) -> Result<(), CaseError>;
}

impl RepositorySubject {
    /// The reference implementation, on a database of the case's own.
    ///
    /// # Errors
    /// When the database cannot be had.
    pub async fn postgres(context: CaseContext) -> Result<Self, CaseError> {
        let pool = context.database(&MigrationSet::reference()).await?.pool().clone();
        Ok(Self {
            repository: Arc::new(PostgresBentoServiceRepository::new(pool.clone())),
            fixtures: Arc::new(PostgresFixtures { pool }),
            seed: context.seed(),
        })
    }

    /// The implementation in memory, which is also the oracle.
    ///
    /// # Errors
    /// None.
    pub async fn memory(context: CaseContext) -> Result<Self, CaseError> {
        let memory = Arc::new(MemoryBentoServiceRepository::new());
        Ok(Self { repository: Arc::clone(&memory) as _, fixtures: memory, seed: context.seed() })
    }

    /// Registers a service that must be accepted.
    pub(super) async fn register(&self, new: NewBentoService) -> Result<BentoService, CaseError> {
        let action = format!("register of service {:?} of bento {:?}", new.service_name, new.bento_tag);
        self.repository.register(new).await.expect_ok(&action)
    }

    /// Registers as many services of one bento as asked for, in this order.
    pub(super) async fn register_many(&self, count: usize) -> Result<Vec<BentoService>, CaseError> {
        let mut services = Vec::with_capacity(count);
        for n in 0..count {
            services.push(self.register(NewBentoService::new("fraud:v1", "v1", format!("service-{n}"))).await?);
        }
        Ok(services)
    }

    /// Registers a service of which nothing special is wanted.
    pub(super) async fn a_service(&self) -> Result<BentoService, CaseError> {
        self.register(NewBentoService::new("fraud:v1", "v1", "scorer")).await
    }

    /// The service as it is stored.
    pub(super) async fn find(&self, id: BentoServiceId) -> Result<BentoService, CaseError> {
        self.repository.find(id).await.expect_ok("find of a registered service")
    }

    /// One page, which must be had.
    pub(super) async fn page(&self, request: PageRequest) -> Result<Page<BentoService>, CaseError> {
        let limit = request.limit;
        let page = self.repository.list(request).await.expect_ok("list")?;
        check!(
            u32::try_from(page.items.len()).is_ok_and(|count| count <= limit),
            "list: expected at most {limit} services in a page, found {}",
            page.items.len()
        );
        Ok(page)
    }

    /// All services, read in pages of this size.
    pub(super) async fn list(&self, limit: u32) -> Result<Vec<BentoService>, CaseError> {
        let mut services = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(PageRequest { limit, after }).await?;
            services.extend(page.items);
            match page.next {
                None => return Ok(services),
                next => after = next,
            }
        }
        Err(CaseError::failed(format!("list: expected an end within {PAGES_MAX} pages of {limit}, found none")))
    }

    /// The latest metrics of a service, which must be had.
    pub(super) async fn latest(&self, id: BentoServiceId, limit: u32) -> Result<Vec<ServingMetric>, CaseError> {
        self.repository.latest_metrics(id, limit).await.expect_ok("latest_metrics")
    }
}

#[async_trait]
impl Fixtures for MemoryBentoServiceRepository {
    async fn a_model(&self) -> Result<ModelId, CaseError> {
        let model = ModelId::random();
        self.add_model(model);
        Ok(model)
    }

    async fn set_created_at(&self, ids: &[BentoServiceId], created_at: DateTime<Utc>) -> Result<(), CaseError> {
        MemoryBentoServiceRepository::set_created_at(self, ids, created_at).map_err(CaseError::harness)
    }
}

struct PostgresFixtures {
    pool: PgPool,
}

#[async_trait]
impl Fixtures for PostgresFixtures {
    async fn a_model(&self) -> Result<ModelId, CaseError> {
        let model = ModelId::random();
        sqlx::query("INSERT INTO ml_model_registry (id, model_name, model_version) VALUES ($1, 'fraud', $2)")
            .bind(model.as_uuid())
            .bind(model.to_string())
            .execute(&self.pool)
            .await
            .map_err(CaseError::harness)?;
        Ok(model)
    }

    async fn set_created_at(&self, ids: &[BentoServiceId], created_at: DateTime<Utc>) -> Result<(), CaseError> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_uuid()).collect();
        sqlx::query("UPDATE ml_bentoml_services SET created_at = $1 WHERE id = ANY($2)")
            .bind(created_at)
            .bind(ids)
            .execute(&self.pool)
            .await
            .map_err(CaseError::harness)?;
        Ok(())
    }
}

/// Fails the case unless the repository refused with an error that matches the pattern:
/// `check_refused!(result, RepositoryError::NotFound { .. }, "find of a missing service")`.
macro_rules! check_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?, $($what:tt)+) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            found => {
                return Err($crate::suites::repositories::subject::not_refused(
                    format!($($what)+),
                    stringify!($pattern $(if $guard)?),
                    found.map(|found| format!("{found:?}")),
                ));
            }
        }
    };
}
pub(super) use check_refused;

pub(super) fn not_refused(what: String, expected: &str, found: Result<String, RepositoryError>) -> CaseError {
    // The compiler breaks long patterns into lines.
    let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ").replace("RepositoryError::", "");
    CaseError::failed(match found {
        Ok(found) => format!("{what}: expected the error {expected}, found success: {found}"),
        Err(error) => {
            format!("{what}: expected the error {expected}, found another: {}", crate::error_chain(&error))
        }
    })
}

/// The moment, written as RFC 3339.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, CaseError> {
    text.parse().map_err(|error| CaseError::harness(format!("{text:?} is no time: {error}")))
}

/// The numbers bit by bit: -0.0 is not 0.0, and equal is not merely close.
pub(super) fn bits(measures: &Measures) -> [Option<u64>; 7] {
    [
        measures.requests_per_second,
        measures.avg_latency_ms,
        measures.p95_latency_ms,
        measures.p99_latency_ms,
        measures.error_rate,
        measures.memory_mb,
        measures.cpu_percent,
    ]
    .map(|measure| measure.map(f64::to_bits))
}

/// Whether two sums of the same numbers agree; the order of summation is the store's.
pub(super) fn is_close(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (None, None) => true,
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs(),
        _ => false,
    }
}
