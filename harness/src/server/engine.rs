//! The container engine: where it is, whether it answers, and what of ours is on it.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as DockerError;
use testcontainers::bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers::core::client::docker_client_instance;
use url::{Host, Url};

/// Names the engine's address.
const HOST_VARIABLE: &str = "DOCKER_HOST";

/// Set to 1 when the engine is to be reached with TLS.
const TLS_VARIABLE: &str = "DOCKER_TLS_VERIFY";

/// Names the directory with the certificates for it.
const CERTIFICATES_VARIABLE: &str = "DOCKER_CERT_PATH";

/// The label whose value all containers of one owner share.
pub(super) const RUN_LABEL: &str = "proofmark.run";

/// Where the owner's process id means something.
const MACHINE_LABEL: &str = "proofmark.machine";

/// The owner's process id and start.
const OWNER_LABEL: &str = "proofmark.owner";

/// How long an engine may take to say that it is there.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// An engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Engine {
    /// Its version.
    pub version: String,
    /// Its address.
    pub host: String,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nothing says where one is.
    #[error(
        "expected a container engine such as Docker, found none: {HOST_VARIABLE} is not set, and there is no socket \
         at {tried}; start one, or set {HOST_VARIABLE} to its address"
    )]
    Missing {
        /// Where a socket could have been.
        tried: String,
    },
    /// The variable does not hold an address that can be used.
    #[error(
        "in {HOST_VARIABLE}: expected the address of a container engine, such as unix:///var/run/docker.sock or \
         tcp://host:2375, found {host:?}: {reason}"
    )]
    Host {
        /// What it holds.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The socket belongs to others.
    #[error(
        "the container engine at {host} does not let us in; become a member of the group that its socket belongs to \
         (often `docker`), or set {HOST_VARIABLE} to the address of another"
    )]
    Denied {
        /// Its address.
        host: String,
    },
    /// Nobody is there, or somebody who is no engine.
    #[error(
        "expected a container engine at {host}, found none: {reason}; start it, or set {HOST_VARIABLE} to the \
         address of another"
    )]
    Unreachable {
        /// Its address.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// Something is there and does not answer.
    #[error(
        "expected an answer of the container engine at {host} within {ANSWER_TIME_MAX:?}, found none; start it \
         anew, or set {HOST_VARIABLE} to the address of another"
    )]
    Silent {
        /// Its address.
        host: String,
    },
}

/// Finds the engine and asks whether it is there. Says so within a second, and at once when there is no socket.
///
/// # Errors
/// When there is none that answers.
pub async fn engine() -> Result<Engine, EngineError> {
    let host = Address::find()?.text;
    match tokio::time::timeout(ANSWER_TIME_MAX, ask()).await {
        Ok(Ok(version)) => Ok(Engine { version, host }),
        Ok(Err(error)) if is_denied(&*error) => Err(EngineError::Denied { host }),
        Ok(Err(error)) => Err(EngineError::Unreachable { host, reason: crate::error_chain(&*error) }),
        Err(_) => Err(EngineError::Silent { host }),
    }
}

async fn ask() -> Result<String, Box<dyn Error + Send + Sync>> {
    let version = docker_client_instance().await?.version().await?;
    Ok(version.version.unwrap_or_default())
}

fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Where the engine is: the same place that `testcontainers` looks at, which does not tell.
#[derive(Debug)]
pub(super) struct Address {
    text: String,
    url: Url,
}

impl Address {
    pub(super) fn find() -> Result<Self, EngineError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = match std::env::var_os(HOST_VARIABLE) {
            Some(text) => text.to_string_lossy().into_owned(),
            None => {
                let places = sockets(variable("XDG_RUNTIME_DIR"), variable("HOME"));
                let Some(socket) = places.iter().find(|path| path.exists()) else {
                    let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
                    return Err(EngineError::Missing { tried: places.join(", ") });
                };
                format!("unix://{}", socket.display())
            }
        };
        let tls = variable(TLS_VARIABLE).is_some_and(|value| value == "1");
        Self::read(&text, tls, variable(CERTIFICATES_VARIABLE).is_some())
    }

    fn read(text: &str, tls: bool, has_certificates: bool) -> Result<Self, EngineError> {
        let unusable = |reason: &str| EngineError::Host { host: text.to_owned(), reason: reason.to_owned() };
        let url = Url::parse(text).map_err(|error| unusable(&error.to_string()))?;
        let encrypted = match url.scheme() {
            "unix" => false,
            "https" => true,
            "tcp" | "http" => tls,
            _ => return Err(unusable("only unix, tcp, http and https can be used")),
        };
        // What stands below panics without them.
        if encrypted && !has_certificates {
            return Err(unusable(&format!(
                "for TLS, {CERTIFICATES_VARIABLE} must name a directory with certificates"
            )));
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// Which of the engine's addresses a port is to be published on, so that nobody but this machine can reach it;
    /// none if we are elsewhere.
    pub(super) async fn to_publish_on(&self, docker: &Docker) -> Option<String> {
        let is_loopback = match self.url.host() {
            // Inside of a container, the engine's loopback address is not ours; its bridge, which we are on, is the
            // address that `testcontainers` takes then. An engine that tells of none is taken to be inside with us.
            None if Path::new("/.dockerenv").exists() => match bridge(docker).await {
                Some(address) => return Some(address),
                None => true,
            },
            None => true,
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
        };
        is_loopback.then(|| Ipv4Addr::LOCALHOST.to_string())
    }
}

async fn bridge(docker: &Docker) -> Option<String> {
    let network = docker.inspect_network("bridge", None::<InspectNetworkOptions>).await.ok()?;
    network.ipam?.config?.into_iter().find_map(|config| config.gateway.filter(|address| !address.is_empty()))
}

fn sockets(runtime: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let in_runtime = runtime.into_iter().map(|directory| Path::new(&directory).join(".docker/run/docker.sock"));
    let in_home = home.into_iter().flat_map(|directory| {
        [".docker/run/docker.sock", ".docker/desktop/docker.sock"].map(|path| Path::new(&directory).join(path))
    });
    std::iter::once(PathBuf::from("/var/run/docker.sock")).chain(in_runtime).chain(in_home).collect()
}

/// What a container of ours is labelled with.
pub(super) fn labels(run: &str) -> Vec<(&'static str, String)> {
    let mut labels = vec![(RUN_LABEL, run.to_owned())];
    if let (Some(machine), Some(started)) = (machine(), start_of(rustix::process::getpid())) {
        labels.push((MACHINE_LABEL, machine));
        labels.push((OWNER_LABEL, format!("{} {started}", rustix::process::getpid())));
    }
    labels
}

/// Where a process id means something: a host, since it was started, in one namespace. Not known without `/proc`.
fn machine() -> Option<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {} {}", host.trim(), boot.trim(), namespace.display()))
}

