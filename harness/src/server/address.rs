//! How to reach a server that was started from binaries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

pub(super) const USER: &str = "postgres";

/// A private socket for us, and the loopback address with a password for any other client.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) directory: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
}

impl Address {
    pub(super) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
            .application_name("proofmark")
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
