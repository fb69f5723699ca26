//! What a supervisor and its clients say to each other: one line of JSON for each request, and one for its reply.
//!
//! Both ends are the same program or programs of the same workspace, so that the protocol has no versions. A lease
//! lasts as long as the connection that it was given on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;

use super::follow::Followed;
use crate::event::ServerRecord;
use crate::migration_set::MigrationSet;
use crate::server::Socket;

/// The longest line, in bytes: migrations are long.
pub(crate) const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a supervisor is told when it is started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The server, as on the command line; with its password, which is why it comes through a pipe.
    pub(crate) server: String,
    /// Where it listens; private, and removed at its end.
    pub(crate) directory: PathBuf,
    /// What it lives as long as; without end if there is none.
    pub(crate) followed: Option<Followed>,
    /// Whose it is, for people.
    pub(crate) purpose: String,
    /// Whether several processes use it, which the names of its files then say.
    pub(crate) shared: bool,
    /// How long it stays after the end of what it follows if the databases of failed cases are kept.
    pub(crate) keep: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A database; the reply is `Leased`, `UnknownMigrations` or `Refused`.
    Lease(Wanted),
    /// The migrations that the supervisor did not know; the reply is that of `Lease`.
    Migrations(MigrationSet, Wanted),
    /// The leased database's case failed: it is to stay for somebody to look at.
    Keep { case: String },
    /// The number of servers that were started, if the present one answers.
    Health,
    /// What there is, for people.
    Status,
    /// Ends the supervisor; the reply comes when nothing is left. It may stay for the databases that are kept.
    Shutdown { even_if_kept: bool },
}

/// Which database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The digest of the migrations; an empty database has none.
    pub(crate) migrations: Option<String>,
    /// Never used before, and without a session of ours in it.
    pub(crate) fresh: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Leased(Lease),
    UnknownMigrations,
    /// How to look at the database; none if there are too many already, or nothing is to be kept.
    Kept(Option<String>),
    Health(Option<u64>),
    Status(Status),
    Done,
    /// It stays for a while, for the databases that are kept.
    Stays,
    Refused(Refusal),
}

/// What a supervisor says when it has started, or why it has not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Greeting {
    Ready { server: ServerRecord, supervisor: u32 },
    Failed { message: String, usage: bool },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) database: String,
    /// For any client, password included.
    pub(crate) url: String,
    /// A faster way in, for those who can use it.
    pub(crate) socket: Option<Socket>,
    /// How many servers of the run there were before this one.
    pub(crate) server: u64,
}

impl Lease {
    pub(crate) fn connect_options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = match &self.socket {
            Some(socket) => socket.connect_options().database(&self.database),
            None => self.url.parse()?,
        };
        Ok(options.application_name("proofmark"))
    }
}

/// What a supervisor knows of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The id of its process.
    pub supervisor: u32,
    /// Whose it is.
    pub purpose: String,
    /// The server.
    pub server: ServerRecord,
    /// The URL of the maintenance database, password included.
    pub url: String,
    /// How many migration sets there are template databases of.
    pub templates: usize,
    /// Databases that are ready to be used.
    pub idle: usize,
    /// Databases that are in use.
    pub leased: usize,
    /// How often a database was used again.
    pub recycled: u64,
    /// How often one was cloned.
    pub cloned: u64,
    /// The databases of cases that did not pass.
    pub kept: Vec<Kept>,
    /// It is there until it is told to end.
    pub lasting: bool,
    /// What it was there for is over, and it stays for the kept databases alone.
    pub lingering: bool,
}

/// The database of a case that did not pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kept {
    /// The case.
    pub case: String,
    /// The command that opens it.
    pub open: String,
}

/// Why there is no database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// There is no server.
    Server { message: String },
    /// The server refused a statement.
    Database { action: String, message: String },
    /// The server refused a migration.
    Migration { message: String },
}

pub(crate) fn line<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(line)?)
}
