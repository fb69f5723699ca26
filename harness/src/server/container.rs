//! A server of our own in a container: any version that there is an image of, for whoever has an engine.
//!
//! The image is the official one, or one that takes the same of it: `POSTGRES_PASSWORD`, `POSTGRES_INITDB_ARGS` and
//! `PGDATA` in the environment, and `postgres -c name=value ...` as its command.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as DockerError;
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use testcontainers::core::client::{ClientError, docker_client_instance};
use testcontainers::core::{IntoContainerPort as _, Mount};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerRequest, GenericImage, ImageExt as _, TestcontainersError};
use url::Host;
use uuid::Uuid;

use super::VERSION_MIN;
use super::engine::{self, Address, EngineError};
use super::guardian::{Guardian, Job};
use super::local::SETTINGS;
use crate::event::ServerRecord;

/// Names the image.
pub const IMAGE_VARIABLE: &str = "PROOFMARK_POSTGRES_IMAGE";

/// The image that is used when nobody names another.
pub const DEFAULT_IMAGE: &str = "postgres:18";

const USER: &str = "postgres";

/// The maintenance database.
const DATABASE: &str = "postgres";

/// The server's port in the container.
const PORT: u16 = 5432;

/// The file system in memory for all that the server writes. Not a place where an image may have a volume.
const FILES: &str = "/proofmark";

/// As for a local server; the image's entry point adds the user and the password.
const INITDB_ARGUMENTS: &str = "--no-sync --encoding=UTF8 --locale=C --wal-segsize=1";

/// The most that the server's files may take, in bytes; half of the engine's memory where there is less.
const FILES_BYTES_MAX: i64 = 2 * 1024 * 1024 * 1024;

/// Engines give 64 MB, which a query of an extension may exceed; the server itself takes none of it.
const SHARED_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// How long it may take to fetch an image.
const PULL_TIME_MAX: Duration = Duration::from_secs(600);

/// How long the engine may take to create and start the container.
const CREATE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the server may take until it answers, once its container runs.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

const READY_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How often it is asked whether the container still runs.
const STATE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long one attempt to connect may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the engine may take to remove the container.
const REMOVE_TIME_MAX: Duration = Duration::from_secs(30);

/// How much of a log an error repeats.
const LOG_TAIL_LINES: &str = "40";
const LOG_TAIL_BYTES: usize = 4096;

/// The longest name of an image that any engine takes, in bytes.
const IMAGE_BYTES_MAX: usize = 512;

/// The name of an image, such as `postgres:18`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    name: String,
    tag: String,
}

/// A text does not name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a Postgres image such as {DEFAULT_IMAGE}, found {found:?}")]
pub struct ImageNameError {
    /// The text.
    pub found: String,
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is after the last colon, unless that belongs to the registry's port. A digest is taken apart just so,
        // and is put together again.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let bounded = text.len() <= IMAGE_BYTES_MAX && text.bytes().all(known);
        if !bounded || tag.is_empty() || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(ImageNameError { found: text.chars().take(IMAGE_BYTES_MAX).collect() });
        }
        Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.name, self.tag)
    }
}

impl ImageName {
    /// The one that the environment names, else the default.
    fn from_env() -> Result<Self, ImageNameError> {
        let text = std::env::var_os(IMAGE_VARIABLE).filter(|value| !value.is_empty());
        text.map_or_else(|| DEFAULT_IMAGE.parse(), |text| text.to_string_lossy().parse())
    }

    fn generic(&self) -> GenericImage {
        GenericImage::new(self.name.clone(), self.tag.clone())
    }
}

