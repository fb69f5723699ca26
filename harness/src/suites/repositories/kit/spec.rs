//! What a repository is, as far as the cases must know: its fields, what it can do, and its limits.

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use uuid::Uuid;

use super::ability::Ability;
use super::field::{Field, Kind};
use super::value::{Record, Value};
use crate::migration_set::{Migration, MigrationSet};

/// Why there are no migrations.
pub type SchemaError = Box<dyn std::error::Error + Send + Sync>;

/// The description of a repository.
///
/// # Examples
/// ```
/// use proofmark_harness::suites::repositories::kit::{Ability, Field, Spec};
///
/// let spec = Spec::new("notes", [Field::text("title").not_empty().unique(), Field::json("labels").optional()])
///     .schema("CREATE TABLE notes (id bigint PRIMARY KEY, title text UNIQUE CHECK (title <> ''), labels jsonb)")
///     .can(&[Ability::Update, Ability::Delete]);
/// assert!(spec.abilities().contains(&Ability::Json));
/// ```
#[derive(Clone)]
pub struct Spec {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) points: Vec<Field>,
    pub(super) point_time: &'static str,
    pub(super) list_limit_max: u32,
    pub(super) points_limit_max: u32,
    pub(super) schema: Schema,
    pub(super) missing_key: fn() -> String,
    declared: BTreeSet<Ability>,
    adjust: fn(Record, u64) -> Record,
    adjust_point: fn(Record, u64) -> Record,
}

/// Where the tables come from.
#[derive(Clone, Copy)]
pub(super) enum Schema {
    /// There are none: it is all in memory.
    None,
    Sql(&'static str),
    Migrations(fn() -> Result<MigrationSet, SchemaError>),
}

impl Spec {
    /// A repository of records with these fields. Without a [`schema`](Self::schema) it lives in memory.
    #[must_use]
    pub fn new(name: &'static str, fields: impl Into<Vec<Field>>) -> Self {
        Self {
            name,
            fields: fields.into(),
            points: Vec::new(),
            point_time: "",
            list_limit_max: 100,
            points_limit_max: 100,
            schema: Schema::None,
            missing_key: || Uuid::new_v4().to_string(),
            declared: BTreeSet::new(),
            adjust: |record, _| record,
            adjust_point: |point, _| point,
        }
    }

    /// The statements that make its tables in an empty database.
    #[must_use]
    pub fn schema(self, sql: &'static str) -> Self {
        Self { schema: Schema::Sql(sql), ..self }
    }

    /// The migrations that make its tables; they are asked for when a case runs.
    #[must_use]
    pub fn migrations(self, migrations: fn() -> Result<MigrationSet, SchemaError>) -> Self {
        Self { schema: Schema::Migrations(migrations), ..self }
    }

    /// It can do this as well, beside inserting and getting records.
    #[must_use]
    pub fn can(mut self, abilities: &[Ability]) -> Self {
        self.declared.extend(abilities);
        self
    }

    /// Measurements are appended to a record; the field of this name says when they were made. They are read from
    /// the latest to the earliest.
    #[must_use]
    pub fn points(mut self, time: &'static str, fields: impl Into<Vec<Field>>) -> Self {
        self.points = fields.into();
        self.points.push(Field::time(time));
        self.point_time = time;
        self.can(&[Ability::Append])
    }

    /// The most records of a page; 100 unless it is said.
    #[must_use]
    pub fn list_limit_max(self, max: u32) -> Self {
        Self { list_limit_max: max, ..self }
    }

    /// The most measurements of one answer; 100 unless it is said.
    #[must_use]
    pub fn points_limit_max(self, max: u32) -> Self {
        Self { points_limit_max: max, ..self }
    }

    /// A key that no record has; a random UUID unless it is said.
    #[must_use]
    pub fn missing_key(self, key: fn() -> String) -> Self {
        Self { missing_key: key, ..self }
    }

    /// Makes a record valid whose fields depend on each other: it gets a record with valid fields, and its number.
    #[must_use]
    pub fn adjust(self, adjust: fn(Record, u64) -> Record) -> Self {
        Self { adjust, ..self }
    }

    /// The same for measurements.
    #[must_use]
    pub fn adjust_point(self, adjust_point: fn(Record, u64) -> Record) -> Self {
        Self { adjust_point, ..self }
    }

