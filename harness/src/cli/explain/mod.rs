//! `proofmark explain`: SHAP values of a model file for a data file.

mod input;
mod output;
#[cfg(feature = "parquet")]
mod parquet;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proofmark::explain::{Attribution, Batch, Budget, ExplainError, Explainer, RowError, TreeExplainer};
use proofmark::model::Model;
use proofmark_harness::exit::Exit;
use proofmark_harness::report::{duration_text, plural};

use super::error::CliError;
use super::screen::Screen;
use input::Input;
use output::Output;

/// The most rows that are held at one time.
const CHUNK_ROWS_MAX: usize = 4096;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model: trees with one output, of XGBoost (JSON, UBJSON), LightGBM (text), CatBoost (JSON), scikit-learn (skops) or
    /// ONNX, or a model directory of MLflow
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The rows: CSV with a header (an empty field, NA, null or NaN is a missing value), Parquet, Arrow, or NPY
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The threads that compute; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// The memory for rows and results, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Budget::default().memory_bytes)]
    memory: u64,
    /// The time after which rows are given up, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Budget::default().time_limit.as_secs(),
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400 * 365),
    )]
    time_limit: u64,
    /// Where the values go, by its ending: .csv, .parquet and .json have everything, .npy the values alone (rows x
    /// features, a failed row as NaN); a readable table of the first rows without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What became of one row.
type Explained = Result<Attribution, RowError>;

pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let started = Instant::now();
    let explainer = match Model::from_file(&arguments.model)
        .map_err(|source| CliError::Model { path: arguments.model.clone(), source })?
    {
        Model::Trees(trees) => TreeExplainer::new(trees)?,
        _ => return Err(ExplainError::Other("expected a model of trees".to_owned()).into()),
    };
    let outputs = explainer.model().output_count();
    if outputs != 1 {
        return Err(ExplainError::Other(format!(
            "expected a model with one output, found {outputs}; the library explains it, this command cannot yet write \
             several outputs"
        ))
        .into());
    }
    let mut input = Input::open(&arguments.data, explainer.model().feature_names(), explainer.feature_count())?;
    let mut output = Output::open(arguments.out.as_deref(), input.names())?;
    if !input.ignored().is_empty() {
        screen.note(&format!("the model does not use these columns: {}", input.ignored().join(", ")));
    }

    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = arguments.workers.unwrap_or(processors);
    let limit = Duration::from_secs(arguments.time_limit);
    let chunk_rows = chunk_rows(&explainer, arguments.memory);
    let (mut rows, mut failed) = (0_usize, 0_usize);
    let bar = bar(&input, screen);
    loop {
        let position = input.position();
        bar.set_position(position.read);
        let chunk = input.next_rows(chunk_rows)?;
        if chunk.is_empty() {
            break;
        }
        let time_limit = limit.saturating_sub(started.elapsed());
        let budget = Budget { workers, memory_bytes: arguments.memory, time_limit };
        let sound = Batch::from_rows(chunk.iter().filter_map(|row| row.as_ref().ok()));
        let explanation = explainer.explain(&sound, &budget)?;
        let base_value = explanation.base_value();
        let mut explained = explanation.into_rows().into_iter();
        for row in chunk {
            let result: Explained = row
                .map_err(RowError::Other)
                .and_then(|_| explained.next().unwrap_or_else(|| Err(RowError::Other("no result".to_owned()))))
                // The limit that was asked for, not what was left of it for this chunk.
                .map_err(|error| match error {
                    RowError::TimeLimit { .. } => RowError::TimeLimit { limit },
                    other => other,
                });
            failed += usize::from(result.is_err());
            output.add(rows, base_value, &result)?;
            rows += 1;
        }
    }
    bar.finish_and_clear();
    let shown = output.finish(rows)?;
    screen.print(&shown)?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    screen.note(&format!(
        "{} explained, {failed} failed, {}",
        plural(rows - failed, "row"),
        duration_text(milliseconds)
    ));
    if rows == 0 {
        return Err(CliError::Nothing(format!("{} has no rows", arguments.data.display())));
    }
    Ok(if failed == 0 { Exit::Passed } else { Exit::Failed })
}

/// Shows how far the file has been read, if somebody may watch.
fn bar(input: &Input, screen: &Screen) -> ProgressBar {
    let target = if screen.is_live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(input.position().of, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:28} {percent} % {elapsed}, {eta} left") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// As many rows as a quarter of the memory holds, values and results: the engine checks the rest.
fn chunk_rows(explainer: &TreeExplainer, memory: u64) -> usize {
    let row = explainer.feature_count().saturating_add(16).saturating_mul(4 * size_of::<f64>());
    let rows = memory / 4 / u64::try_from(row).unwrap_or(u64::MAX);
    usize::try_from(rows).unwrap_or(CHUNK_ROWS_MAX).clamp(1, CHUNK_ROWS_MAX)
}