/// Why there is no server in a container, or why one is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The environment variable does not name an image.
    #[error("in {IMAGE_VARIABLE}: {0}")]
    Variable(#[source] ImageNameError),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine has not the image and cannot fetch it.
    #[error(
        "expected the image {image}, found that the engine neither has it nor can fetch it: {reason}; name another \
         with --image or {IMAGE_VARIABLE}, or make one of this machine's own packages with `.ci/postgres-image {image}`"
    )]
    Image {
        /// The image.
        image: ImageName,
        /// What the engine says.
        reason: String,
    },
    /// The process that removes the container should we be killed did not start.
    #[error("the process that would remove the container in our stead does not run: {source}")]
    Guardian {
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The engine refused something.
    #[error("the container engine refused to {action}: {source}")]
    Docker {
        /// What it was asked for.
        action: &'static str,
        /// What it says.
        #[source]
        source: Box<DockerError>,
    },
    /// The container cannot be created or started.
    #[error("a container of the image {image} cannot be started: {source}")]
    Start {
        /// The image.
        image: ImageName,
        /// What went wrong.
        #[source]
        source: Box<TestcontainersError>,
    },
    /// There is no Postgres in the image.
    #[error(
        "expected a Postgres image that does as the official one does, found that {image} cannot run `postgres`: \
         {reason}; name another with --image or {IMAGE_VARIABLE}"
    )]
    NotPostgres {
        /// The image.
        image: ImageName,
        /// What the engine or the container says.
        reason: String,
    },
    /// The container ended before the server answered.
    #[error("the container of {image} ended with exit code {code} before it answered; its log ends with:\n{log}")]
    Ended {
        /// The image.
        image: ImageName,
        /// The exit code.
        code: i64,
        /// The last lines of its log.
        log: String,
    },
    /// The server's files do not fit in.
    #[error(
        "expected {bytes} bytes of memory to hold the server's files (at most half of the engine's memory), found \
         too few; give the engine more; the log of the container of {image} ends with:\n{log}"
    )]
    NoRoom {
        /// The image.
        image: ImageName,
        /// The size of the file system in memory, in bytes.
        bytes: i64,
        /// The last lines of the container's log.
        log: String,
    },
    /// The container runs, and no server answers.
    #[error(
        "expected the server in the container of {image} to answer within {READY_TIME_MAX:?}, found {answer}; its \
         log ends with:\n{log}"
    )]
    Silent {
        /// The image.
        image: ImageName,
        /// What came instead.
        answer: String,
        /// The last lines of the container's log.
        log: String,
    },
    /// The server is too old.
    #[error("expected Postgres {VERSION_MIN} or later in the image {image}, found {version}")]
    TooOld {
        /// The image.
        image: ImageName,
        /// Its version.
        version: String,
    },
    /// The container did not go.
    #[error(
        "the container {container} cannot be removed: {reason}; try `docker rm --force --volumes {container}`"
    )]
    Left {
        /// Its id.
        container: String,
        /// What went wrong.
        reason: String,
    },
}

/// What we have on the engine. Dropped, the guardian removes it.
#[derive(Debug)]
struct Owned {
    docker: Docker,
    run: String,
    guardian: Guardian,
}

impl Owned {
    fn new(docker: Docker) -> Result<Self, ContainerError> {
        let run = Uuid::new_v4().simple().to_string();
        let guardian = Guardian::start(&Job::Containers { run: run.clone() });
        Ok(Self { docker, run, guardian: guardian.map_err(|source| ContainerError::Guardian { source })? })
    }

    /// Removes it now; what cannot be removed is left to the guardian.
    async fn remove(self) -> Result<(), String> {
        let all = async {
            while engine::remove_all(&self.docker, &self.run).await? > 0 {
                tokio::time::sleep(READY_POLL_INTERVAL).await;
            }
            Ok::<_, DockerError>(())
        };
        let removed = tokio::time::timeout(REMOVE_TIME_MAX, all).await;
        let removed = removed.map_err(|_| format!("it is still there after {REMOVE_TIME_MAX:?}"))?;
        removed.map_err(|error| crate::error_chain(&error))?;
        let released = tokio::task::spawn_blocking(|| self.guardian.release()).await;
        if let Ok(Err(error)) = released {
            tracing::warn!(%error, "the guardian was gone before its owner");
        }
        Ok(())
    }
}

/// A server in a container. It is removed when it is stopped, and by its guardian when it is dropped or this process
/// is killed.
#[derive(Debug)]
pub struct ContainerServer {
    owned: Owned,
    container: Running,
}

/// A container that was started, and how to reach the server in it.
#[derive(Debug)]
struct Running {
    id: String,
    host: Host,
    port: u16,
    password: String,
}

