//! Anybody's directory of migrations: read in whatever layout, executed on a real server, and looked at from all sides.
//!
//! `source` reads files into a [`Project`]; `sql` takes scripts apart; `sandbox` executes them where they can do no
//! harm; `replay` does so in every way that production can. What is found out is evidence; what to think of it is for the cases in `suites/migrations`.

pub mod crash;
pub mod evidence;
pub mod generate;
pub mod migrator;
pub mod observe;
pub mod places;
pub mod policy;
pub mod replay;
pub mod sandbox;
pub mod source;
pub mod sql;

pub use evidence::{Evidence, Head, Settings, WithRows};
pub use source::{Project, Script, Step};
