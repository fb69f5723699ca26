//! `ml_deployments`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::register::NewRow;
use super::session::Session;
use super::statement::{revised, statements};
use super::{Statement, Store};
use crate::domain::{
    Activation, Deployment, DeploymentId, DeploymentStatus, NewDeployment, Performance, Revision, Rollback,
    instant, validate_place, validate_rollback_reason,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::deployment::{
    CHAIN_MAX, DEPLOYMENT, DEPLOYMENT_HISTORY, DEPLOYMENT_SCOPE, DEPLOYMENTS, NO_PREVIOUS, not_among,
};
use crate::repository::page::validate_limit;
use crate::repository::{DeploymentRepository, IdempotencyKey, LIMIT_MAX, Page, PageRequest, RepositoryError};

/// The deployments of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresDeploymentRepository {
    store: Store,
}

/// The columns that [`deployment`] reads; the table's name tells them apart from those of other parts of a query.
macro_rules! columns {
    () => {
        "ml_deployments.id, model_id, deployment_name, environment, endpoint, status::text AS status, \
         ml_deployments.previous_deployment_id, rollback_reason, deployed_at, deactivated_at, rolled_back_at, \
         latency_p50_ms, latency_p95_ms, latency_p99_ms, error_rate, revision, created_at, updated_at"
    };
}

statements! {
    CREATE(9) = concat!(
        "INSERT INTO ml_deployments (id, model_id, deployment_name, environment, endpoint) \
         VALUES ($1, $2, $3, $4, $5) RETURNING ",
        columns!()
    );
    FIND(9) = concat!("SELECT ", columns!(), " FROM ml_deployments WHERE id = $1");
    FIND_FOR_UPDATE(9) = concat!("SELECT ", columns!(), " FROM ml_deployments WHERE id = $1 FOR UPDATE");
    ACTIVE(9) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_deployments WHERE deployment_name = $1 AND environment = $2 AND status = 'active'"
    );
    LIST(9) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_deployments WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3"
    );
    HISTORY(9) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_deployments WHERE (created_at, id) < ($1, $2) AND deployment_name = $4 AND environment = $5 \
         ORDER BY created_at DESC, id DESC LIMIT $3"
    );
    CHAIN(9) = concat!(
        "WITH RECURSIVE chain AS ( \
             SELECT id, previous_deployment_id, 1 AS length FROM ml_deployments WHERE id = $1 \
             UNION ALL \
             SELECT earlier.id, earlier.previous_deployment_id, chain.length + 1 \
             FROM chain JOIN ml_deployments AS earlier ON earlier.id = chain.previous_deployment_id \
             WHERE chain.length < $2 \
         ) SELECT ",
        columns!(),
        " FROM chain JOIN ml_deployments ON ml_deployments.id = chain.id ORDER BY chain.length"
    );
    /// Whoever changes which deployment of a place is active waits for the others who do.
    LOCK_PLACE(1) = "SELECT pg_advisory_xact_lock(hashtextextended('ml_deployments ' || $1 || ' ' || $2, 0))";
    BEGIN(9) = concat!(
        "UPDATE ml_deployments SET status = 'deploying', ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    DRAIN(9) = concat!(
        "UPDATE ml_deployments SET status = 'draining', deactivated_at = now(), ",
        revised!(),
        " WHERE deployment_name = $1 AND environment = $2 AND status = 'active' RETURNING ",
        columns!()
    );
    ACTIVATE(9) = concat!(
        "UPDATE ml_deployments SET status = 'active', deployed_at = now(), previous_deployment_id = $2, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    FAIL(9) = concat!(
        "UPDATE ml_deployments SET status = 'failed', \
             deactivated_at = CASE status WHEN 'active' THEN now() ELSE deactivated_at END, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    ROLL_BACK(9) = concat!(
        "UPDATE ml_deployments SET status = 'rolled_back', rollback_reason = $2, rolled_back_at = now(), \
             deactivated_at = now(), ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    RESTORE(9) = concat!(
        "UPDATE ml_deployments SET status = 'active', deployed_at = now(), deactivated_at = NULL, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    RECORD_PERFORMANCE(9) = concat!(
        "UPDATE ml_deployments SET latency_p50_ms = $2, latency_p95_ms = $3, latency_p99_ms = $4, error_rate = $5, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    /// Rows that somebody is changing are left to him: they are not stale.
    FAIL_STALE(9) = concat!(
        "WITH stale AS ( \
             SELECT id, updated_at AS since FROM ml_deployments \
             WHERE status IN ('pending', 'deploying') AND updated_at < $1 \
             ORDER BY updated_at, id LIMIT $2 FOR UPDATE SKIP LOCKED \
         ), failed AS ( \
             UPDATE ml_deployments SET status = 'failed', ",
        revised!(),
        " FROM stale WHERE ml_deployments.id = stale.id RETURNING ml_deployments.id, stale.since \
         ) SELECT id FROM failed ORDER BY since, id"
    );
}