impl ContainerServer {
    /// Starts a server from an image, else from the one that the environment names, else from the default one; `why`
    /// it was chosen is part of the record.
    ///
    /// # Errors
    /// When there is no engine or no image, or the server does not answer in time. Nothing is left behind.
    pub async fn start(image: Option<&ImageName>, why: &str) -> Result<(Self, ServerRecord), ContainerError> {
        let started = Instant::now();
        let image = match image {
            Some(image) => image.clone(),
            None => ImageName::from_env().map_err(ContainerError::Variable)?,
        };
        let address = Address::find()?;
        let engine = engine::engine().await?;
        let docker = docker_client_instance().await.map_err(|error| failed(&image, error.into()))?;
        let (swept, info, publish_on) =
            tokio::join!(engine::sweep(&docker), docker.info(), address.to_publish_on(&docker));
        if let Err(error) = swept {
            tracing::warn!(%error, "containers of owners that are gone cannot be removed");
        }
        // Not known to every engine.
        let memory = info.ok().and_then(|info| info.mem_total).filter(|bytes| *bytes > 0);
        let wanted = Wanted {
            password: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
            files_bytes: memory.map_or(FILES_BYTES_MAX, |bytes| (bytes / 2).min(FILES_BYTES_MAX)),
            publish_on,
            image,
        };
        wanted.fetch(&docker).await?;
        let owned = Owned::new(docker)?;
        let result = async {
            let container = wanted.start(&owned.run).await?;
            let version = wanted.ready(&owned.docker, &container).await?;
            Ok((container, version))
        };
        let (container, version) = match result.await {
            Ok(found) => found,
            Err(error) => {
                // Should this fail, the guardian has its turn.
                let _ = owned.remove().await;
                return Err(error);
            }
        };
        let record = ServerRecord {
            kind: "container".to_owned(),
            version,
            origin: format!(
                "image {}, container {}, engine {} at {}; container as {why}",
                wanted.image,
                container.short_id(),
                engine.version,
                engine.host
            ),
            ready_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        Ok((Self { owned, container }, record))
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        self.container.connect_options()
    }

    pub(super) fn url(&self, database: &str) -> String {
        let Running { host, port, password, .. } = &self.container;
        format!("postgres://{USER}:{password}@{host}:{port}/{database}")
    }

    /// Removes the container with all that is in it.
    pub(super) async fn stop(self) -> Result<(), ContainerError> {
        let removed = self.owned.remove().await;
        removed.map_err(|reason| ContainerError::Left { container: self.container.short_id().to_owned(), reason })
    }
}

impl Running {
    fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    fn connect_options(&self) -> PgConnectOptions {
        let host = match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        PgConnectOptions::new_without_pgpass()
            .host(&host)
            .port(self.port)
            .username(USER)
            .password(&self.password)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
            .application_name("proofmark")
    }
}

/// What is asked of the engine.
#[derive(Debug)]
struct Wanted {
    image: ImageName,
    password: String,
    files_bytes: i64,
    /// The engine's address that the port is published on; all of them if none.
    publish_on: Option<String>,
}

impl Wanted {
    fn request(&self, run: &str) -> ContainerRequest<GenericImage> {
        let settings = SETTINGS.iter().copied().chain(["listen_addresses=*"]);
        let command = std::iter::once("postgres").chain(settings.flat_map(|setting| ["-c", setting]));
        let host_ip = self.publish_on.clone();
        let publish = move |config: &mut HostConfig| {
            let binding = PortBinding { host_ip: host_ip.clone(), host_port: None };
            config.port_bindings = Some(HashMap::from([(format!("{PORT}/tcp"), Some(vec![binding]))]));
            config.publish_all_ports = Some(false);
        };
        self.image
            .generic()
            .with_exposed_port(PORT.tcp())
            .with_cmd(command)
            .with_env_var("POSTGRES_PASSWORD", &self.password)
            .with_env_var("POSTGRES_INITDB_ARGS", INITDB_ARGUMENTS)
            .with_env_var("PGDATA", format!("{FILES}/data"))
            .with_labels(engine::labels(run))
            .with_mount(Mount::tmpfs_mount(FILES).with_size_bytes(self.files_bytes))
            .with_shm_size(SHARED_MEMORY_BYTES)
            .with_startup_timeout(CREATE_TIME_MAX)
            .with_host_config_modifier(publish)
    }

    /// Makes sure that the engine has the image.
    async fn fetch(&self, docker: &Docker) -> Result<(), ContainerError> {
        match docker.inspect_image(&self.image.to_string()).await {
            Ok(_) => return Ok(()),
            Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(source) => {
                return Err(ContainerError::Docker { action: "look for the image", source: Box::new(source) });
            }
        }
        tracing::info!(image = %self.image, "the engine fetches the image");
        let missing = |reason| ContainerError::Image { image: self.image.clone(), reason };
        match tokio::time::timeout(PULL_TIME_MAX, self.image.generic().pull_image()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(TestcontainersError::Client(ClientError::PullImage { err, .. }))) => {
                Err(missing(crate::error_chain(&err)))
            }
            Ok(Err(error)) => Err(missing(crate::error_chain(&error))),
            Err(_) => Err(missing(format!("it is not there after {PULL_TIME_MAX:?}"))),
        }
    }

    /// Creates the container, and starts it.
    async fn start(&self, run: &str) -> Result<Running, ContainerError> {
        let started = self.request(run).start().await;
        // Its own destructor needs a runtime and blocks it; the guardian does without. It holds nothing but memory.
        let container = ManuallyDrop::new(started.map_err(|error| failed(&self.image, error))?);
        let failed = |error| failed(&self.image, error);
        let host = match container.get_host().await.map_err(failed)? {
            // Published for IPv4 alone.
            Host::Domain(name) if name == "localhost" => Host::Ipv4(std::net::Ipv4Addr::LOCALHOST),
            host => host,
        };
        let id = container.id().to_owned();
        // One that has ended already has no port; its end is found next.
        let port = match container.get_host_port_ipv4(PORT).await {
            Err(TestcontainersError::PortNotExposed { .. }) => 0,
            port => port.map_err(failed)?,
        };
        Ok(Running { id, host, port, password: self.password.clone() })
    }

