//! Why a command could not do what it was asked.

use std::io;
use std::path::PathBuf;

use proofmark::explain::ExplainError;
use proofmark::model::ModelError;
use proofmark_harness::environment::EnvironmentError;
use proofmark_harness::exit::Exit;
use proofmark_harness::migrations::policy::{BaselineError, ConfigError};
use proofmark_harness::migrations::source;
use proofmark_harness::report::json::ReadError;
#[cfg(feature = "containers")]
use proofmark_harness::server::ServerChoice;
use proofmark_harness::server::{InstallError, ServerChoiceError};
use proofmark_harness::session::SessionError;
use proofmark_harness::supervisor::SupervisorError;

/// Each belongs to one exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("in --server")]
    Server(#[source] ServerChoiceError),
    #[cfg(feature = "containers")]
    #[error("expected --image together with --server container, found it with --server {server}")]
    Image { server: ServerChoice },
    #[error(transparent)]
    Supervisor(SupervisorError),
    #[error(transparent)]
    Environment(EnvironmentError),
    #[error("expected a server that stays, found none; start it with `proofmark db up`")]
    NoServer,
    #[error(transparent)]
    Project(#[from] source::ReadError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error("in {}", path.display())]
    Model { path: PathBuf, source: ModelError },
    #[error("{}: {message}", path.display())]
    Data { path: PathBuf, message: String },
    #[error("expected a file that ends with .csv, .json, .npy or .parquet, found {}", path.display())]
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
    #[error(transparent)]
    Install(#[from] InstallError),
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
            #[cfg(feature = "containers")]
            Self::Image { .. } => Exit::Usage,
            Self::Server(_)
            | Self::Project(_)
            | Self::Config(_)
            | Self::Baseline(_)
            | Self::Model { .. }
            | Self::Data { .. }
            | Self::OutputFormat { .. }
            | Self::Explain(_)
            | Self::Output { .. }
            | Self::SameOutput { .. }
            | Self::Read(_)
            | Self::NoRun { .. }
            | Self::NoServer
            | Self::NoPlace => Exit::Usage,
            // The server's name is wrong, not the server.
            Self::Supervisor(error) if error.is_usage() => Exit::Usage,
            Self::Session(SessionError::Start(EnvironmentError::Supervisor(error))) if error.is_usage() => {
                Exit::Usage
            }
            Self::Nothing(_) => Exit::NothingRan,
            Self::Install(error) if error.is_usage() => Exit::Usage,
            Self::Supervisor(_)
            | Self::Environment(_)
            | Self::Session(_)
            | Self::Install(_)
            | Self::Write { .. }
            | Self::Render { .. }
            | Self::Stdout(_)
            | Self::Runtime(_) => Exit::Environment,
        }
    }
}
