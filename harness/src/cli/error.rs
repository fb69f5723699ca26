//! Why a command could not do what it was asked.

use std::io;
use std::path::PathBuf;

use proofmark::explain::ExplainError;
use proofmark::model::ModelError;
use proofmark_harness::environment::EnvironmentError;
use proofmark_harness::exit::Exit;
use proofmark_harness::migration_set::MigrationSetError;
use proofmark_harness::report::json::ReadError;
use proofmark_harness::server::{ServerChoiceError, ServerError};
use proofmark_harness::session::SessionError;

/// Each belongs to one exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("in --server")]
    Server(#[source] ServerChoiceError),
    #[error(transparent)]
    Migrations(#[from] MigrationSetError),
    #[error("in {}", path.display())]
    Model { path: PathBuf, source: ModelError },
    #[error("{}: {message}", path.display())]
    Data { path: PathBuf, message: String },
    #[error("expected a file that ends with .csv, .json or .npy, found {}", path.display())]
    OutputFormat { path: PathBuf },
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("expected a file that can be written at {}", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("expected a file of its own for every report, found {} twice", path.display())]
    SameOutput { path: PathBuf },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("no run is recorded at {}: run `proofmark run` first, or name a recorded run with --run", path.display())]
    NoRun { path: PathBuf },
    #[error("expected a home directory or a directory `target` to find the last run in; name it with --run")]
    NoPlace,
    #[error("nothing to run: {0}")]
    Nothing(String),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("failed to write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to render the report {}", path.display())]
    Render { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to write to the standard output")]
    Stdout(#[source] io::Error),
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
}

impl CliError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Server(_)
            | Self::Migrations(_)
            | Self::Model { .. }
            | Self::Data { .. }
            | Self::OutputFormat { .. }
            | Self::Explain(_)
            | Self::Output { .. }
            | Self::SameOutput { .. }
            | Self::Read(_)
            | Self::NoRun { .. }
            | Self::NoPlace => Exit::Usage,
            // The server's name is wrong, not the server.
            Self::Session(SessionError::Start(EnvironmentError::Server(error)))
                if matches!(**error, ServerError::Variable(_)) =>
            {
                Exit::Usage
            }
            Self::Nothing(_) => Exit::NothingRan,
            Self::Session(_) | Self::Write { .. } | Self::Render { .. } | Self::Stdout(_) | Self::Runtime(_) => {
                Exit::Environment
            }
        }
    }
}
