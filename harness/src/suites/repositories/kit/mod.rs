//! The conformance kit: what every repository on Postgres must do, for anybody's repository.
//!
//! A user writes an [`Adapter`]: how to open the repository on a database that the kit provides, and how records get in
//! and out. Its [`Spec`] says which fields records have and what the repository can do. All cases that apply to that are
//! then run, as tests of cargo-nextest or of `cargo test`:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     proofmark_harness::suites::repositories::kit::main::<MyAdapter>()
//! }
//! ```
//!
//! A case that does not apply is listed as ignored, with the ability that is missing. Every case has a database of its own.

mod ability;
mod adapter;
mod cases;
mod corpus;
mod field;
mod history;
mod lazily;
mod memory;
mod plan;
mod spec;
mod subject;
mod value;

pub use ability::Ability;
pub use adapter::{Adapter, Database, Listed, Refusal, RefusalKind};
pub use async_trait::async_trait;
pub use cases::CASES;
pub use field::Field;
pub use memory::{MemoryRepository, reference_spec};
pub use plan::plan;
#[cfg(feature = "libtest")]
pub use plan::{main, trials};
pub use spec::{SchemaError, Spec};
pub use subject::{Opener, Subject};
pub use value::{Record, Value};
