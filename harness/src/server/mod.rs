//! Where Postgres comes from: started from the machine's binaries, or a server that runs already.
//!
//! [`Server`] is the seam: what stands above it knows only how to reach the server, how to clone a database
//! on it, and how to be done with it.

mod address;
mod admin;
mod binaries;
mod data_directory;
mod external;
mod local;
mod process;
mod run_directory;
mod shared;
mod watchdog;

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use url::Url;

pub(crate) use admin::Admin;
pub use binaries::{Binaries, BinariesError, Looked};
pub use data_directory::CacheError;
pub use external::{ExternalError, ExternalServer};
pub use local::{LocalError, LocalServer, ProcessFailure};

pub use shared::{RUNNER_VARIABLE, SHARE_VARIABLE, SharedError, SharedServer};

use crate::event::ServerRecord;
use shared::TestRun;

/// Names a server to use in place of a local one.
pub const DATABASE_URL_VARIABLE: &str = "PROOFMARK_DATABASE_URL";

/// The oldest major version that the harness supports.
pub const VERSION_MIN: u32 = 15;

/// Which server to use: `auto`, `local`, or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerChoice {
    /// The server at `PROOFMARK_DATABASE_URL` if it is set, else a local one.
    #[default]
    Auto,
    /// A server started from the machine's binaries.
    Local,
    /// A server that runs already.
    Url(DatabaseUrl),
}

impl FromStr for ServerChoice {
    type Err = ServerChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "local" => Ok(Self::Local),
            _ if text.contains("://") => text.parse().map(Self::Url),
            _ => Err(ServerChoiceError::Unknown { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for ServerChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Local => formatter.write_str("local"),
            Self::Url(url) => url.fmt(formatter),
        }
    }
}

/// Why a text does not choose a server. A URL is not repeated, as it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerChoiceError {
    /// Neither a word that is known nor a URL.
    #[error("expected `auto`, `local` or a URL such as postgres://user@host:5432/postgres, found {found:?}")]
    Unknown {
        /// The text.
        found: String,
    },
    /// A URL that cannot be read.
    #[error("expected a URL such as postgres://user@host:5432/postgres, found one that cannot be read: {reason}")]
    Unreadable {
        /// Why not.
        reason: String,
    },
    /// A URL of something else.
    #[error("expected a URL that begins with postgres:// or postgresql://, found {scheme}://")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
}

/// The URL of a Postgres server. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Box<Url>);

impl DatabaseUrl {
    /// The URL of another database on the same server, password included.
    pub(crate) fn with_database(&self, name: &str) -> String {
        let mut url = Url::clone(&self.0);
        url.set_path(name);
        url.into()
    }

    pub(crate) fn has_database(&self) -> bool {
        !matches!(self.0.path(), "" | "/")
    }

