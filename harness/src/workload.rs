//! Latency workloads: defined in `benches/workloads.toml`, verified first, measured after.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use proofmark::explain::{Batch, Budget, ExplainError, Explainer};
use serde::Deserialize;

use crate::fixture::Fixture;
use crate::suites::explanations::{ModelLoader, goldens};

/// Batches before the first that counts.
const WARM_UP: Duration = Duration::from_millis(100);
/// How long batches are measured.
const MEASURE: Duration = Duration::from_millis(700);
/// A 99th percentile of fewer batches would be a guess: they are measured even if it takes longer.
const ITERATIONS_MIN: u64 = 200;
/// The end of a measurement, however few batches there were.
const MEASURE_MAX: Duration = Duration::from_secs(10);
/// The longest time that the histogram tells apart.
const BATCH_MAX: Duration = Duration::from_secs(600);

const DEFINITIONS: &str = include_str!("../../benches/workloads.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definitions {
    workload: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    fixture: String,
    batch_rows: Vec<NonZeroUsize>,
    workers: Vec<NonZeroUsize>,
}

/// One measurement: a model, the size of its batches, and the threads that explain them.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The model and its rows.
    pub fixture: &'static Fixture,
    /// Rows in a batch.
    pub batch_rows: NonZeroUsize,
    /// Worker threads.
    pub workers: NonZeroUsize,
}

/// A workload that cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The definitions are damaged.
    #[error("benches/workloads.toml: {0}")]
    Definitions(String),
    /// The fixture is damaged.
    #[error(transparent)]
    Fixture(#[from] crate::fixture::FixtureError),
    /// The explainer's answers are wrong, or it gave none: its speed does not matter.
    #[error("{0}")]
    Answers(String),
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The time of each batch, in nanoseconds.
    pub batch_ns: Histogram<u64>,
    /// Rows explained in a second, over all measured batches.
    pub rows_per_second: f64,
}

impl Workload {
    /// All defined workloads.
    ///
    /// # Errors
    /// [`WorkloadError::Definitions`] when the embedded file is damaged.
    pub fn all() -> Result<Vec<Self>, WorkloadError> {
        Self::parse(DEFINITIONS)
    }

    fn parse(definitions: &str) -> Result<Vec<Self>, WorkloadError> {
        let definitions: Definitions =
            toml::from_str(definitions).map_err(|error| WorkloadError::Definitions(error.to_string()))?;
        let mut workloads = Vec::new();
        for definition in definitions.workload {
            let fixture = Fixture::named(&definition.fixture).ok_or_else(|| {
                WorkloadError::Definitions(format!(
                    "expected the name of a fixture, found {:?}",
                    definition.fixture
                ))
            })?;
            for &batch_rows in &definition.batch_rows {
                for &workers in &definition.workers {
                    workloads.push(Self { fixture, batch_rows, workers });
                }
            }
        }
        Ok(workloads)
    }

    /// The name: model, rows and workers.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-rows-{}-workers-{}", self.fixture.name, self.batch_rows, self.workers)
    }

    /// Loads the model, checks the answers for all rows of the fixture, and makes the batches.
    ///
    /// # Errors
    /// [`WorkloadError`] when the fixture is damaged or the answers are wrong.
    pub fn prepare(&self, loader: &dyn ModelLoader) -> Result<Prepared, WorkloadError> {
        let rows = self.fixture.rows()?.rows;
        let golden = self.fixture.shap_contributions()?;
        let explainer = loader
            .load(self.fixture.model)
            .map_err(|error| WorkloadError::Answers(format!("load: {}", crate::error_chain(&*error))))?;
        let budget = Budget { workers: self.workers, ..Budget::default() };
        goldens::verify(&*explainer, &rows, &golden, &budget).map_err(WorkloadError::Answers)?;
        // Every batch is full: the rows go round.
        let batches = rows.len().div_ceil(self.batch_rows.get());
        let mut around = rows.iter().cycle();
        let batches =
            (0..batches).map(|_| Batch::from_rows(around.by_ref().take(self.batch_rows.get()))).collect();
        Ok(Prepared { explainer, budget, batches })
    }
}

/// A workload whose answers are known to be right.
pub struct Prepared {
    explainer: Arc<dyn Explainer>,
    budget: Budget,
    batches: Vec<Batch>,
}

impl Prepared {
    /// Explains one of the batches, which come round by number.
    ///
    /// # Errors
    /// The explainer's.
    pub fn explain(&self, number: usize) -> Result<(), ExplainError> {
        let batch = &self.batches[number % self.batches.len()];
        let explanation = self.explainer.explain(batch, &self.budget)?;
        std::hint::black_box(explanation);
        Ok(())
    }

    /// Measures the time of each batch for a while.
    ///
    /// # Errors
    /// The explainer's.
    pub fn measure(&self) -> Result<Measurement, ExplainError> {
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < WARM_UP {
            self.explain(number)?;
            number += 1;
        }
        let mut batch_ns = Histogram::new_with_max(nanoseconds(BATCH_MAX), 3)
            .map_err(|error| ExplainError::Other(error.to_string()))?;
        let began = Instant::now();
        let mut elapsed = Duration::ZERO;
        while (elapsed < MEASURE || batch_ns.len() < ITERATIONS_MIN) && elapsed < MEASURE_MAX {
            let before = elapsed;
            self.explain(number)?;
            number += 1;
            elapsed = began.elapsed();
            batch_ns.saturating_record(nanoseconds(elapsed - before));
        }
        let rows = self.batches[0].len() as u64 * batch_ns.len();
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rows_per_second = rows as f64 / elapsed.as_secs_f64();
        Ok(Measurement { batch_ns, rows_per_second })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        let names: Vec<String> = Workload::all().unwrap().iter().map(Workload::name).collect();
        assert!(names.contains(&"breast-cancer-binary-rows-32-workers-2".to_owned()), "{names:?}");
    }

    #[test]
    fn mistakes_in_definitions_are_named() {
        for (text, named) in [
            ("[[workload]]\nfixture = 'none'\nbatch_rows = [1]\nworkers = [1]", "none"),
            ("[[workload]]\nfixture = 'single-leaf'\nbatch_rows = [0]\nworkers = [1]", "nonzero"),
            ("[[workload]]\nfixture = 'single-leaf'\nrows = [1]\nworkers = [1]", "rows"),
        ] {
            let error = Workload::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
