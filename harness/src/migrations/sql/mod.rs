//! Scripts taken apart into statements, and statements into what they do.

mod body;
mod facts;
mod lex;
mod names;
mod objects;
mod parse;
mod split;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use facts::{Facts, Verb, facts, never_in_transaction, verb};
pub use lex::Unterminated;
pub(crate) use names::line_comments;
pub use names::{NAME_BYTES_MAX, Name, long_names, unterminated};
pub use objects::{ObjectKind, ObjectName};
pub use split::{psql_command, split};

/// One statement, or one command to psql, of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it is in the file, in bytes: from its first token to its last, without the semicolon.
    pub range: Range<usize>,
    /// How it is run.
    pub input: Input,
}

/// How a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Sent as it is.
    Sql,
    /// `COPY ... FROM stdin`, and where in the file the rows are.
    CopyFromStdin(Range<usize>),
    /// A command to psql, such as `\connect`; the server does not know it.
    PsqlCommand,
}
