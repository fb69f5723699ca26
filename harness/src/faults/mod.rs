//! Faults that are injected for real: connections cut, stalled and truncated at a chosen message of Postgres's protocol,
//! sessions terminated, servers restarted, full and read-only, futures dropped at every point at which they wait.
//!
//! What is injected is what happens in production; nothing is mocked, and a repository cannot tell the difference.

mod admin;
mod disk;
mod frame;
mod polls;
mod proxy;
mod relay;
mod statement;

pub use admin::{Admin, Session};
pub use disk::{DiskError, SmallDisk, can_mount};
pub use frame::Message;
pub use polls::{count_polls, poll_times};
pub use proxy::{Action, Fault, Point, Proxy, ProxyError};
