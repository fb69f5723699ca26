//! Where the platform's rows live: a trait per aggregate, its errors, and its implementations.
//!
//! [`memory`] is the oracle: small enough to be read as the definition of what the trait's methods do. The
//! Postgres implementations must agree with it on everything that a caller can observe.

mod bento_service;
mod cursor;
mod error;
mod idempotency;
pub mod memory;
mod page;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use bento_service::{BentoServiceRepository, METRICS_MAX, constraint};
pub use cursor::CursorKey;
pub use error::{RepositoryError, Source};
pub use idempotency::IdempotencyKey;
pub use page::{Cursor, LIMIT_MAX, Page, PageRequest};
