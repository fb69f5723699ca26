//! Which objects a script makes, and which one a refused statement misses.

use std::collections::HashMap;
use std::fmt;

use crate::migrations::sandbox::Refusal;
use crate::migrations::sandbox::words::{Word, WordKind, words};
use crate::migrations::source::{Project, Script};

/// How deep statements within strings are looked for.
const DEPTH_MAX: usize = 3;

/// Words between `CREATE` and what is created.
const MODIFIERS: [&str; 16] = [
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "global",
    "local",
    "materialized",
    "recursive",
    "foreign",
    "constraint",
    "unique",
    "event",
    "trusted",
    "procedural",
    "default",
];

/// The kinds of objects that migrations miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A table, view, sequence or index.
    Relation,
    /// A type.
    Type,
    /// A function or procedure.
    Function,
    /// A schema.
    Schema,
    /// A role.
    Role,
    /// An extension.
    Extension,
    /// A column.
    Column,
    /// A constraint.
    Constraint,
    /// A trigger.
    Trigger,
    /// A policy.
    Policy,
    /// A publication.
    Publication,
    /// A language.
    Language,
    /// An operator class, an access method, or another part of an extension.
    Support,
}

/// A database object by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// The schema, where one is named.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// The table that it belongs to, if it belongs to one.
    pub of: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Relation => "relation",
            Kind::Type => "type",
            Kind::Function => "function",
            Kind::Schema => "schema",
            Kind::Role => "role",
            Kind::Extension => "extension",
            Kind::Column => "column",
            Kind::Constraint => "constraint",
            Kind::Trigger => "trigger",
            Kind::Policy => "policy",
            Kind::Publication => "publication",
            Kind::Language => "language",
            Kind::Support => "operator class or access method",
        };
        write!(formatter, "{kind} ")?;
        if let Some(schema) = &self.schema {
            write!(formatter, "{schema}.")?;
        }
        if let Some(of) = &self.of {
            write!(formatter, "{of}.")?;
        }
        formatter.write_str(&self.name)
    }
}

impl Object {
    fn new(kind: Kind, schema: Option<&str>, name: &str) -> Self {
        Self { kind, schema: schema.map(str::to_owned), name: name.to_owned(), of: None }
    }

    fn of(kind: Kind, table: Option<&str>, name: &str) -> Self {
        Self { kind, schema: None, name: name.to_owned(), of: table.map(str::to_owned) }
    }

    /// Whether what a script makes under this name is what is missed.
    fn is(&self, missing: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        self.kind == missing.kind
            && self.name == missing.name
            && agree(&self.schema, &missing.schema)
            && agree(&self.of, &missing.of)
    }

