//! Where in a project's files the objects of a database are made.
//!
//! An object that the server has is looked for among the tokens of statements, not the other way round: what a file
//! seems to make is no evidence of anything.

use std::collections::HashMap;
use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};

use super::{Project, Script};
use crate::event::Place;

/// The kinds of objects that a place is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A table, or a view of any kind.
    Relation,
    /// An index.
    Index,
    /// A function or procedure.
    Function,
    /// A sequence.
    Sequence,
    /// A trigger.
    Trigger,
    /// A policy of row security.
    Policy,
    /// A schema.
    Schema,
}

/// Where things are made.
#[derive(Debug)]
pub struct Places {
    scripts: Vec<Script>,
    /// The statements that make an object of a name, in order, or change it, by its name without a schema.
    made: HashMap<(Kind, String), Vec<At>>,
    changed: HashMap<String, Vec<At>>,
}

#[derive(Debug, Clone)]
struct At {
    script: usize,
    statement: usize,
}

/// A token that means something, and where it is in the file.
struct Word {
    text: String,
    range: Range<usize>,
    is_name: bool,
}

impl Places {
    /// Those of a project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let scripts: Vec<Script> = project.steps.iter().map(|step| step.up.clone()).collect();
        let mut places = Self { scripts, made: HashMap::new(), changed: HashMap::new() };
        for script in 0..places.scripts.len() {
            let count = places.scripts.get(script).map_or(0, |script| script.statements.len());
            for statement in 0..count {
                let at = At { script, statement };
                let head = places.words(&at, HEAD_MAX);
                match target(&head) {
                    Some(Target::Made(kind, name)) => places.made.entry((kind, name)).or_default().push(at),
                    Some(Target::Changed(name)) => places.changed.entry(name).or_default().push(at),
                    None => {}
                }
            }
        }
        places
    }

    /// The statement that makes an object; the last one, if it is made again.
    #[must_use]
    pub fn object(&self, kind: Kind, name: &str) -> Option<Place> {
        let at = self.made.get(&(kind, name.to_owned())).and_then(|made| made.last());
        let at = at.cloned().or_else(|| self.named(name))?;
        self.statement(&at)
    }

    /// The name of a column or constraint where a table is made or changed, the last one: of the first of several names
    /// that is there at all. Else the table.
    #[must_use]
    pub fn part(&self, table: &str, parts: &[&str]) -> Option<Place> {
        let found = parts.iter().find_map(|part| self.named_part(table, part));
        found.or_else(|| self.object(Kind::Relation, table))
    }

    fn named_part(&self, table: &str, part: &str) -> Option<Place> {
        let made = self.made.get(&(Kind::Relation, table.to_owned())).into_iter().flatten();
        let changed = self.changed.get(table).into_iter().flatten();
        let mut own: Option<(usize, Place)> = None;
        let mut other = None;
        for at in made.chain(changed) {
            let words = self.words(at, usize::MAX);
            let Some((word, is_own)) = part_of(&words, part) else { continue };
            let found = if is_own { &mut own } else { &mut other };
            if found.as_ref().is_none_or(|(last, _)| *last <= at.script) {
                *found = self.scripts.get(at.script).map(|script| (at.script, script.place(word.range.clone())));
            }
        }
        own.or(other).map(|(_, place)| place)
    }

    /// A statement that says a name somewhere, as the body of a block that makes it does.
    fn named(&self, name: &str) -> Option<At> {
        for (script, text) in self.scripts.iter().enumerate() {
            for (number, statement) in text.statements.iter().enumerate() {
                if has_word(text.statement(statement), name) {
                    return Some(At { script, statement: number });
                }
            }
        }
        None
    }

    fn statement(&self, at: &At) -> Option<Place> {
        let script = self.scripts.get(at.script)?;
        script.statements.get(at.statement).map(|statement| script.place(statement.range.clone()))
    }

    fn words(&self, at: &At, limit: usize) -> Vec<Word> {
        let mut words = Vec::new();
        let Some(script) = self.scripts.get(at.script) else { return words };
        let Some(statement) = script.statements.get(at.statement) else { return words };
        let text = script.statement(statement);
        let mut from = 0;
        for token in tokenize(text) {
            let to = from + usize::try_from(token.len).unwrap_or(usize::MAX);
            let range = statement.range.start + from..statement.range.start + to;
            let part = text.get(from..to).unwrap_or_default();
            from = to;
            match token.kind {
                TokenKind::Eof => break,
                TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
                TokenKind::Ident => words.push(Word { text: part.to_lowercase(), range, is_name: true }),
                TokenKind::QuotedIdent { .. } => {
                    let text = part.trim_matches('"').replace("\"\"", "\"");
                    words.push(Word { text, range, is_name: true });
                }
                _ => words.push(Word { text: part.to_owned(), range, is_name: false }),
            }
            if words.len() >= limit {
                break;
            }
        }
        words
    }
}

