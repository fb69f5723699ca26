//! The one server of the peers that need a URL: started and tuned by the harness as its own are.

use proofmark_harness::server::{Server, ServerChoice};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use crate::Result;

/// A server with files in memory, stopped when dropped.
#[derive(Debug)]
pub(crate) struct PeerServer {
    runtime: Runtime,
    options: PgConnectOptions,
    server: Option<Server>,
}

impl PeerServer {
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (server, record) = runtime.block_on(Server::start(&ServerChoice::Local))?;
        println!("peers' server: PostgreSQL {}, {}", record.version, record.origin);
        Ok(Self { options: server.connect_options(), runtime, server: Some(server) })
    }

    /// By its socket and without a password: the fastest way in, to the advantage of the peers.
    pub(crate) fn socket_url(&self) -> Result<String> {
        let socket = self.options.get_socket().ok_or("expected a server with a socket, found none")?;
        let (user, port) = (self.options.get_username(), self.options.get_port());
        let directory = socket.display();
        Ok(format!("postgres://{user}@localhost:{port}/postgres?host={directory}&sslmode=disable"))
    }

    /// By the loopback address, as the server of somebody else is reached.
    pub(crate) fn url(&self) -> Result<String> {
        let server = self.server.as_ref().ok_or("expected a server that runs, found one that was stopped")?;
        Ok(server.url("postgres"))
    }

    /// The databases on it that the harness made.
    pub(crate) fn databases(&self) -> Result<Vec<String>> {
        let ask = async {
            let mut connection: PgConnection = self.options.connect().await?;
            let names = "SELECT datname::text FROM pg_database WHERE datname LIKE 'proofmark\\_%' ORDER BY 1";
            let names = sqlx::query_scalar(names).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(names)
        };
        self.runtime.block_on(ask)
    }

    /// Drops what the harness left on it.
    pub(crate) fn drop_databases(&self, names: &[String]) -> Result<()> {
        let drop = async {
            let mut connection: PgConnection = self.options.connect().await?;
            for name in names {
                // A template admits nobody and was marked; this is the server's own way to be rid of it.
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            Ok(connection.close().await?)
        };
        self.runtime.block_on(drop)
    }
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take()
            && let Err(error) = self.runtime.block_on(server.stop())
        {
            eprintln!("warning: {error}");
        }
    }
}
