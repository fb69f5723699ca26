//! Data-quality reports.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, now};
use crate::domain::{
    DataQualityReport, DataQualityReportId, DataSplit, NewDataQualityReport, validate_suite_name,
    validate_table_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::data_quality::{REPORTS, data_quality_constraint as constraint, no_report};
use crate::repository::page::validate_limit;
use crate::repository::{DataQualityRepository, Page, PageRequest, RepositoryError};

/// Data-quality reports in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryDataQualityRepository {
    store: MemoryStore,
}

/// The rows of the table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    reports: HashMap<DataQualityReportId, DataQualityReport>,
}

impl From<&MemoryStore> for MemoryDataQualityRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(report: &DataQualityReport) -> Moment {
    (report.run_at, report.id.as_uuid())
}

impl Rows {
    /// The reports of a suite on a table, the latest first.
    fn latest_first(&self, table_name: &str, suite: &str) -> Vec<&DataQualityReport> {
        let is_one = |report: &&DataQualityReport| {
            report.table_name == table_name && report.expectation_suite_name == suite
        };
        let mut reports: Vec<_> = self.reports.values().filter(is_one).collect();
        reports.sort_by_key(|report| Reverse(key(report)));
        reports
    }
}

#[async_trait]
impl DataQualityRepository for MemoryDataQualityRepository {
    async fn record(&self, new: NewDataQualityReport) -> Result<DataQualityReport, RepositoryError> {
        new.validate()?;
        let run_at = new.stored_run_at()?;
        let mut tables = self.store.tables();
        if new.training_run_id.is_some_and(|id| !tables.training_runs.contains(id)) {
            return Err(RepositoryError::missing(constraint::TRAINING_RUN));
        }
        let report = DataQualityReport {
            id: DataQualityReportId::random(),
            expectation_suite_name: new.expectation_suite_name,
            table_name: new.table_name,
            overall_status: new.overall_status,
            expectations_passed: new.expectations_passed,
            expectations_failed: new.expectations_failed,
            failed_expectations: new.failed_expectations,
            run_at: run_at.unwrap_or_else(now),
            duration_seconds: new.duration_seconds,
            data_split: new.data_split,
            training_run_id: new.training_run_id,
        };
        tables.data_quality.reports.insert(report.id, report.clone());
        Ok(report)
    }

    async fn find(&self, id: DataQualityReportId) -> Result<DataQualityReport, RepositoryError> {
        self.store.tables().data_quality.reports.get(&id).cloned().ok_or_else(|| no_report(id))
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
        let after = self.store.cursors.after(&list, &request, before_newest())?;
        let tables = self.store.tables();
        let reports = tables.data_quality.latest_first(table_name, expectation_suite_name);
        let reports = reports.into_iter().filter(|report| key(report) < after).cloned().collect();
        Page::of(reports, limit, |last| self.store.cursors.cursor(&list, &key(last)))
    }

    async fn latest(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        data_split: Option<DataSplit>,
    ) -> Result<Option<DataQualityReport>, RepositoryError> {
        validate_table_name(table_name)?;
        validate_suite_name(expectation_suite_name)?;
        let tables = self.store.tables();
        let reports = tables.data_quality.latest_first(table_name, expectation_suite_name);
        let of_split = |report: &&DataQualityReport| data_split.is_none_or(|split| report.data_split == split);
        Ok(reports.into_iter().find(of_split).cloned())
    }
}
