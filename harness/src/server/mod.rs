//! Where Postgres comes from: started from the machine's binaries or in a container, or a server that runs already.
//!
//! [`Server`] is the seam: what stands above it knows only how to reach the server, how to clone a database
//! on it, and how to be done with it.

mod address;
mod admin;
mod binaries;
mod cache;
#[cfg(feature = "containers")]
mod container;
mod data_directory;
#[cfg(feature = "containers")]
mod engine;
mod external;
pub(crate) mod guardian;
mod install;
mod local;
mod own;
mod owner;
mod process;
mod run_directory;
pub(crate) mod sandbox_roles;
mod watchdog;

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use url::Url;

pub(crate) use admin::Admin;
pub use binaries::{Binaries, BinariesError, Looked, POSTGRES_VERSION_VARIABLE, Wanted};
pub use cache::CacheError;
#[cfg(feature = "containers")]
pub use container::{ContainerError, ContainerServer, DEFAULT_IMAGE, IMAGE_VARIABLE, ImageName, ImageNameError};
#[cfg(feature = "containers")]
pub use engine::{Engine, EngineError, engine};
pub use external::{ExternalError, ExternalServer};
pub use install::{InstallError, Installed, install};
pub use local::{LocalError, LocalServer, ProcessFailure};
pub use own::{Crash, TestServer};

use crate::event::ServerRecord;
pub(crate) use address::{ServerAddress, Socket};
pub(crate) use run_directory::{OWN_PREFIX, SHARED_PREFIX};
pub(crate) use watchdog::Watchdog;

/// Names a server to use in place of a local one.
pub const DATABASE_URL_VARIABLE: &str = "PROOFMARK_DATABASE_URL";

/// Says which server to use where nobody chooses one: as `--server` does.
pub const SERVER_VARIABLE: &str = "PROOFMARK_SERVER";

/// The oldest major version that the harness supports.
pub const VERSION_MIN: u32 = 15;

/// Which server to use: `auto`, `container`, `local`, or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerChoice {
    /// What `PROOFMARK_SERVER` says; unless it is set, the server at `PROOFMARK_DATABASE_URL` if that is set, else one
    /// in a container if an engine answers, else a local one.
    #[default]
    Auto,
    /// A server in a container: from this image, else the one that the environment names, else the default one.
    #[cfg(feature = "containers")]
    Container(Option<ImageName>),
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
            #[cfg(feature = "containers")]
            "container" => Ok(Self::Container(None)),
            #[cfg(feature = "containers")]
            _ if text.starts_with("container:") => text["container:".len()..]
                .parse()
                .map(|image| Self::Container(Some(image)))
                .map_err(|error: ImageNameError| ServerChoiceError::Unknown { found: error.found }),
            #[cfg(not(feature = "containers"))]
            "container" => Err(ServerChoiceError::NoContainers),
            "local" => Ok(Self::Local),
            _ if text.contains("://") => text.parse().map(Self::Url),
            _ => Err(ServerChoiceError::Unknown { found: text.to_owned() }),
        }
    }
}

impl ServerChoice {
    /// The text that it is read from, password included.
    pub(crate) fn reveal(&self) -> String {
        match self {
            Self::Url(url) => url.reveal().to_string(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for ServerChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            #[cfg(feature = "containers")]
            Self::Container(None) => formatter.write_str("container"),
            #[cfg(feature = "containers")]
            Self::Container(Some(image)) => write!(formatter, "container:{image}"),
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
    #[error(
        "expected `auto`, `container`, `local` or a URL such as postgres://user@host:5432/postgres, found {found:?}"
    )]
    Unknown {
        /// The text.
        found: String,
    },
    /// A container, for a program that knows nothing of them.
    #[cfg(not(feature = "containers"))]
    #[error("expected a program built with the feature `containers`, found one without it")]
    NoContainers,
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
    /// An environment variable does not choose a server.
    #[error("in {variable}: {source}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        #[source]
        source: ServerChoiceError,
    },
    /// A local server was wanted, and its binaries are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The cache that the user named cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A local server did not start.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A server in a container did not start, or did not go.
    #[cfg(feature = "containers")]
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// What would drop our databases in our stead does not run.
    #[error("the process that would drop this run's databases in our stead does not run: {0}")]
    Guardian(#[source] std::io::Error),
    /// The text does not choose a server.
    #[error(transparent)]
    Choice(#[from] ServerChoiceError),
    /// The given server cannot be used.
    #[error(transparent)]
    External(#[from] ExternalError),
}

impl ServerError {
    /// Whether what the user told us is to blame.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            #[cfg(feature = "containers")]
            Self::Container(ContainerError::Variable(_)) => true,
            Self::Variable { .. } | Self::Choice(_) | Self::Binaries(BinariesError::Version { .. }) => true,
            _ => false,
        }
    }
}

/// A server that answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Server {
    /// Started by us, stopped by us.
    Local(LocalServer),
    /// Started by us in a container, removed by us.
    #[cfg(feature = "containers")]
    Container(ContainerServer),
    /// Given to us: only databases that we made are ours.
    External(ExternalServer),
}

impl Server {
    /// Starts or reaches the chosen server.
    ///
    /// # Errors
    /// When it cannot be had; nothing is left behind then.
    pub async fn start(choice: &ServerChoice) -> Result<(Self, ServerRecord), ServerError> {
        Self::start_as(choice, OWN_PREFIX).await
    }

