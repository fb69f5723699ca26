//! What a user writes: how the cases reach a repository.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::spec::Spec;
use super::value::{Record, Value};

/// A repository as the cases see it: records go in and come out in one form, and refusals have a kind.
///
/// Write it for your repository, list what it can do in [`spec`](Self::spec), and hand it to [`main`](super::main) or
/// [`trials`](super::trials). What is not declared need not be written. An adapter does no more than to translate:
/// what it validates, retries or repairs itself is not what is tested.
#[async_trait]
pub trait Adapter: Send + Sync + 'static {
    /// The records, and what the repository can do with them. Must not do any I/O: a test runner asks once per test.
    fn spec() -> Spec
    where
        Self: Sized;

    /// The repository on a database whose tables are there, and empty. It is opened again where cases need two.
    ///
    /// # Errors
    /// When the database cannot be reached.
    async fn open(database: &Database) -> Result<Self, Refusal>
    where
        Self: Sized;

    /// Stores a new record and returns its key.
    ///
    /// # Errors
    /// [`RefusalKind::Invalid`], [`RefusalKind::Conflict`], and whatever is wrong with the store.
    async fn insert(&self, record: &Record) -> Result<String, Refusal>;

    /// The record with this key.
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`], and whatever is wrong with the store.
    async fn get(&self, key: &str) -> Result<Record, Refusal>;

    /// Changes the fields that are named, and no other one; they are several only if
    /// [`Ability::UpdateMany`](super::Ability::UpdateMany) is declared ([`Ability::Update`](super::Ability::Update)).
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`], and as [`insert`](Self::insert).
    async fn update(&self, _key: &str, _changes: &Record) -> Result<(), Refusal> {
        Err(Refusal::undeclared("update"))
    }

    /// Deletes the record with this key ([`Ability::Delete`](super::Ability::Delete)).
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`], and whatever is wrong with the store.
    async fn delete(&self, _key: &str) -> Result<(), Refusal> {
        Err(Refusal::undeclared("delete"))
    }

    /// One page of all records, in a total order ([`Ability::List`](super::Ability::List)).
    ///
    /// # Errors
    /// [`RefusalKind::Invalid`] for a limit out of 1 to the maximum, [`RefusalKind::Cursor`] for a cursor of nobody.
    async fn list(&self, _limit: u32, _cursor: Option<&str>) -> Result<Listed, Refusal> {
        Err(Refusal::undeclared("list"))
    }

    /// The keys of all records in which the field has exactly this value, for fields that are
    /// [`searchable`](super::Field::searchable).
    ///
    /// # Errors
    /// [`RefusalKind::Invalid`] for a value that no record can have.
    async fn find(&self, _field: &'static str, _value: &Value) -> Result<Vec<String>, Refusal> {
        Err(Refusal::undeclared("find"))
    }

    /// Makes the records tie in the order of lists ([`Ability::Tie`](super::Ability::Tie)): by plain SQL, if need be.
    ///
    /// # Errors
    /// Whatever is wrong with the store.
    async fn tie(&self, _keys: &[String]) -> Result<(), Refusal> {
        Err(Refusal::undeclared("tie"))
    }

    /// Appends measurements to a record ([`Ability::Append`](super::Ability::Append)): one at a time unless
    /// [`Ability::AppendMany`](super::Ability::AppendMany) is declared.
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`] or [`RefusalKind::MissingReference`] when there is no such record,
    /// [`RefusalKind::Invalid`].
    async fn append(&self, _key: &str, _points: &[Record]) -> Result<(), Refusal> {
        Err(Refusal::undeclared("append"))
    }

    /// The latest measurements of a record, from the latest to the earliest ([`Ability::Append`](super::Ability::Append)).
    ///
    /// # Errors
    /// [`RefusalKind::Invalid`] for a limit out of 1 to the maximum.
    async fn points(&self, _key: &str, _limit: u32) -> Result<Vec<Record>, Refusal> {
        Err(Refusal::undeclared("points"))
    }
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Records with their keys.
    pub records: Vec<(String, Record)>,
    /// Where the next page begins; None if this is the last one.
    pub next: Option<String>,
}

/// The database of a case.
#[derive(Clone)]
pub struct Database {
    pub(super) url: String,
    pub(super) connections_max: u32,
    pub(super) acquire_time: Duration,
    pub(super) tenant: Option<String>,
}

impl Database {
    /// A database at this URL, with as many connections as most cases allow for.
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections_max: 4, acquire_time: Duration::from_secs(10), tenant: None }
    }

    /// Its URL for any client, password included. Empty for a repository in memory.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The most connections of a pool.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.connections_max
    }

    /// How long to wait for a connection of the pool.
    #[must_use]
    pub fn acquire_time(&self) -> Duration {
        self.acquire_time
    }

    /// Whose records these are; None where nothing is said of tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL has a password.
        formatter.debug_struct("Database").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}

/// Why a repository did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Refusal {
    /// What a caller can do about it.
    pub kind: RefusalKind,
    /// What the repository said.
    pub message: String,
}

/// The kinds of errors that a caller must be able to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// There is no such record; nothing was changed.
    NotFound,
    /// Another record has the same values where they must be unique; nothing was changed.
    Conflict,
    /// The record that is referred to does not exist; nothing was changed.
    MissingReference,
    /// A value that no record can have; nothing was changed.
    Invalid,
    /// The cursor did not come from this list.
    Cursor,
    /// Others used the same rows at the same time; nothing was changed, and another attempt can succeed.
    Contended,
    /// The statement was cancelled; nothing was changed.
    Cancelled,
    /// The store cannot be reached or refuses to work; whether something was changed may be unknown.
    Unavailable,
    /// Anything else.
    Other,
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::MissingReference => "missing reference",
            Self::Invalid => "invalid",
            Self::Cursor => "not a cursor",
            Self::Contended => "contended",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Other => "other",
        })
    }
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// What the server's code means, for repositories that hand on its errors as they are. Without a code it was not the
    /// server that spoke: the connection is broken, or there is none.
    #[must_use]
    pub fn from_sqlstate(code: Option<&str>, message: impl fmt::Display) -> Self {
        let code = code.unwrap_or("08000");
        let kind = match code {
            "23505" | "23P01" => RefusalKind::Conflict,
            "23503" => RefusalKind::MissingReference,
            "40001" | "40P01" | "55P03" => RefusalKind::Contended,
            "57014" => RefusalKind::Cancelled,
            "25006" | "57P01" | "57P02" | "57P03" | "57P05" => RefusalKind::Unavailable,
            _ if code.starts_with("22") || code.starts_with("23") => RefusalKind::Invalid,
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
                RefusalKind::Unavailable
            }
            _ => RefusalKind::Other,
        };
        Self::new(kind, message)
    }

    fn undeclared(method: &str) -> Self {
        Self::new(RefusalKind::Other, format!("the adapter has no {method}, and must not declare it"))
    }
}
