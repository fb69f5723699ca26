//! Appends: a batch through the repository, the same rows through psql's COPY, and one INSERT for each row.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proofmark::domain::{BentoServiceId, NewServingMetric};
use proofmark::repository::BentoServiceRepository as _;
use proofmark::repository::postgres::PostgresBentoServiceRepository;
use proofmark_harness::server::TestServer;
use proofmark_harness::{Migrations, TestDatabase};

use crate::report::{Report, Target};
use crate::rows::{COLUMNS, make_services, new_metric};
use crate::{Plan, Result};

/// Rows of a call, where a batch comes in several.
const CALL_ROWS: usize = 10_000;
/// Of the rows that are inserted one by one there are so many fewer.
const SINGLE_SHARE: usize = 50;

pub(crate) async fn measure(server: &TestServer, plan: Plan, report: &mut Report) -> Result<()> {
    let database = server.database(&Migrations::reference()).await?;
    let services = make_services(&database).await?;
    let repository = PostgresBentoServiceRepository::new(database.pool().clone());
    let batch: Vec<_> = (0..plan.append).filter_map(|i| new_metric(&services, i)).collect();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("metrics.txt");
    write_file(&file, &batch)?;
    let psql = psql()?;

    let [mut copy, mut whole, mut calls, mut single] = [const { Vec::new() }; 4];
    let [mut share, mut calls_share, mut gain] = [const { Vec::new() }; 3];
    // The first round warms up.
    for round in 0..=plan.rounds {
        let mut rates = Vec::new();
        rates.push(timed(&database, &batch, async || copy_by_psql(&psql, database.url(), &file)).await?);
        rates.push(
            timed(&database, &batch, async || {
                repository.record_metrics(&batch).await?;
                Ok(())
            })
            .await?,
        );
        rates.push(
            timed(&database, &batch, async || {
                for call in batch.chunks(CALL_ROWS) {
                    repository.record_metrics(call).await?;
                }
                Ok(())
            })
            .await?,
        );
        let few = &batch[..batch.len() / SINGLE_SHARE];
        rates.push(
            timed(&database, few, async || {
                for new in few {
                    repository.record_metric(new.clone()).await?;
                }
                Ok(())
            })
            .await?,
        );
        if round == 0 && plan.rounds > 1 {
            continue;
        }
        if let [by_copy, by_batch, by_calls, one_by_one] = rates[..] {
            copy.push(by_copy);
            whole.push(by_batch);
            calls.push(by_calls);
            single.push(one_by_one);
            share.push(by_batch / by_copy);
            calls_share.push(by_calls / by_copy);
            gain.push(by_batch / one_by_one);
        }
    }
    report.median("appends: COPY by psql", "rows/s", &copy, None);
    report.median("appends: record_metrics, one call", "rows/s", &whole, None);
    report.median("appends: record_metrics, calls of 10,000", "rows/s", &calls, None);
    report.median("appends: record_metric for each row", "rows/s", &single, None);
    report.median("appends: one call / COPY by psql", "x", &share, Some(Target::AtLeast(0.5)));
    report.median("appends: calls of 10,000 / COPY by psql", "x", &calls_share, Some(Target::AtLeast(0.5)));
    report.median("appends: one call / record_metric for each row", "x", &gain, Some(Target::AtLeast(20.0)));
    Ok(())
}

/// Empties the table, appends, verifies what is there, and returns the rows per second.
async fn timed(
    database: &TestDatabase,
    rows: &[NewServingMetric],
    append: impl AsyncFn() -> Result<()>,
) -> Result<f64> {
    sqlx::raw_sql("TRUNCATE ml_bentoml_serving_metrics").execute(database.pool()).await?;
    sqlx::raw_sql("CHECKPOINT").execute(database.pool()).await?;
    let begun = Instant::now();
    append().await?;
    let time = begun.elapsed();
    let found: (i64, f64, f64) = sqlx::query_as(
        "SELECT count(*), sum(avg_latency_ms + cpu_percent), sum(extract(epoch FROM timestamp))::double precision \
         FROM ml_bentoml_serving_metrics",
    )
    .fetch_one(database.pool())
    .await?;
    let sum = |number: fn(&NewServingMetric) -> f64| rows.iter().map(number).sum::<f64>();
    let expected = (
        i64::try_from(rows.len())?,
        sum(|row| row.measures.avg_latency_ms.unwrap_or_default() + row.measures.cpu_percent.unwrap_or_default()),
        sum(|row| f64::from(u32::try_from(row.timestamp.unwrap_or_default().timestamp()).unwrap_or(0))),
    );
    if found != expected {
        return Err(format!("expected rows with count and sums {expected:?}, found {found:?}").into());
    }
    Ok(rate(rows.len(), time))
}

fn rate(rows: usize, time: Duration) -> f64 {
    u32::try_from(rows).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}

/// The rows in the text format of COPY, with all digits.
fn write_file(path: &Path, batch: &[NewServingMetric]) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for new in batch {
        let id: BentoServiceId = new.service_id;
        write!(file, "{id}\t{}\t{}", new.timestamp.unwrap_or_default().to_rfc3339(), new.window_seconds)?;
        let measures = new.measures;
        for measure in [
            measures.requests_per_second,
            measures.avg_latency_ms,
            measures.p95_latency_ms,
            measures.p99_latency_ms,
            measures.error_rate,
            measures.memory_mb,
            measures.cpu_percent,
        ] {
            write!(file, "\t{}", measure.unwrap_or_default())?;
        }
        writeln!(file)?;
    }
    Ok(file.flush()?)
}

fn copy_by_psql(psql: &Path, url: &str, file: &Path) -> Result<()> {
    let copy = format!("\\copy ml_bentoml_serving_metrics ({COLUMNS}) FROM '{}'", file.display());
    let output =
        Command::new(psql).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", &copy]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("psql ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// psql, wherever a package puts it.
fn psql() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = versions.map(|version| version.path().join("bin"));
    let mut candidates = std::env::split_paths(&path).chain(packaged).map(|directory| directory.join("psql"));
    candidates.find(|psql| psql.is_file()).ok_or_else(|| "expected psql in PATH, found none".into())
}
