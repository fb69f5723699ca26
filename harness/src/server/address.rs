//! How to reach a server.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::DatabaseUrl;

pub(super) const USER: &str = "postgres";

/// How to reach the databases of a server.
#[derive(Debug, Clone)]
pub(crate) enum ServerAddress {
    /// On this machine, started by us.
    Local(Address),
    /// In a container, started by us: the URL up to the database's name.
    #[cfg(feature = "containers")]
    Container(String),
    /// Anywhere.
    Url(DatabaseUrl),
}

/// A private Unix socket that needs no password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Socket {
    /// The directory that it is in.
    pub(crate) directory: PathBuf,
    /// The port that it is named by.
    pub(crate) port: u16,
    pub(crate) user: String,
}

impl ServerAddress {
    /// The URL of one of its databases, for any client, password included.
    pub(crate) fn url(&self, database: &str) -> String {
        match self {
            Self::Local(address) => address.url(database),
            #[cfg(feature = "containers")]
            Self::Container(url) => format!("{url}{database}"),
            Self::Url(url) => url.with_database(database),
        }
    }

    /// A faster way in, for those who can use it.
    pub(crate) fn socket(&self) -> Option<Socket> {
        match self {
            Self::Local(address) => Some(address.socket()),
            #[cfg(feature = "containers")]
            Self::Container(_) => None,
            Self::Url(_) => None,
        }
    }
}

impl Socket {
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .host("127.0.0.1")
            .port(self.port)
            .username(&self.user)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
            .application_name("proofmark")
    }
}

/// A private socket for us, and the loopback address with a password for any other client.
#[derive(Clone)]
pub(crate) struct Address {
    pub(super) directory: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
}

impl Address {
    pub(super) fn socket(&self) -> Socket {
        Socket { directory: self.directory.clone(), port: self.port, user: USER.to_owned() }
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        self.socket().connect_options()
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Address({}, port {})", self.directory.display(), self.port)
    }
}