/// How many tokens of a statement are read to see what it makes.
const HEAD_MAX: usize = 24;

enum Target {
    Made(Kind, String),
    Changed(String),
}

/// What a statement makes or changes.
fn target(words: &[Word]) -> Option<Target> {
    let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found.is_name && found.text == word);
    let kind_of = |word: &str| {
        Some(match word {
            "table" | "view" => Kind::Relation,
            "index" => Kind::Index,
            "function" | "procedure" => Kind::Function,
            "sequence" => Kind::Sequence,
            "trigger" => Kind::Trigger,
            "policy" => Kind::Policy,
            "schema" => Kind::Schema,
            _ => return None,
        })
    };
    if is(0, "alter") {
        let at = if is(1, "foreign") { 3 } else { 2 };
        return (is(1, "table") || is(2, "table")).then(|| name(words, at)).flatten().map(Target::Changed);
    }
    if !is(0, "create") {
        return None;
    }
    // Between CREATE and the kind stand OR REPLACE, UNIQUE, TEMPORARY, MATERIALIZED, CONSTRAINT and the like.
    let at =
        (1..words.len().min(6)).find(|at| words.get(*at).is_some_and(|word| kind_of(&word.text).is_some()))?;
    let kind = kind_of(&words.get(at)?.text)?;
    name(words, at + 1).map(|name| Target::Made(kind, name))
}

/// The name that follows, without its schema.
fn name(words: &[Word], mut at: usize) -> Option<String> {
    let filler = ["if", "not", "exists", "only", "concurrently"];
    while words.get(at).is_some_and(|word| word.is_name && filler.contains(&word.text.as_str())) {
        at += 1;
    }
    while words.get(at + 1).is_some_and(|word| word.text == ".") {
        at += 2;
    }
    words.get(at).filter(|word| word.is_name).map(|word| word.text.clone())
}

/// Where a statement about a table names a column or constraint, and whether it makes it there: at the beginning of an
/// element, or after ADD, COLUMN, CONSTRAINT, EXISTS or TO.
fn part_of<'w>(words: &'w [Word], part: &str) -> Option<(&'w Word, bool)> {
    let is_change = words.first().is_some_and(|word| word.text == "alter");
    let before: &[&str] =
        if is_change { &["add", "column", "constraint", "exists", "to"] } else { &["(", ",", "constraint"] };
    let matching = words.iter().enumerate().skip(3).filter(|(_, word)| word.is_name && word.text == part);
    let is_own = |(at, _): &(usize, &Word)| {
        at.checked_sub(1).and_then(|at| words.get(at)).is_some_and(|word| before.contains(&word.text.as_str()))
    };
    let own = matching.clone().find(is_own).map(|(_, word)| (word, true));
    own.or_else(|| matching.clone().next().map(|(_, word)| (word, false)))
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration_set::{Migration, MigrationSet};

    #[test]
    fn objects_and_their_parts_are_found() {
        let up = "CREATE TABLE IF NOT EXISTS app.\"Models\" (\n    id int,\n    at timestamp\n);\n\
                  CREATE UNIQUE INDEX CONCURRENTLY models_at ON app.\"Models\" (at);\n\
                  ALTER TABLE ONLY app.\"Models\" ADD CONSTRAINT positive CHECK (id > 0), ADD COLUMN name text;\n\
                  DO $$ BEGIN EXECUTE 'CREATE TABLE hidden (id int)'; END $$;\n\
                  CREATE OR REPLACE FUNCTION touch() RETURNS int LANGUAGE sql AS 'SELECT 1';";
        let set = MigrationSet::new(vec![Migration::new(1, "models", up, None)]).unwrap();
        let places = Places::of(&Project::from_set("test", &set));
        let line = |place: Option<Place>| place.map_or(0, |place| place.line);
        assert_eq!(line(places.object(Kind::Relation, "Models")), 1);
        assert_eq!(line(places.part("Models", &["missing", "at"])), 3);
        assert_eq!(line(places.object(Kind::Index, "models_at")), 5);
        assert_eq!(line(places.part("Models", &["missing", "positive"])), 6);
        assert_eq!(line(places.part("Models", &["missing", "name"])), 6);
        assert_eq!(line(places.object(Kind::Relation, "hidden")), 7);
        assert_eq!(line(places.object(Kind::Function, "touch")), 8);
        assert_eq!(line(places.object(Kind::Relation, "missing")), 0);
    }
}