impl PostgresDeploymentRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn page(
        &self,
        list: &List<'_>,
        statement: Statement,
        filter: &[&str],
        request: &PageRequest,
    ) -> Result<Page<Deployment>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, id): Moment = self.store.cursors().after(list, request, before_newest())?;
        let mut query = sqlx::query(statement.sql).bind(created_at).bind(id).bind(i64::from(limit) + 1);
        for value in filter {
            query = query.bind(*value);
        }
        let rows = query.fetch_all(self.store.pool()).await?;
        let deployments = rows.iter().map(deployment).collect::<Result<Vec<_>, _>>()?;
        Page::of(deployments, limit, |last| {
            self.store.cursors().cursor(list, &(last.created_at, last.id.as_uuid()))
        })
    }

    /// Makes one change to the row, if it has the expected revision and is in one of these states.
    async fn change(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        among: &[DeploymentStatus],
        statement: Statement,
    ) -> Result<Deployment, RepositoryError> {
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = change(session.connection()?, id.as_uuid(), expected, among, statement).await;
                session.end(outcome).await
            })
            .await
    }
}

impl NewRow for NewDeployment {
    type Row = Deployment;
    const SCOPE: &'static str = DEPLOYMENT_SCOPE;

    async fn insert(&self, connection: &mut PgConnection, id: Uuid) -> Result<Deployment, RepositoryError> {
        let row = sqlx::query(CREATE.sql)
            .bind(id)
            .bind(self.model_id.as_uuid())
            .bind(&self.deployment_name)
            .bind(&self.environment)
            .bind(&self.endpoint)
            .fetch_one(connection)
            .await?;
        deployment(&row)
    }

    async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Deployment, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id).fetch_optional(connection).await?;
        deployment(&row.ok_or_else(|| RepositoryError::not_found(DEPLOYMENT, id))?)
    }
}

/// The deployment, locked, if it has the expected revision and is in one of these states; none of them is any.
async fn lock(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    among: &[DeploymentStatus],
) -> Result<Deployment, RepositoryError> {
    let row = sqlx::query(FIND_FOR_UPDATE.sql).bind(id).fetch_optional(connection).await?;
    let found = deployment(&row.ok_or_else(|| RepositoryError::not_found(DEPLOYMENT, id))?)?;
    if let Some(expected) = expected.filter(|expected| *expected != found.revision) {
        return Err(RepositoryError::Stale { entity: DEPLOYMENT, id, expected, found: found.revision });
    }
    if !among.is_empty() && !among.contains(&found.status) {
        return Err(RepositoryError::refused(DEPLOYMENT, id, not_among(among, found.status)));
    }
    Ok(found)
}

/// As [`lock`], and nobody else changes which deployment of its place is active until the transaction ends.
async fn lock_place(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    among: &[DeploymentStatus],
) -> Result<Deployment, RepositoryError> {
    // Neither name nor environment ever changes, so that their lock can be taken before the row's.
    let found = NewDeployment::find(connection, id).await?;
    sqlx::query(LOCK_PLACE.sql)
        .bind(&found.environment)
        .bind(&found.deployment_name)
        .execute(&mut *connection)
        .await?;
    lock(connection, id, expected, among).await
}

async fn change(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    among: &[DeploymentStatus],
    statement: Statement,
) -> Result<Deployment, RepositoryError> {
    lock(connection, id, expected, among).await?;
    deployment(&sqlx::query(statement.sql).bind(id).fetch_one(connection).await?)
}

async fn activate(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
) -> Result<Activation, RepositoryError> {
    let among = [DeploymentStatus::Pending, DeploymentStatus::Deploying];
    let found = lock_place(connection, id, expected, &among).await?;
    let replaced = sqlx::query(DRAIN.sql)
        .bind(&found.deployment_name)
        .bind(&found.environment)
        .fetch_optional(&mut *connection)
        .await?;
    let replaced = replaced.as_ref().map(deployment).transpose()?;
    let activated = sqlx::query(ACTIVATE.sql)
        .bind(id)
        .bind(replaced.as_ref().map(|replaced| replaced.id.as_uuid()))
        .fetch_one(connection)
        .await?;
    Ok(Activation { activated: deployment(&activated)?, replaced })
}

async fn roll_back(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    reason: &str,
) -> Result<Rollback, RepositoryError> {
    let found = lock_place(connection, id, expected, &[DeploymentStatus::Active]).await?;
    let Some(previous) = found.previous_deployment_id else {
        return Err(RepositoryError::refused(DEPLOYMENT, id, NO_PREVIOUS));
    };
    lock(connection, previous.as_uuid(), None, &[DeploymentStatus::Draining]).await?;
    let rolled_back = sqlx::query(ROLL_BACK.sql).bind(id).bind(reason).fetch_one(&mut *connection).await?;
    let restored = sqlx::query(RESTORE.sql).bind(previous.as_uuid()).fetch_one(connection).await?;
    Ok(Rollback { rolled_back: deployment(&rolled_back)?, restored: deployment(&restored)? })
}

#[async_trait]
impl DeploymentRepository for PostgresDeploymentRepository {
    async fn create(&self, new: NewDeployment) -> Result<Deployment, RepositoryError> {
        new.validate()?;
        self.store.register(&new).await
    }

