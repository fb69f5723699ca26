//! A repository of notes on tokio-postgres, as a team has it that never heard of Proofmark: its own types, its own errors,
//! its own way to connect. `tests/conformance.rs` shows how it takes the conformance kit.

use chrono::{DateTime, Utc};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio_postgres::{Client, NoTls, Row};

/// The statements that make the table.
pub const SCHEMA: &str = include_str!("schema.sql");

/// The most notes of a page.
pub const PAGE_MAX: u32 = 50;

/// A note.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Note {
    /// Its title, of 1 to 120 characters, which no other note has.
    pub title: String,
    /// Its text.
    pub body: Option<String>,
    /// How good it is.
    pub score: f64,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// Why there is no note.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotesError {
    /// There is no note with this id.
    #[error("expected a note with the id {0}, found none")]
    Missing(i64),
    /// The page cannot be had.
    #[error("expected 1 to {PAGE_MAX} notes of a page, found {0}")]
    Limit(u32),
    /// The text does not say where a page begins.
    #[error("expected where an earlier page ended, found {0:?}")]
    Position(String),
    /// The server refused, or cannot be reached.
    #[error("the database refused or cannot be reached: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Notes with their ids, and where the next page begins.
pub type Page = (Vec<(i64, Note)>, Option<String>);

/// All notes, in a database. One connection serves one caller after another, and is replaced when it is lost.
#[derive(Debug)]
pub struct Notes {
    url: String,
    client: Mutex<Option<Client>>,
}

impl Notes {
    /// The notes in the database at this URL. It connects when it is used.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: Mutex::new(None) }
    }

    /// Adds a note and returns its id.
    ///
    /// # Errors
    /// When the title is taken, or the database refuses.
    pub async fn add(&self, note: &Note) -> Result<i64, NotesError> {
        let sql = "INSERT INTO notes (title, body, score, written_at) VALUES ($1, $2, $3, $4) RETURNING id";
        let Note { title, body, score, written_at } = note;
        let row = self.client().await?.query_one(sql, &[title, body, score, written_at]).await?;
        Ok(row.try_get(0)?)
    }

    /// The note with this id.
    ///
    /// # Errors
    /// When there is none, or the database refuses.
    pub async fn note(&self, id: i64) -> Result<Note, NotesError> {
        let sql = "SELECT id, title, body, score, written_at FROM notes WHERE id = $1";
        let row = self.client().await?.query_opt(sql, &[&id]).await?;
        Ok(note(&row.ok_or(NotesError::Missing(id))?)?.1)
    }

    /// Changes a note; nobody else changes it meanwhile.
    ///
    /// # Errors
    /// When there is none, the title is taken, or the database refuses.
    pub async fn edit(&self, id: i64, change: impl FnOnce(&mut Note)) -> Result<(), NotesError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let sql = "SELECT id, title, body, score, written_at FROM notes WHERE id = $1 FOR UPDATE";
        let row = transaction.query_opt(sql, &[&id]).await?;
        let (_, mut note) = note(&row.ok_or(NotesError::Missing(id))?)?;
        change(&mut note);
        let sql = "UPDATE notes SET title = $2, body = $3, score = $4, written_at = $5 WHERE id = $1";
        let Note { title, body, score, written_at } = note;
        transaction.execute(sql, &[&id, &title, &body, &score, &written_at]).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes a note.
    ///
    /// # Errors
    /// When there is none, or the database refuses.
    pub async fn remove(&self, id: i64) -> Result<(), NotesError> {
        match self.client().await?.execute("DELETE FROM notes WHERE id = $1", &[&id]).await? {
            0 => Err(NotesError::Missing(id)),
            _ => Ok(()),
        }
    }

    /// A page of notes, oldest first.
    ///
    /// # Errors
    /// When the limit or the position is none, or the database refuses.
    pub async fn page(&self, limit: u32, after: Option<&str>) -> Result<Page, NotesError> {
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(NotesError::Limit(limit));
        }
        let after = match after {
            None => 0,
            Some(text) => read_position(text).ok_or_else(|| NotesError::Position(text.to_owned()))?,
        };
        let sql = "SELECT id, title, body, score, written_at FROM notes WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.client().await?.query(sql, &[&after, &(i64::from(limit) + 1)]).await?;
        let mut notes = rows.iter().map(note).collect::<Result<Vec<_>, _>>()?;
        let is_last = u32::try_from(notes.len()).is_ok_and(|count| count <= limit);
        if !is_last {
            notes.pop();
        }
        let next = notes.last().filter(|_| !is_last).map(|(id, _)| position(*id));
        Ok((notes, next))
    }

    async fn client(&self) -> Result<MappedMutexGuard<'_, Client>, NotesError> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            let (new, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
            // What ends the connection is told to whoever uses it.
            tokio::spawn(async move { drop(connection.await) });
            *client = Some(new);
        }
        MutexGuard::try_map(client, Option::as_mut).map_err(|_| NotesError::Missing(0))
    }
}

fn note(row: &Row) -> Result<(i64, Note), tokio_postgres::Error> {
    let note = Note {
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        score: row.try_get("score")?,
        written_at: row.try_get("written_at")?,
    };
    Ok((row.try_get("id")?, note))
}

/// The end of a page as a text, with a number that tells whether somebody changed it.
fn position(id: i64) -> String {
    format!("{id}-{}", id.unsigned_abs().wrapping_mul(6_364_136_223_846_793_005) >> 24)
}

fn read_position(text: &str) -> Option<i64> {
    let id = text.split('-').next()?.parse().ok()?;
    (position(id) == text).then_some(id)
}