/// When a process began, in the kernel's ticks; none if it has ended, or cannot be looked at.
fn start_of(process: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // What follows the name: the state, and nineteen fields later the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether an owner, as its label says, is certainly gone.
fn is_gone(owner: &str) -> bool {
    let Some((process, started)) = owner.split_once(' ') else { return false };
    let process = process.parse().ok().filter(|id| *id > 0).and_then(Pid::from_raw);
    let (Some(process), Ok(started)) = (process, started.parse::<u64>()) else { return false };
    match rustix::process::test_kill_process(process) {
        Err(rustix::io::Errno::SRCH) => true,
        // It exists; if it began at another time the id has a new owner. One that may not be looked at is let be.
        Ok(()) | Err(_) => match start_of(process) {
            Some(now) => now != started,
            None => Path::new(&format!("/proc/{process}/stat")).exists(),
        },
    }
}

/// Removes the containers of owners on this machine that were killed together with their guardian.
pub(super) async fn sweep(docker: &Docker) -> Result<(), DockerError> {
    let Some(machine) = machine() else { return Ok(()) };
    for container in list(docker, MACHINE_LABEL, &machine).await? {
        if container.owner.as_deref().is_some_and(is_gone) {
            tracing::info!(container = container.id, "removed, as its owner is gone");
            remove(docker, &container.id).await?;
        }
    }
    Ok(())
}

/// Removes the containers of one run, with their volumes; says how many there were.
pub(super) async fn remove_all(docker: &Docker, run: &str) -> Result<usize, DockerError> {
    let containers = list(docker, RUN_LABEL, run).await?;
    for container in &containers {
        remove(docker, &container.id).await?;
    }
    Ok(containers.len())
}

struct Found {
    id: String,
    owner: Option<String>,
}

async fn list(docker: &Docker, label: &str, value: &str) -> Result<Vec<Found>, DockerError> {
    let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await?.into_iter();
    let found = containers.filter_map(|container| {
        let owner = container.labels.and_then(|mut labels| labels.remove(OWNER_LABEL));
        Some(Found { id: container.id?, owner })
    });
    Ok(found.collect())
}

async fn remove(docker: &Docker, id: &str) -> Result<(), DockerError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        // Somebody else has removed it, or is at it.
        Err(DockerError::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_told_why() {
        let reason = |text: &str, tls| Address::read(text, tls, false).unwrap_err().to_string();
        assert!(reason("", false).contains("found \"\": relative URL without a base"), "{}", reason("", false));
        assert!(reason("ssh://me@host", false).contains("only unix, tcp, http and https"));
        for (text, tls) in [("https://host:2376", false), ("tcp://host:2376", true)] {
            assert!(reason(text, tls).contains("DOCKER_CERT_PATH"), "{}", reason(text, tls));
        }
    }

    #[test]
    fn a_missing_engine_is_an_error_that_names_the_sockets() {
        let places = sockets(Some("/run/user/1".into()), Some("/home/me".into()));
        let expected = [
            "/var/run/docker.sock",
            "/run/user/1/.docker/run/docker.sock",
            "/home/me/.docker/run/docker.sock",
            "/home/me/.docker/desktop/docker.sock",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn only_what_is_certainly_gone_is_gone() {
        let own = rustix::process::getpid();
        let started = start_of(own).unwrap();
        assert!(!is_gone(&format!("{own} {started}")));
        assert!(is_gone(&format!("{own} {}", started - 1)));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = child.id();
        child.wait().unwrap();
        assert!(is_gone(&format!("{id} {started}")));
        for text in ["", "1", "x 1", "1 x", "-1 1", "0 1"] {
            assert!(!is_gone(text), "{text:?}");
        }
    }
}
