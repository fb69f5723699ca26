//! `ml_data_quality_reports`.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::read::{Reader, integer};
use super::statement::statements;
use super::{Statement, Store};
use crate::domain::{
    DataQualityReport, DataQualityReportId, DataSplit, DqStatus, NewDataQualityReport, TrainingRunId,
    validate_suite_name, validate_table_name,
};
use crate::repository::cursor::{List, before_newest};
use crate::repository::data_quality::{REPORTS, no_report};
use crate::repository::page::validate_limit;
use crate::repository::{DataQualityRepository, Page, PageRequest, RepositoryError};

/// The data-quality reports of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresDataQualityRepository {
    store: Store,
}

impl PostgresDataQualityRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }
}

/// The columns that [`report`] reads.
macro_rules! columns {
    () => {
        "id, expectation_suite_name, table_name, overall_status::text AS overall_status, expectations_passed, \
         expectations_failed, failed_expectations::text AS failed_expectations, run_at, duration_seconds, \
         data_split::text AS data_split, training_run_id"
    };
}

statements! {
    RECORD(16) = concat!(
        "INSERT INTO ml_data_quality_reports \
             (expectation_suite_name, table_name, overall_status, expectations_passed, expectations_failed, \
              failed_expectations, run_at, duration_seconds, data_split, training_run_id) \
         VALUES ($1, $2, $3::dq_status_enum, $4, $5, $6, coalesce($7, now()), $8, $9::data_split_type, $10) \
         RETURNING ",
        columns!()
    );

    FIND(16) = concat!("SELECT ", columns!(), " FROM ml_data_quality_reports WHERE id = $1");

    LIST(16) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_data_quality_reports \
         WHERE table_name = $1 AND expectation_suite_name = $2 AND (run_at, id) < ($3, $4) \
         ORDER BY run_at DESC, id DESC LIMIT $5"
    );

    LATEST(16) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_data_quality_reports \
         WHERE table_name = $1 AND expectation_suite_name = $2 \
           AND ($3::text IS NULL OR data_split = $3::data_split_type) \
         ORDER BY run_at DESC, id DESC LIMIT 1"
    );
}

#[async_trait]
impl DataQualityRepository for PostgresDataQualityRepository {
    async fn record(&self, new: NewDataQualityReport) -> Result<DataQualityReport, RepositoryError> {
        new.validate()?;
        let run_at = new.stored_run_at()?;
        let row = sqlx::query(RECORD.sql)
            .bind(new.expectation_suite_name)
            .bind(new.table_name)
            .bind(new.overall_status.map(DqStatus::as_str))
            .bind(integer(new.expectations_passed))
            .bind(integer(new.expectations_failed))
            .bind(Json(new.failed_expectations))
            .bind(run_at)
            .bind(new.duration_seconds)
            .bind(new.data_split.as_str())
            .bind(new.training_run_id.map(TrainingRunId::as_uuid))
            .fetch_one(self.store.pool())
            .await?;
        report(&row)
    }

    async fn find(&self, id: DataQualityReportId) -> Result<DataQualityReport, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        report(&row.ok_or_else(|| no_report(id))?)
    }

    async fn list(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        request: PageRequest,
    ) -> Result<Page<DataQualityReport>, RepositoryError> {
        validate_table_name(table_name)?;
        validate_suite_name(expectation_suite_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [table_name, expectation_suite_name];
        let list = List::filtered(REPORTS, &filter);
        let (run_at, after) = self.store.cursors().after(&list, &request, before_newest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(table_name)
            .bind(expectation_suite_name)
            .bind(run_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let reports = rows.iter().map(report).collect::<Result<Vec<_>, _>>()?;
        Page::of(reports, limit, |last| self.store.cursors().cursor(&list, &(last.run_at, last.id.as_uuid())))
    }

    async fn latest(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        data_split: Option<DataSplit>,
    ) -> Result<Option<DataQualityReport>, RepositoryError> {
        validate_table_name(table_name)?;
        validate_suite_name(expectation_suite_name)?;
        let row = sqlx::query(LATEST.sql)
            .bind(table_name)
            .bind(expectation_suite_name)
            .bind(data_split.map(DataSplit::as_str))
            .fetch_optional(self.store.pool())
            .await?;
        row.as_ref().map(report).transpose()
    }
}

fn report(row: &PgRow) -> Result<DataQualityReport, RepositoryError> {
    let row = Reader::new("data-quality report", row)?;
    Ok(DataQualityReport {
        id: row.id(),
        expectation_suite_name: row.get("expectation_suite_name")?,
        table_name: row.get("table_name")?,
        overall_status: row.optional_parse("overall_status")?,
        expectations_passed: row.count("expectations_passed")?,
        expectations_failed: row.count("expectations_failed")?,
        failed_expectations: row.shape("failed_expectations")?,
        run_at: row.get("run_at")?,
        duration_seconds: row.get("duration_seconds")?,
        data_split: row.parse("data_split")?,
        training_run_id: row.optional_reference("training_run_id")?,
    })
}