    /// Starts or reaches the chosen server; the directory of a local one has a name that begins in a certain way.
    pub(crate) async fn start_as(
        choice: &ServerChoice,
        prefix: &'static str,
    ) -> Result<(Self, ServerRecord), ServerError> {
        let caller = "chosen by the caller";
        match choice {
            ServerChoice::Auto => match variable(SERVER_VARIABLE)? {
                Some(ServerChoice::Auto) | None => Self::choose(prefix).await,
                Some(choice) => Self::start_chosen(&choice, prefix, &format!("{SERVER_VARIABLE} says so")).await,
            },
            choice => Self::start_chosen(choice, prefix, caller).await,
        }
    }

    async fn start_chosen(
        choice: &ServerChoice,
        prefix: &'static str,
        why: &str,
    ) -> Result<(Self, ServerRecord), ServerError> {
        match choice {
            ServerChoice::Auto => Box::pin(Self::choose(prefix)).await,
            #[cfg(feature = "containers")]
            ServerChoice::Container(image) => {
                let (server, record) = ContainerServer::start(image.as_ref(), why).await?;
                Ok((Self::Container(server), record))
            }
            ServerChoice::Local => {
                let (server, record) = LocalServer::start_as(prefix, why).await?;
                Ok((Self::Local(server), record))
            }
            ServerChoice::Url(url) => {
                let (server, record) = ExternalServer::reach(url.clone(), why).await?;
                Ok((Self::External(server), record))
            }
        }
    }

    /// The server that is given; else one in a container, where there is an engine; else a local one.
    async fn choose(prefix: &'static str) -> Result<(Self, ServerRecord), ServerError> {
        if let Some(choice) = variable(DATABASE_URL_VARIABLE)? {
            return Self::start_chosen(&choice, prefix, &format!("{DATABASE_URL_VARIABLE} is set")).await;
        }
        let why = format!("{DATABASE_URL_VARIABLE} is not set");
        #[cfg(feature = "containers")]
        let why = if engine().await.is_ok() {
            match ContainerServer::start(None, &format!("{why} and a container engine answers")).await {
                Ok((server, record)) => return Ok((Self::Container(server), record)),
                Err(ContainerError::Image { image, .. }) => {
                    format!("{why} and the container engine cannot get the image {image}")
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            format!("{why} and no container engine answers")
        };
        Self::start_chosen(&ServerChoice::Local, prefix, &why).await
    }

    /// How to connect to its maintenance database; other databases take another name.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        match self {
            Self::Local(server) => server.address().connect_options(),
            #[cfg(feature = "containers")]
            Self::Container(server) => server.connect_options(),
            Self::External(server) => server.connect_options(),
        }
    }

    /// The URL of one of its databases, for any client.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.address().url(database)
    }

    /// How to reach its databases.
    pub(crate) fn address(&self) -> ServerAddress {
        match self {
            Self::Local(server) => ServerAddress::Local(server.address().clone()),
            #[cfg(feature = "containers")]
            Self::Container(server) => ServerAddress::Container(server.url("")),
            Self::External(server) => ServerAddress::Url(server.url_of_server().clone()),
        }
    }

    /// Whether it is there for us alone, and goes with all that is on it.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self, Self::External(_))
    }

    /// Whether the process of a local server has ended, which only the system knows at once.
    pub(crate) fn has_ended(&mut self) -> bool {
        match self {
            Self::Local(server) => server.has_ended(),
            _ => false,
        }
    }

    /// The clause of `CREATE DATABASE` that says how to copy. Copying files forces a checkpoint: twice as fast on
    /// a server of our own, without fsync; not ours to ask for on any other.
    pub(crate) fn clone_strategy(&self) -> &'static str {
        if self.is_ours() { "STRATEGY file_copy" } else { "" }
    }

    /// Stops a server that we started and removes its files; leaves a given one alone.
    ///
    /// # Errors
    /// When something is left behind.
    pub async fn stop(self) -> Result<(), ServerError> {
        match self {
            Self::Local(server) => Ok(server.stop().await?),
            #[cfg(feature = "containers")]
            Self::Container(server) => Ok(server.stop().await?),
            Self::External(_) => Ok(()),
        }
    }
}

/// Whether nothing in the environment says that servers are not to be started from this machine's binaries. What is
/// there on the disk is not looked at.
#[must_use]
pub fn may_be_local() -> bool {
    let is_unset = |name| std::env::var_os(name).is_none_or(|text| text.is_empty());
    match std::env::var_os(SERVER_VARIABLE).filter(|text| !text.is_empty()) {
        Some(choice) => choice == "local" || choice == "auto",
        None => is_unset(DATABASE_URL_VARIABLE),
    }
}

/// What a variable chooses, if it is set.
fn variable(name: &'static str) -> Result<Option<ServerChoice>, ServerError> {
    let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.into_string().map_err(|_| ServerChoiceError::Unreadable { reason: "not UTF-8".to_owned() });
    let choice = text.and_then(|text| match name {
        DATABASE_URL_VARIABLE => text.parse().map(ServerChoice::Url),
        _ => text.parse(),
    });
    choice.map(Some).map_err(|source| ServerError::Variable { variable: name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_shown_without_secrets() {
        assert_eq!("auto".parse(), Ok(ServerChoice::Auto));
        assert_eq!("local".parse(), Ok(ServerChoice::Local));
        #[cfg(feature = "containers")]
        assert_eq!("container".parse(), Ok(ServerChoice::Container(None)));
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