    /// The extension that usually brings it along.
    #[must_use]
    pub fn usual_extension(&self) -> Option<&'static str> {
        let name = self.name.as_str();
        match self.kind {
            Kind::Function => match name {
                "crypt" | "gen_salt" | "digest" | "hmac" | "gen_random_bytes" | "pgp_sym_encrypt"
                | "pgp_sym_decrypt" => Some("pgcrypto"),
                "similarity" | "word_similarity" | "show_trgm" => Some("pg_trgm"),
                "unaccent" => Some("unaccent"),
                "crosstab" | "connectby" => Some("tablefunc"),
                "levenshtein" | "soundex" | "metaphone" => Some("fuzzystrmatch"),
                "create_hypertable" | "time_bucket" => Some("timescaledb"),
                _ if name.starts_with("uuid_generate_") => Some("uuid-ossp"),
                _ if name.starts_with("st_") => Some("postgis"),
                _ => None,
            },
            Kind::Type => match name {
                "citext" | "hstore" | "ltree" | "cube" | "seg" => Some(match name {
                    "citext" => "citext",
                    "hstore" => "hstore",
                    "ltree" => "ltree",
                    "cube" => "cube",
                    _ => "seg",
                }),
                "vector" | "halfvec" | "sparsevec" => Some("vector"),
                "geometry" | "geography" => Some("postgis"),
                _ => None,
            },
            Kind::Support => match name {
                "gin_trgm_ops" | "gist_trgm_ops" => Some("pg_trgm"),
                "hnsw" | "ivfflat" => Some("vector"),
                _ if name.starts_with("vector_") => Some("vector"),
                _ if name.starts_with("gist_") => Some("btree_gist"),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Who makes what in a project.
#[derive(Debug, Default)]
pub struct Creators {
    by_name: HashMap<String, Vec<(usize, Object)>>,
}

impl Creators {
    /// Those of a project's steps.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let mut creators = Self::default();
        for (number, step) in project.steps.iter().enumerate() {
            for object in created_objects(&step.up) {
                creators.by_name.entry(object.name.clone()).or_default().push((number, object));
            }
        }
        creators
    }

    /// The steps that make an object, or the extension that brings it along, in order.
    #[must_use]
    pub fn steps(&self, missing: &Object) -> Vec<usize> {
        let find = |missing: &Object| -> Vec<usize> {
            let named = self.by_name.get(&missing.name).into_iter().flatten();
            named.filter(|(_, object)| object.is(missing)).map(|(step, _)| *step).collect()
        };
        let mut steps = find(missing);
        if let Some(extension) = missing.usual_extension() {
            steps.extend(find(&Object::new(Kind::Extension, None, extension)));
        }
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// The objects that a script makes, as far as its words tell.
#[must_use]
pub fn created_objects(script: &Script) -> Vec<Object> {
    let mut objects = Vec::new();
    for statement in &script.statements {
        let text = script.statement(statement);
        let Some(first) = words(text).next() else { continue };
        if ["create", "alter", "do"].iter().any(|verb| first.is(verb)) {
            let words: Vec<Word> = words(text).collect();
            created(&words, first.is("do"), DEPTH_MAX, &mut objects);
        }
    }
    objects
}

/// What is made by the statement at the beginning, or by any in a block.
fn created(all: &[Word], in_block: bool, depth: usize, objects: &mut Vec<Object>) {
    if depth == 0 {
        return;
    }
    for (at, word) in all.iter().enumerate() {
        let rest = &all[at..];
        if word.is("create") {
            create(rest, objects);
        } else if word.is("alter") {
            alter(rest, objects);
        } else if in_block && matches!(word.kind, WordKind::Dollar | WordKind::Text) {
            let inner: Vec<Word> = words(&word.text).collect();
            if word.kind == WordKind::Dollar
                || inner.first().is_some_and(|word| word.is("create") || word.is("alter"))
            {
                created(&inner, word.kind == WordKind::Dollar, depth - 1, objects);
            }
        }
        if !in_block {
            break;
        }
    }
}

/// A name with its schema, if there is one; and what follows.
fn qualified(words: &[Word]) -> Option<(Option<&str>, &str, &[Word])> {
    let first = words.first()?.name()?;
    match words.get(1..) {
        Some([dot, second, rest @ ..]) if dot.is_sign(".") => Some((Some(first), second.name()?, rest)),
        Some(rest) => Some((None, first, rest)),
        None => None,
    }
}

/// Passes over `IF [NOT] EXISTS`, `CONCURRENTLY` and `ONLY`.
fn past_conditions(mut words: &[Word]) -> &[Word] {
    while let [first, rest @ ..] = words {
        let is_one = ["if", "not", "exists", "concurrently", "only"].iter().any(|word| first.is(word));
        if !is_one {
            break;
        }
        words = rest;
    }
    words
}

fn create(words: &[Word], objects: &mut Vec<Object>) {
    let mut rest = words.get(1..).unwrap_or_default();
    while let [first, more @ ..] = rest
        && MODIFIERS.iter().any(|word| first.is(word))
    {
        rest = more;
    }
    let [kind, rest @ ..] = rest else { return };
    if kind.kind != WordKind::Plain {
        return;
    }
    let rest = past_conditions(rest);
    let Some((schema, name, after)) = qualified(rest) else { return };
    let named = |kind| Object::new(kind, schema, name);
    match kind.text.as_str() {
        "table" => {
            objects.extend([named(Kind::Relation), named(Kind::Type)]);
            columns(name, schema, after, objects);
        }
        "view" => objects.extend([named(Kind::Relation), named(Kind::Type)]),
        "sequence" => objects.push(named(Kind::Relation)),
        "index" if name != "on" => objects.push(named(Kind::Relation)),
        "type" | "domain" => objects.push(named(Kind::Type)),
        "function" | "procedure" | "aggregate" => objects.push(named(Kind::Function)),
        "schema" if name == "authorization" => {
            objects.extend(after.first().and_then(Word::name).map(|name| Object::new(Kind::Schema, None, name)));
        }
        "schema" => objects.push(named(Kind::Schema)),
        "role" | "user" | "group" if name != "mapping" => objects.push(named(Kind::Role)),
        "extension" => objects.push(named(Kind::Extension)),
        "publication" => objects.push(named(Kind::Publication)),
        "language" => objects.push(named(Kind::Language)),
        "trigger" | "policy" => {
            let kind = if kind.is("trigger") { Kind::Trigger } else { Kind::Policy };
            let on = after.iter().position(|word| word.is("on"));
            let table = on.and_then(|on| qualified(after.get(on + 1..)?)).map(|(_, table, _)| table);
            objects.push(Object::of(kind, table, name));
        }
        _ => {}
    }
}

/// What the parentheses of a new table have in them.
fn columns(table: &str, schema: Option<&str>, words: &[Word], objects: &mut Vec<Object>) {
    if !words.first().is_some_and(|word| word.is_sign("(")) {
        return;
    }
    let (mut depth, mut begins) = (0_usize, false);
    let mut column = None;
    for (at, word) in words.iter().enumerate() {
        if word.is_sign("(") {
            depth += 1;
            begins = depth == 1;
            continue;
        }
        if word.is_sign(")") {
            depth -= 1;
            if depth == 0 {
                return;
            }
        }
        if depth != 1 {
            continue;
        }
        if word.is_sign(",") {
            begins = true;
            continue;
        }
        let no_column = ["constraint", "primary", "unique", "check", "foreign", "exclude", "like"];
        if begins && !no_column.iter().any(|key| word.is(key)) {
            column = word.name();
            objects.extend(column.map(|column| Object::of(Kind::Column, Some(table), column)));
        }
        begins = false;
        if word.is("constraint")
            && let Some(name) = words.get(at + 1).and_then(Word::name)
        {
            objects.push(Object::of(Kind::Constraint, Some(table), name));
        }
        let counts = ["serial", "bigserial", "smallserial", "serial4", "serial8", "identity"];
        if counts.iter().any(|key| word.is(key))
            && let Some(column) = column
        {
            objects.push(Object::new(Kind::Relation, schema, &format!("{table}_{column}_seq")));
        }
    }
}

fn alter(words: &[Word], objects: &mut Vec<Object>) {
    let mut rest = words.get(1..).unwrap_or_default();
    while let [first, more @ ..] = rest
        && (first.is("materialized") || first.is("foreign"))
    {
        rest = more;
    }
    let [kind, rest @ ..] = rest else { return };
    let kind = match kind.text.as_str() {
        "table" | "view" | "sequence" | "index" => Kind::Relation,
        "type" | "domain" => Kind::Type,
        "function" | "procedure" => Kind::Function,
        "schema" => Kind::Schema,
        _ => return,
    };
    let Some((schema, table, rest)) = qualified(past_conditions(rest)) else { return };
    for (at, word) in rest.iter().enumerate() {
        if word.is_sign(";") {
            return;
        }
        let next = rest.get(at + 1..).unwrap_or_default();
        if word.is("add") && kind == Kind::Relation {
            added(table, next, objects);
        } else if word.is("rename") {
            match next {
                [to, name, ..] if to.is("to") => {
                    objects.extend(name.name().map(|name| Object::new(kind, schema, name)));
                }
                [.., _] => {
                    let to = next.iter().take(4).position(|word| word.is("to"));
                    let name = to.and_then(|to| next.get(to + 1)).and_then(Word::name);
                    objects.extend(name.map(|name| Object::of(Kind::Column, Some(table), name)));
                }
                [] => {}
            }
        } else if word.is("set")
            && let [keyword, name, ..] = next
            && keyword.is("schema")
        {
            objects.extend(name.name().map(|name| Object::new(kind, Some(name), table)));
        }
    }
}

fn added(table: &str, words: &[Word], objects: &mut Vec<Object>) {
    let words = if words.first().is_some_and(|word| word.is("column")) { &words[1..] } else { words };
    let words = past_conditions(words);
    let Some(first) = words.first() else { return };
    if first.is("constraint") {
        objects
            .extend(words.get(1).and_then(Word::name).map(|name| Object::of(Kind::Constraint, Some(table), name)));
    } else if !["primary", "unique", "check", "foreign", "exclude", "value"].iter().any(|key| first.is(key)) {
        objects.extend(first.name().map(|name| Object::of(Kind::Column, Some(table), name)));
    }
}

/// The object that a statement missed, if it was refused for that.
#[must_use]
pub fn missing_object(refusal: &Refusal) -> Option<Object> {
    let message = refusal.message.as_str();
    let quoted: Vec<&str> = message.split('"').skip(1).step_by(2).collect();
    let before = message.split('"').next().unwrap_or_default().trim_end();
    let split = |name: &str| match name.split_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
        None => (None, name.to_owned()),
    };
    let named = |kind, name: &str| {
        let (schema, name) = split(name);
        Some(Object { kind, schema, name, of: None })
    };
    let part = |kind| {
        let table = quoted.get(1).map(|table| split(table).1);
        Some(Object { kind, schema: None, name: (*quoted.first()?).to_owned(), of: table })
    };
    match refusal.sqlstate.as_str() {
        "0A000" | "58P01" if message.contains("extension") => {
            let name = quoted.first()?.rsplit('/').next()?.trim_end_matches(".control");
            Some(Object::new(Kind::Extension, None, name))
        }
        "42P01" | "42704" | "3F000"
            if message.ends_with("does not exist") || message.contains("does not exist ") =>
        {
            match before {
                "relation" | "table" | "view" | "materialized view" | "sequence" | "index" | "foreign table" => {
                    named(Kind::Relation, quoted.first()?)
                }
                "type" | "domain" => named(Kind::Type, quoted.first()?.trim_end_matches("[]")),
                "schema" => Some(Object::new(Kind::Schema, None, quoted.first()?)),
                "role" => Some(Object::new(Kind::Role, None, quoted.first()?)),
                "extension" => Some(Object::new(Kind::Extension, None, quoted.first()?)),
                "publication" => Some(Object::new(Kind::Publication, None, quoted.first()?)),
                "language" => Some(Object::new(Kind::Language, None, quoted.first()?)),
                "constraint" => part(Kind::Constraint),
                "trigger" => part(Kind::Trigger),
                "policy" => part(Kind::Policy),
                "operator class" | "access method" | "operator family" => {
                    Some(Object::new(Kind::Support, None, quoted.first()?))
                }
                _ => None,
            }
        }
        "42883" => {
            let rest =
                ["function ", "procedure ", "aggregate "].iter().find_map(|kind| message.strip_prefix(kind))?;
            named(Kind::Function, rest.split('(').next()?.trim_matches('"'))
        }
        "42703" => match message.strip_prefix("column ")? {
            rest if rest.starts_with('"') => part(Kind::Column),
            rest => {
                let name = rest.split(' ').next()?;
                // An alias may stand for the table.
                let column = name.rsplit('.').next()?;
                Some(Object::of(Kind::Column, None, column))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::sql;

    fn made(text: &str) -> Vec<String> {
        let script = Script {
            file: "a.sql".into(),
            text: text.into(),
            range: 0..text.len(),
            statements: sql::split(text, 0..text.len()),
            in_transaction: true,
        };
        created_objects(&script).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_script_makes_is_found() {
        for (text, expected) in [
            (
                "CREATE TABLE IF NOT EXISTS app.Models (id serial PRIMARY KEY, \"Tag\" numeric(5, 2), \
                 CONSTRAINT positive CHECK (id > 0))",
                "relation app.models, type app.models, column models.id, relation app.models_id_seq, column \
                 models.Tag, constraint models.positive",
            ),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "relation i"),
            ("CREATE INDEX ON t (a)", ""),
            ("CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'CREATE TABLE x ()'", "function f"),
            ("CREATE TYPE stage AS ENUM ('a')", "type stage"),
            (
                "ALTER TABLE ONLY t ADD COLUMN a int, ADD b int DEFAULT 0, ADD CONSTRAINT c CHECK (true)",
                "column t.a, column t.b, constraint t.c",
            ),
            ("ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN a TO b", "relation u, column u.b"),
            ("DO $$ BEGIN CREATE ROLE app; EXECUTE 'CREATE SCHEMA s'; END $$", "role app, schema s"),
            ("CREATE POLICY p ON app.t USING (true)", "policy t.p"),
            ("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"", "extension uuid-ossp"),
        ] {
            assert_eq!(made(text).join(", "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missed_is_understood() {
        for (sqlstate, message, expected) in [
            ("42P01", "relation \"app.models\" does not exist", "relation app.models"),
            ("42704", "type \"stage[]\" does not exist", "type stage"),
            ("42704", "role \"app\" does not exist", "role app"),
            ("42883", "function auth.uid() does not exist", "function auth.uid"),
            ("42703", "column \"a\" of relation \"t\" does not exist", "column t.a"),
            ("42703", "column m.a does not exist", "column a"),
            ("3F000", "schema \"auth\" does not exist", "schema auth"),
            ("0A000", "extension \"vector\" is not available", "extension vector"),
            ("42704", "constraint \"c\" of relation \"t\" does not exist", "constraint t.c"),
            (
                "42704",
                "operator class \"gin_trgm_ops\" does not exist for access method \"gin\"",
                "operator class or access method gin_trgm_ops",
            ),
        ] {
            let refusal = Refusal::ours(0, sqlstate, message);
            assert_eq!(missing_object(&refusal).map(|object| object.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(missing_object(&Refusal::ours(0, "42883", "operator does not exist: a = b")), None);
        assert_eq!(
            missing_object(&Refusal::ours(0, "42704", "unrecognized configuration parameter \"a.b\"")),
            None
        );
    }
}
