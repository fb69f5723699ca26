//! The repository of notes takes the conformance kit: `cargo nextest run -p foreign-repository`.

use foreign_repository::{Note, Notes, NotesError, PAGE_MAX, SCHEMA};
use proofmark_harness::suites::repositories::kit::{
    self, Ability, Adapter, Database, Field, Listed, Record, Refusal, RefusalKind, Spec, Value, async_trait,
};

// adapter
const CAN: &[Ability] =
    &[Ability::Update, Ability::UpdateMany, Ability::Delete, Ability::List, Ability::Reconnect];

struct Adapted(Notes);

#[async_trait]
impl Adapter for Adapted {
    fn spec() -> Spec {
        let title = Field::text("title").characters_max(120).not_empty().unique();
        let fields = [title, Field::text("body").optional(), Field::float("score"), Field::time("written_at")];
        Spec::new("notes", fields).schema(SCHEMA).list_limit_max(PAGE_MAX).missing_key(|| "-1".to_owned()).can(CAN)
    }
    async fn open(database: &Database) -> Result<Self, Refusal> {
        Ok(Self(Notes::new(database.url())))
    }
    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let mut note = Note::default();
        fill(&mut note, record);
        self.0.add(&note).await.map(|id| id.to_string()).map_err(refusal)
    }
    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.0.note(key.parse().unwrap_or(-1)).await.map(record).map_err(refusal)
    }
    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        self.0.edit(key.parse().unwrap_or(-1), |note| fill(note, changes)).await.map_err(refusal)
    }
    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        self.0.remove(key.parse().unwrap_or(-1)).await.map_err(refusal)
    }
    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let (notes, next) = self.0.page(limit, cursor).await.map_err(refusal)?;
        Ok(Listed { records: notes.into_iter().map(|(id, note)| (id.to_string(), record(note))).collect(), next })
    }
}

fn fill(note: &mut Note, record: &Record) {
    for (field, value) in record.iter() {
        match (field, value.clone()) {
            ("title", Value::Text(title)) => note.title = title,
            ("body", Value::Text(body)) => note.body = Some(body),
            ("score", Value::Float(score)) => note.score = score,
            ("written_at", Value::Time(time)) => note.written_at = time,
            _ => note.body = None,
        }
    }
}

fn record(Note { title, body, score, written_at }: Note) -> Record {
    Record::new().with("title", title).with("body", body).with("score", score).with("written_at", written_at)
}

fn refusal(error: NotesError) -> Refusal {
    match &error {
        NotesError::Database(cause) => Refusal::from_sqlstate(cause.code().map(|code| code.code()), cause),
        NotesError::Missing(_) => Refusal::new(RefusalKind::NotFound, error),
        NotesError::Position(_) => Refusal::new(RefusalKind::Cursor, error),
        _ => Refusal::new(RefusalKind::Invalid, error),
    }
}

fn main() -> std::process::ExitCode {
    kit::main::<Adapted>()
}
// end
