//! A server that runs already. Nothing on it is ours but the databases that we make, and none of its settings.

use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::{DatabaseUrl, VERSION_MIN};
use crate::event::ServerRecord;

/// How long the server may take to answer our first questions.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Where to look for databases when the URL names none.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Why the given server cannot be used. The URL is shown without its password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// The URL has a part that is not understood.
    #[error("the URL {url} cannot be used: {source}")]
    Url {
        /// The server.
        url: DatabaseUrl,
        /// What is wrong with it.
        #[source]
        source: sqlx::Error,
    },
    /// Nothing answers there.
    #[error("expected a Postgres server at {url}, found none: {source}")]
    Unreachable {
        /// The server.
        url: DatabaseUrl,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// Something is there and does not answer.
    #[error("expected an answer from {url} within {ANSWER_TIME_MAX:?}, found none")]
    Silent {
        /// The server.
        url: DatabaseUrl,
    },
    /// The user or the password is wrong.
    #[error("the server at {url} does not let us in: {message}; check the user and the password in the URL")]
    Refused {
        /// The server.
        url: DatabaseUrl,
        /// What the server says.
        message: String,
    },
    /// There is no such database.
    #[error("the server at {url} does not know the database: {message}; name one that exists, such as postgres")]
    UnknownDatabase {
        /// The server.
        url: DatabaseUrl,
        /// What the server says.
        message: String,
    },
    /// The server is too old.
    #[error("expected Postgres {VERSION_MIN} or later at {url}, found {version}")]
    TooOld {
        /// The server.
        url: DatabaseUrl,
        /// Its version.
        version: String,
    },
    /// The role may not create databases.
    #[error(
        "expected a role that may create databases at {url}, found {role}, which may not; allow it with \
         ALTER ROLE {role} CREATEDB, or use another"
    )]
    NoCreateDatabase {
        /// The server.
        url: DatabaseUrl,
        /// The role.
        role: String,
    },
    /// The server is a standby.
    #[error("expected a server that can be written to at {url}, found a standby")]
    Standby {
        /// The server.
        url: DatabaseUrl,
    },
    /// It answered our first question with an error.
    #[error("the server at {url} does not answer as Postgres does: {source}")]
    Query {
        /// The server.
        url: DatabaseUrl,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
}

/// A server that was there before us.
#[derive(Debug)]
pub struct ExternalServer {
    url: DatabaseUrl,
    options: PgConnectOptions,
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct Facts {
    version: String,
    version_number: i32,
    role: String,
    may_create: bool,
    standby: bool,
}

impl ExternalServer {
    /// Connects, and finds out whether the server will do; `why` it was chosen is part of the record.
    ///
    /// # Errors
    /// When it is not there, does not let us in, is too old, or does not let us create databases.
    pub async fn reach(url: DatabaseUrl, why: &str) -> Result<(Self, ServerRecord), ExternalError> {
        let started = Instant::now();
        let mut options = PgConnectOptions::from_url(url.reveal())
            .map_err(|source| ExternalError::Url { url: url.clone(), source })?
            .application_name("proofmark");
        if !url.has_database() {
            options = options.database(MAINTENANCE_DATABASE);
        }
        let asked = tokio::time::timeout(ANSWER_TIME_MAX, ask(&options, &url)).await;
        let facts = asked.map_err(|_| ExternalError::Silent { url: url.clone() })??;
        examine(&url, &facts)?;
        let record = ServerRecord {
            kind: "external".to_owned(),
            version: facts.version,
            origin: format!("{url}; {why}"),
            ready_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        Ok((Self { url, options }, record))
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    pub(super) fn url_of_server(&self) -> &DatabaseUrl {
        &self.url
    }
}

/// Whether a server that tells this of itself will do.
fn examine(url: &DatabaseUrl, facts: &Facts) -> Result<(), ExternalError> {
    let url = url.clone();
    // The number of version 15.18 is 150018.
    if facts.version_number / 10_000 < i32::try_from(VERSION_MIN).unwrap_or(i32::MAX) {
        return Err(ExternalError::TooOld { url, version: facts.version.clone() });
    }
    if facts.standby {
        return Err(ExternalError::Standby { url });
    }
    if !facts.may_create {
        return Err(ExternalError::NoCreateDatabase { url, role: facts.role.clone() });
    }
    Ok(())
}

async fn ask(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<Facts, ExternalError> {
    let mut connection: PgConnection =
        options.connect().await.map_err(|error| connect_error(error, url.clone()))?;
    let facts = sqlx::query_as(
        "SELECT current_setting('server_version') AS version,
            current_setting('server_version_num')::int AS version_number,
            current_user::text AS role,
            rolcreatedb OR rolsuper AS may_create,
            pg_is_in_recovery() AS standby
         FROM pg_roles WHERE rolname = current_user",
    );
    let facts = facts.fetch_one(&mut connection).await;
    let facts = facts.map_err(|source| ExternalError::Query { url: url.clone(), source })?;
    let _ = connection.close().await;
    Ok(facts)
}

fn connect_error(error: sqlx::Error, url: DatabaseUrl) -> ExternalError {
    let Some(answer) = error.as_database_error() else {
        return match error {
            // What comes back is not the protocol, or not the encryption, that the URL asks for.
            sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => ExternalError::Query { url, source: error },
            sqlx::Error::Configuration(_) => ExternalError::Url { url, source: error },
            _ => ExternalError::Unreachable { url, source: error },
        };
    };
    let message = answer.message().to_owned();
    match answer.code().as_deref() {
        Some("28000" | "28P01") => ExternalError::Refused { url, message },
        Some("3D000") => ExternalError::UnknownDatabase { url, message },
        _ => ExternalError::Query { url, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_will_not_do_is_told_why() {
        let url: DatabaseUrl = "postgres://me:secret@host/db".parse().unwrap();
        let facts = Facts {
            version: "15.0".to_owned(),
            version_number: 150_000,
            role: "me".to_owned(),
            may_create: true,
            standby: false,
        };
        assert!(examine(&url, &facts).is_ok());
        let refused = |facts: Facts| examine(&url, &facts).unwrap_err().to_string();
        let old = refused(Facts { version: "14.9".to_owned(), version_number: 140_009, ..facts.clone() });
        assert_eq!(old, "expected Postgres 15 or later at postgres://me:***@host/db, found 14.9");
        assert!(refused(Facts { standby: true, ..facts.clone() }).contains("found a standby"));
        assert!(refused(Facts { may_create: false, ..facts }).contains("ALTER ROLE me CREATEDB"));
    }
}
