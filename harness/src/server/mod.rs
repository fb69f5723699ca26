//! Where Postgres comes from.

/// Which server to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerChoice {
    /// A given URL if there is one, else a local server.
    #[default]
    Auto,
    /// A server started from the machine's binaries.
    Local,
    /// A server at a URL.
    Url(String),
}