    pub(crate) fn reveal(&self) -> &Url {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = ServerChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|error| ServerChoiceError::Unreadable { reason: error.to_string() })?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self(Box::new(url))),
            scheme => Err(ServerChoiceError::Scheme { scheme: scheme.to_owned() }),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Options can hold a password as well. A URL without a host takes neither part: it has no secret there.
        shown.set_query(None);
        if shown.password().is_some() {
            let _ = shown.set_password(Some("***"));
        }
        formatter.write_str(shown.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The environment variable does not name a server.
    #[error("in {DATABASE_URL_VARIABLE}: {0}")]
    Variable(#[source] ServerChoiceError),
    /// A local server was wanted, and its binaries are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The cache that the user named cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A local server did not start.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The server of this test run cannot be shared.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The given server cannot be used.
    #[error(transparent)]
    External(#[from] ExternalError),
}

/// A server that answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Server {
    /// Started by us, stopped by us.
    Local(LocalServer),
    /// Started by the first process of a test run that needed one, stopped when the run is over.
    Shared(SharedServer),
    /// Given to us: only databases that we made are ours.
    External(ExternalServer),
}

impl Server {
    /// Starts or reaches the chosen server.
    ///
    /// # Errors
    /// When it cannot be had; nothing is left behind then.
    pub async fn start(choice: &ServerChoice) -> Result<(Self, ServerRecord), ServerError> {
        Self::start_unless_shared(choice, None).await
    }

    /// As [`start`](Self::start); but all processes of one nextest run share one local server, which lives as long
    /// as nextest does. Other runners have one process anyway.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn share(choice: &ServerChoice) -> Result<(Self, ServerRecord), ServerError> {
        Self::start_unless_shared(choice, TestRun::from_env()?.as_ref()).await
    }

    async fn start_unless_shared(
        choice: &ServerChoice,
        run: Option<&TestRun>,
    ) -> Result<(Self, ServerRecord), ServerError> {
        match choice {
            ServerChoice::Local => Self::start_local("chosen by the caller", run).await,
            ServerChoice::Url(url) => Self::reach(url.clone(), "chosen by the caller").await,
            ServerChoice::Auto => match std::env::var(DATABASE_URL_VARIABLE) {
                Ok(text) if !text.is_empty() => {
                    let url = text.parse().map_err(ServerError::Variable)?;
                    Self::reach(url, &format!("{DATABASE_URL_VARIABLE} is set")).await
                }
                Ok(_) | Err(std::env::VarError::NotPresent) => {
                    Self::start_local(&format!("{DATABASE_URL_VARIABLE} is not set"), run).await
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(ServerError::Variable(ServerChoiceError::Unreadable { reason: "not UTF-8".to_owned() }))
                }
            },
        }
    }

    async fn start_local(why: &str, run: Option<&TestRun>) -> Result<(Self, ServerRecord), ServerError> {
        if let Some(run) = run {
            let (server, record) = SharedServer::join(run, why).await?;
            return Ok((Self::Shared(server), record));
        }
        let (server, record) = LocalServer::start(why).await?;
        Ok((Self::Local(server), record))
    }

    async fn reach(url: DatabaseUrl, why: &str) -> Result<(Self, ServerRecord), ServerError> {
        let (server, record) = ExternalServer::reach(url, why).await?;
        Ok((Self::External(server), record))
    }

    /// How to connect to its maintenance database; other databases take another name.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        match self {
            Self::Local(server) => server.address().connect_options(),
            Self::Shared(server) => server.address().connect_options(),
            Self::External(server) => server.connect_options(),
        }
    }

    /// The URL of one of its databases, for any client.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        match self {
            Self::Local(server) => server.address().url(database),
            Self::Shared(server) => server.address().url(database),
            Self::External(server) => server.url(database),
        }
    }

    /// The clause of `CREATE DATABASE` that says how to copy. Copying files forces a checkpoint: twice as fast on
    /// a server of our own, without fsync; not ours to ask for on any other.
    pub(crate) fn clone_strategy(&self) -> &'static str {
        match self {
            Self::Local(_) | Self::Shared(_) => "STRATEGY file_copy",
            Self::External(_) => "",
        }
    }

    /// Stops a server that we started and removes its files; leaves a shared or given one alone.
    ///
    /// # Errors
    /// When something is left behind.
    pub async fn stop(self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => Ok(server.stop().await?),
            Self::Shared(_) | Self::External(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_shown_without_secrets() {
        assert_eq!("auto".parse(), Ok(ServerChoice::Auto));
        assert_eq!("local".parse(), Ok(ServerChoice::Local));
        let url: ServerChoice = "postgres://me:secret@host:5433/db?password=secret".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://me:***@host:5433/db");
        assert!(!format!("{url:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in ["", "docker", "localhost:5432", "mysql://host/db", "postgres://host:port/db"] {
            let error = text.parse::<ServerChoice>().unwrap_err().to_string();
            assert!(error.starts_with("expected "), "{error}");
        }
    }

    #[test]
    fn another_database_keeps_the_rest_of_the_url() {
        let url: DatabaseUrl = "postgres://me:secret@host:5433/db?sslmode=disable".parse().unwrap();
        assert_eq!(url.with_database("other"), "postgres://me:secret@host:5433/other?sslmode=disable");
    }
}
