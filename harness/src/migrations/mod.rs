//! Anybody's directory of migrations: read in whatever layout, executed on a real server, and looked at from all sides.
//!
//! `source` reads files into a [`Project`]; `sql` takes scripts apart; `sandbox` executes them where they can do no
//! harm. What is found out is evidence; what to think of it is for the cases in `suites/migrations`.

pub mod evidence;
pub mod migrator;
pub mod policy;
pub mod sandbox;
pub mod source;
pub mod sql;

pub use evidence::{Evidence, Head, Settings};
pub use source::{Project, Script, Step};