    /// Waits until the server answers a query; returns its version.
    async fn ready(&self, docker: &Docker, container: &Running) -> Result<String, ContainerError> {
        let started = Instant::now();
        let options = container.connect_options();
        let mut looked = started;
        loop {
            let left = READY_TIME_MAX.saturating_sub(started.elapsed());
            let answer = match tokio::time::timeout(left.min(CONNECT_TIME_MAX), first_query(&options)).await {
                Ok(Ok((version, number))) => {
                    // The number of version 15.18 is 150018.
                    if number / 10_000 < i32::try_from(VERSION_MIN).unwrap_or(i32::MAX) {
                        return Err(ContainerError::TooOld { image: self.image.clone(), version });
                    }
                    return Ok(version);
                }
                Ok(Err(error)) => crate::error_chain(&error),
                Err(_) => "nothing at all".to_owned(),
            };
            if looked.elapsed() >= STATE_POLL_INTERVAL || container.port == 0 {
                self.running(docker, container).await?;
                looked = Instant::now();
            }
            if started.elapsed() >= READY_TIME_MAX {
                let log = log_tail(docker, &container.id).await;
                return Err(ContainerError::Silent { image: self.image.clone(), answer, log });
            }
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
    }

    /// Whether the container still runs; if not, why.
    async fn running(&self, docker: &Docker, container: &Running) -> Result<(), ContainerError> {
        let inspected = docker.inspect_container(&container.id, None::<InspectContainerOptions>).await;
        let state = inspected
            .map_err(|source| ContainerError::Docker {
                action: "tell how a container is",
                source: Box::new(source),
            })?
            .state
            .unwrap_or_default();
        if state.running != Some(false) {
            return Ok(());
        }
        let image = self.image.clone();
        let log = log_tail(docker, &container.id).await;
        Err(match state.exit_code.unwrap_or_default() {
            _ if log.contains("No space left on device") => {
                ContainerError::NoRoom { image, bytes: self.files_bytes, log }
            }
            // What a shell says of a command that it cannot run, or cannot find.
            126 | 127 => ContainerError::NotPostgres { image, reason: log },
            code => ContainerError::Ended { image, code, log },
        })
    }
}

/// Why a container did not start: the engine says so if what it was to run does not exist.
fn failed(image: &ImageName, error: TestcontainersError) -> ContainerError {
    let image = image.clone();
    let text = crate::error_chain(&error);
    if text.contains("executable file not found") || text.contains("no such file or directory") {
        return ContainerError::NotPostgres { image, reason: text };
    }
    ContainerError::Start { image, source: Box::new(error) }
}

async fn first_query(options: &PgConnectOptions) -> Result<(String, i32), sqlx::Error> {
    let mut connection: PgConnection = options.connect().await?;
    let query = "SELECT current_setting('server_version'), current_setting('server_version_num')::int";
    let facts = sqlx::query_as(query).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(facts)
}

/// The last of what a container wrote.
async fn log_tail(docker: &Docker, id: &str) -> String {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LOG_TAIL_LINES).build();
    let read = async {
        let mut log = Vec::new();
        let mut chunks = std::pin::pin!(docker.logs(id, Some(options)));
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => log.extend_from_slice(chunk.as_ref()),
                Err(error) => log.extend_from_slice(format!("(the log cannot be read: {error})").as_bytes()),
            }
            log.drain(..log.len().saturating_sub(LOG_TAIL_BYTES));
        }
        String::from_utf8_lossy(&log).trim().to_owned()
    };
    let read = tokio::time::timeout(CONNECT_TIME_MAX, read).await;
    read.unwrap_or_else(|_| format!("(the log cannot be read within {CONNECT_TIME_MAX:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_taken_apart_and_put_together() {
        for (text, name, tag) in [
            ("postgres:18", "postgres", "18"),
            ("postgres", "postgres", "latest"),
            ("registry.example:5000/team/postgres", "registry.example:5000/team/postgres", "latest"),
            ("registry.example:5000/postgres:15.3-alpine", "registry.example:5000/postgres", "15.3-alpine"),
            ("postgres@sha256:0123abcd", "postgres@sha256", "0123abcd"),
        ] {
            let image: ImageName = text.parse().unwrap();
            assert_eq!((image.name.as_str(), image.tag.as_str()), (name, tag));
            if tag != "latest" {
                assert_eq!(image.to_string(), text);
            }
        }
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = "a".repeat(IMAGE_BYTES_MAX + 1);
        for text in ["", ":18", "postgres:", "post gres", "postgres?all=1", "-postgres", "/postgres", &long] {
            let error = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.starts_with("expected the name of a Postgres image"), "{error}");
        }
    }
}
