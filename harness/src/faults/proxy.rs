//! A proxy before a Postgres server that knows the protocol, and breaks a connection at a chosen message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use super::frame::Message;
use super::relay;

/// The most connections that a proxy has at one time.
const CONNECTIONS_MAX: usize = 256;

/// Where in the conversation a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The message has come to the proxy, and goes no further.
    Before(Message),
    /// The message has been sent on.
    After(Message),
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The connection ends, on both sides.
    Cut,
    /// So many octets of the message are sent on, and the connection ends. (Where the message was sent on already, it
    /// is a cut.)
    Truncate(usize),
    /// Nothing goes on in this direction until [`Proxy::release`].
    Stall,
    /// It goes on after this time.
    Delay(Duration),
    /// The server's process of this connection is terminated (`pg_terminate_backend`), and then it goes on.
    Terminate,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// At the how-manieth such message from now on, over all connections; the first is 1.
    pub occurrence: u32,
    /// What.
    pub action: Action,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The URL of the server cannot be read.
    #[error("expected the URL of a Postgres server on TCP, found {found}")]
    Url {
        /// What is wrong with it.
        found: String,
    },
    /// The proxy cannot listen.
    #[error("the proxy cannot listen on the loopback address")]
    Listen(#[source] std::io::Error),
}

/// A proxy before a server. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    control: Arc<Control>,
    accepting: AbortHandle,
}

/// What the connections of a proxy share.
#[derive(Debug)]
pub(super) struct Control {
    /// Where the server listens: host and port.
    pub(super) upstream: String,
    /// The server without the proxy, to terminate its processes.
    pub(super) direct: String,
    state: Mutex<State>,
    /// Counts releases of stalled connections, and cuts of all of them.
    pub(super) released: watch::Sender<u64>,
    pub(super) cut: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Fault>,
    seen: u32,
    fired: bool,
    counts: BTreeMap<Message, u64>,
}

impl Proxy {
    /// A proxy before the database at this URL.
    ///
    /// Connections to it are not encrypted; a server that insists on that cannot be had through it.
    ///
    /// # Errors
    /// When the URL has no host, or nothing can listen.
    pub async fn start(url: &str) -> Result<Self, ProxyError> {
        let unreadable = |found: String| ProxyError::Url { found };
        let mut proxied = Url::parse(url).map_err(|error| unreadable(error.to_string()))?;
        let host = proxied.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| unreadable("one without a host".to_owned()))?;
        let upstream = format!("{host}:{}", proxied.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(ProxyError::Listen)?;
        let port = listener.local_addr().map_err(ProxyError::Listen)?.port();
        let moved = proxied.set_host(Some("127.0.0.1")).is_ok() && proxied.set_port(Some(port)).is_ok();
        if !moved {
            return Err(unreadable("one that cannot have another host".to_owned()));
        }
        let kept: Vec<_> = proxied
            .query_pairs()
            .filter(|(name, _)| !matches!(name.as_ref(), "sslmode" | "host" | "port"))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        proxied.query_pairs_mut().clear().extend_pairs(kept).append_pair("sslmode", "disable");
        let control = Arc::new(Control {
            upstream,
            direct: url.to_owned(),
            state: Mutex::default(),
            released: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&control))).abort_handle();
        Ok(Self { url: proxied.into(), control, accepting })
    }

    /// The URL of the same database by way of the proxy, password included.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets this fault happen once. One that was armed before and has not happened is forgotten.
    pub fn arm(&self, fault: Fault) {
        let mut state = self.control.state();
        (state.armed, state.seen, state.fired) = (Some(fault), 0, false);
    }

    /// Whether the fault that was armed last has happened.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.control.state().fired
    }

    /// Whether the fault that was armed last has happened. It will not happen any more.
    #[must_use]
    pub fn disarm(&self) -> bool {
        let mut state = self.control.state();
        state.armed = None;
        state.fired
    }

    /// Lets stalled connections go on.
    pub fn release(&self) {
        self.control.released.send_modify(|count| *count += 1);
    }

    /// Ends all connections of now.
    pub fn cut_all(&self) {
        self.control.cut.send_modify(|count| *count += 1);
    }

    /// How many messages of this kind have passed since the last time that this was asked.
    #[must_use]
    pub fn take_count(&self, message: Message) -> u64 {
        self.control.state().counts.remove(&message).unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to happen at this point, if anything. It is asked once for each message and point.
    pub(super) fn at(&self, point: Point) -> Option<Action> {
        let mut state = self.state();
        let fault = state.armed.filter(|fault| fault.point == point)?;
        state.seen += 1;
        if state.seen < fault.occurrence {
            return None;
        }
        (state.armed, state.fired) = (None, true);
        Some(fault.action)
    }

    pub(super) fn count(&self, message: Message) {
        *self.state().counts.entry(message).or_default() += 1;
    }
}

async fn accept(listener: TcpListener, control: Arc<Control>) {
    // With the last handle, all connections end.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { return };
        if connections.len() < CONNECTIONS_MAX {
            connections.spawn(relay::run(client, Arc::clone(&control)));
        }
    }
}