    /// The name of the subject.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// All that it can do and has, which decides about the cases that apply.
    #[must_use]
    pub fn abilities(&self) -> BTreeSet<Ability> {
        let mut abilities = self.declared.clone();
        if !matches!(self.schema, Schema::None) {
            abilities.insert(Ability::Database);
        }
        for field in &self.fields {
            if field.optional && field.is_free() {
                abilities.insert(Ability::Optional);
            }
            if field.is_free() {
                abilities.extend(field.abilities());
            }
            if field.unique {
                abilities.insert(Ability::Unique);
            }
            if field.searchable && matches!(field.kind, Kind::Text { .. }) {
                abilities.insert(Ability::Find);
            }
        }
        for field in self.points.iter().filter(|field| field.is_free()) {
            if let Kind::Float { finite, .. } = &field.kind {
                abilities.insert(Ability::PointFloat);
                if *finite {
                    abilities.insert(Ability::PointRange);
                }
            }
        }
        if abilities.contains(&Ability::Update) {
            let updatable: Vec<_> = self.updatable().collect();
            if updatable.iter().any(|field| field.unique) {
                abilities.insert(Ability::UpdateUnique);
            }
            if updatable.iter().any(|field| field.optional) {
                abilities.insert(Ability::UpdateOptional);
            }
            if updatable.iter().filter(|field| !field.unique).count() >= 2 {
                abilities.insert(Ability::UpdateTwo);
            }
        }
        abilities
    }

    /// The record of this number: valid, and another one than that of any other number.
    #[must_use]
    pub fn record(&self, number: u64) -> Record {
        let record =
            self.fields.iter().fold(Record::new(), |record, field| record.with(field.name, field.sample(number)));
        (self.adjust)(record, number)
    }

    /// The measurement of this number, which is a minute later than the one before.
    #[must_use]
    pub fn point(&self, number: u64) -> Record {
        let point =
            self.points.iter().fold(Record::new(), |point, field| point.with(field.name, field.sample(number)));
        (self.adjust_point)(point, number)
    }

    /// Valid records; where fields must be unique they are those of the record of the number that is given later.
    pub(super) fn strategy(&self) -> BoxedStrategy<Record> {
        let values: Vec<_> = self.fields.iter().map(|field| self.values(field)).collect();
        let names: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        values
            .prop_map(move |values| {
                names.iter().zip(values).fold(Record::new(), |record, (name, value)| record.with(name, value))
            })
            .boxed()
    }

    fn values(&self, field: &Field) -> BoxedStrategy<Value> {
        if field.is_free() { field.strategy() } else { Just(field.sample(1)).boxed() }
    }

    /// The record, made the record of this number where it must differ from others.
    pub(super) fn numbered(&self, mut record: Record, number: u64) -> Record {
        let sample = self.record(number);
        for field in self.fields.iter().filter(|field| field.unique || field.plain) {
            record.set(field.name, sample.get(field.name).cloned().unwrap_or(Value::Absent));
        }
        record
    }

    /// The fields that a case may set to whatever they hold, of a kind.
    pub(super) fn free<'a>(&'a self, is: impl Fn(&Kind) -> bool + 'a) -> impl Iterator<Item = &'a Field> + 'a {
        self.fields.iter().filter(move |field| field.is_free() && is(&field.kind))
    }

    /// The fields that an update can change.
    pub(super) fn updatable(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.fixed && !field.plain)
    }

    /// The fields that must be unique together.
    pub(super) fn unique(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.unique)
    }

    /// The migrations of its database.
    pub(super) fn migration_set(&self) -> Result<MigrationSet, SchemaError> {
        match self.schema {
            Schema::None => Ok(MigrationSet::default()),
            Schema::Sql(sql) => Ok(MigrationSet::new(vec![Migration::new(1, "schema", sql, None)])?),
            Schema::Migrations(migrations) => migrations(),
        }
    }
}

impl Field {
    fn abilities(&self) -> Vec<Ability> {
        match &self.kind {
            Kind::Text { characters_max: None, octets_max: None, .. } if self.unique => vec![Ability::Text],
            Kind::Text { characters_max: None, octets_max: None, .. } => vec![Ability::Text, Ability::LongText],
            Kind::Text { .. } => vec![Ability::Text, Ability::LimitedText],
            Kind::Integer { min: i64::MIN, max: i64::MAX } => vec![Ability::Integer],
            Kind::Integer { .. } => vec![Ability::Integer, Ability::Range],
            Kind::Float { finite: true, .. } => vec![Ability::Float, Ability::Range],
            Kind::Float { .. } => vec![Ability::Float],
            Kind::Bool => Vec::new(),
            Kind::Time => vec![Ability::Time],
            Kind::Json => vec![Ability::Json],
            Kind::Choice(_) => vec![Ability::Choice],
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Spec")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}