    async fn create_once(&self, key: &IdempotencyKey, new: NewDeployment) -> Result<Deployment, RepositoryError> {
        new.validate()?;
        self.store.register_once(key, &new).await
    }

    async fn find(&self, id: DeploymentId) -> Result<Deployment, RepositoryError> {
        NewDeployment::find(&mut *self.store.pool().acquire().await?, id.as_uuid()).await
    }

    async fn active(
        &self,
        deployment_name: &str,
        environment: &str,
    ) -> Result<Option<Deployment>, RepositoryError> {
        validate_place(deployment_name, environment)?;
        let query = sqlx::query(ACTIVE.sql).bind(deployment_name).bind(environment);
        query.fetch_optional(self.store.pool()).await?.as_ref().map(deployment).transpose()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<Deployment>, RepositoryError> {
        self.page(&DEPLOYMENTS, LIST, &[], &request).await
    }

    async fn history(
        &self,
        deployment_name: &str,
        environment: &str,
        request: PageRequest,
    ) -> Result<Page<Deployment>, RepositoryError> {
        validate_place(deployment_name, environment)?;
        let filter = [deployment_name, environment];
        self.page(&List::filtered(DEPLOYMENT_HISTORY, &filter), HISTORY, &filter, &request).await
    }

    async fn chain(&self, id: DeploymentId) -> Result<Vec<Deployment>, RepositoryError> {
        let query = sqlx::query(CHAIN.sql).bind(id.as_uuid()).bind(i32::from(CHAIN_MAX));
        let rows = query.fetch_all(self.store.pool()).await?;
        if rows.is_empty() {
            return Err(RepositoryError::not_found(DEPLOYMENT, id.as_uuid()));
        }
        rows.iter().map(deployment).collect()
    }

    async fn begin(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError> {
        self.change(id, expected, &[DeploymentStatus::Pending], BEGIN).await
    }

    async fn activate(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Activation, RepositoryError> {
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = activate(session.connection()?, id.as_uuid(), expected).await;
                session.end(outcome).await
            })
            .await
    }

    async fn fail(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError> {
        let among = [DeploymentStatus::Pending, DeploymentStatus::Deploying, DeploymentStatus::Active];
        self.change(id, expected, &among, FAIL).await
    }

    async fn roll_back(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        reason: &str,
    ) -> Result<Rollback, RepositoryError> {
        validate_rollback_reason(reason)?;
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = roll_back(session.connection()?, id.as_uuid(), expected, reason).await;
                session.end(outcome).await
            })
            .await
    }

    async fn record_performance(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        performance: Performance,
    ) -> Result<Deployment, RepositoryError> {
        performance.validate()?;
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = record_performance(session.connection()?, id.as_uuid(), expected, performance).await;
                session.end(outcome).await
            })
            .await
    }

    async fn fail_stale(&self, before: DateTime<Utc>) -> Result<Vec<DeploymentId>, RepositoryError> {
        let before = instant("before", before)?;
        self.store
            .retry(async || {
                let query = sqlx::query(FAIL_STALE.sql).bind(before).bind(i64::from(LIMIT_MAX));
                let rows = query.fetch_all(self.store.pool()).await?;
                rows.iter().map(|row| Ok(row.try_get::<Uuid, _>("id")?.into())).collect()
            })
            .await
    }
}

async fn record_performance(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    performance: Performance,
) -> Result<Deployment, RepositoryError> {
    lock(connection, id, expected, &[]).await?;
    let row = sqlx::query(RECORD_PERFORMANCE.sql)
        .bind(id)
        .bind(performance.latency_p50_ms)
        .bind(performance.latency_p95_ms)
        .bind(performance.latency_p99_ms)
        .bind(performance.error_rate)
        .fetch_one(connection)
        .await?;
    deployment(&row)
}

fn deployment(row: &PgRow) -> Result<Deployment, RepositoryError> {
    let id: Uuid = row.try_get("id")?;
    Ok(Deployment {
        id: id.into(),
        model_id: row.try_get::<Uuid, _>("model_id")?.into(),
        deployment_name: row.try_get("deployment_name")?,
        environment: row.try_get("environment")?,
        endpoint: row.try_get("endpoint")?,
        status: row
            .try_get::<&str, _>("status")?
            .parse()
            .map_err(|unknown| RepositoryError::corrupt(DEPLOYMENT, id, "status", unknown))?,
        previous_deployment_id: row.try_get::<Option<Uuid>, _>("previous_deployment_id")?.map(Into::into),
        rollback_reason: row.try_get("rollback_reason")?,
        deployed_at: row.try_get("deployed_at")?,
        deactivated_at: row.try_get("deactivated_at")?,
        rolled_back_at: row.try_get("rolled_back_at")?,
        performance: Performance {
            latency_p50_ms: row.try_get("latency_p50_ms")?,
            latency_p95_ms: row.try_get("latency_p95_ms")?,
            latency_p99_ms: row.try_get("latency_p99_ms")?,
            error_rate: row.try_get("error_rate")?,
        },
        revision: Revision::new(row.try_get("revision")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
