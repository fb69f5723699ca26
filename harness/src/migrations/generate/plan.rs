//! How the rows of one table are made: one statement that the server computes them by.

use std::collections::BTreeSet;

use squawk_lexer::{TokenKind, tokenize};

use super::SkipKind;
use super::candidates::{Candidate, Constants, candidates};
use super::catalog::{Catalog, Column, Reference, Table};
use super::value::{Draw, Place, derive};

/// Rows of which a candidate is asked whether they are accepted.
const SAMPLE: i64 = 8;

/// How many of them must be.
const ACCEPTED_MIN: i64 = 4;

/// The most expressions that one column's values come from.
const SOURCES_MAX: usize = 12;

/// How a statement ends that passes over rows that are there already.
pub(super) const ON_CONFLICT: &str = " ON CONFLICT DO NOTHING";

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How the rows of one table are made.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    catalog: &'a Catalog,
    pub(super) table: &'a Table,
    pub(super) seed: i64,
    pub(super) columns: Vec<Planned<'a>>,
    pub(super) references: Vec<Referred<'a>>,
}

/// A column, and where its values come from.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) column: &'a Column,
    /// The type to which values are cast before conditions look at them: the column's, without domains.
    pub(super) declared: &'a str,
    pub(super) nullable: bool,
    pub(super) distinct: bool,
    /// Conditions on it alone, in its name.
    pub(super) conditions: Vec<String>,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    /// The server's: numbered, or by default.
    Server,
    /// Computed from others.
    Generated(String),
    /// Another column of the same row, for a row that must refer to one and can only refer to itself.
    Copy(String),
    /// Column `.1` of reference `.0`.
    Reference(usize, usize),
    /// One of these, by chance.
    Any(Vec<String>),
    /// The next number of a sequence.
    Next(String),
    /// Nothing is known.
    Null,
}

/// A foreign key that values are taken for.
#[derive(Debug)]
pub(super) struct Referred<'a> {
    pub(super) reference: &'a Reference,
    /// Its columns that an earlier reference has taken already: the row must agree with it.
    pub(super) agreed: Vec<(usize, usize, usize)>,
    /// Whether each row needs one of its own.
    pub(super) distinct: bool,
    pub(super) nullable: bool,
}

/// A query about candidates, and what its answers are about.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) column: usize,
    pub(super) candidates: Vec<Candidate>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(catalog: &'a Catalog, table: &'a Table, seed: u64) -> Self {
        let seed = derive(seed.cast_signed(), &table.name);
        let mut plan = Self { catalog, table, seed, columns: Vec::new(), references: Vec::new() };
        for column in &table.columns {
            let resolved = catalog.resolve(column.type_oid, column.modifier);
            let name = quoted(&column.name);
            let mut conditions: Vec<String> =
                resolved.checks.iter().map(|check| with_value(&check.expression, &name)).collect();
            let alone = table.checks.iter().filter(|check| check.columns == [column.number]);
            conditions.extend(alone.map(|check| check.expression.clone()));
            plan.columns.push(Planned {
                column,
                declared: resolved.declared.unwrap_or(&column.declared),
                nullable: !column.not_null && !resolved.not_null,
                distinct: table.unique.iter().any(|unique| unique.contains(&column.number)),
                conditions,
                source: match &column.generated {
                    Some(expression) => Source::Generated(expression.clone()),
                    None if column.is_numbered() => Source::Server,
                    None => Source::Null,
                },
            });
        }
        plan.refer();
        plan.draw();
        plan
    }

    pub(super) fn index_of(&self, number: i16) -> Option<usize> {
        self.columns.iter().position(|planned| planned.column.number == number)
    }

    /// Decides which columns are taken from other tables.
    fn refer(&mut self) {
        let table = self.table;
        let is_nullable = |reference: &Reference| {
            let mut own = table.columns.iter().filter(|column| reference.columns.contains(&column.number));
            own.any(|column| !column.not_null)
        };
        // What a row needs has the first say in columns that several keys have.
        let (optional, needed): (Vec<_>, Vec<_>) =
            table.references.iter().partition(|reference| is_nullable(reference));
        for reference in needed.into_iter().chain(optional) {
            let Some(indexes) =
                reference.columns.iter().map(|number| self.index_of(*number)).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let is_own = reference.table == table.oid;
            let nullable = is_nullable(reference);
            if is_own && !nullable {
                self.refer_to_itself(reference, &indexes);
                continue;
            }
            let number = self.references.len();
            let mut agreed = Vec::new();
            let mut is_new = false;
            for (position, index) in indexes.iter().enumerate() {
                let Some(planned) = self.columns.get_mut(*index) else { continue };
                match planned.source {
                    Source::Reference(other, at) => agreed.push((position, other, at)),
                    Source::Generated(_) | Source::Copy(_) => {}
                    _ => {
                        planned.source = Source::Reference(number, position);
                        is_new = true;
                    }
                }
            }
            if !is_new {
                continue;
            }
            let columns: BTreeSet<i16> = reference.columns.iter().copied().collect();
            let distinct = table.unique.iter().any(|unique| unique.iter().all(|number| columns.contains(number)));
            self.references.push(Referred { reference, agreed, distinct, nullable });
        }
    }

    /// A key that must refer to a row of the same table: the first one can only be the row itself.
    fn refer_to_itself(&mut self, reference: &Reference, indexes: &[usize]) {
        for (index, target) in indexes.iter().zip(&reference.target_columns) {
            let is_same = self.columns.get(*index).is_some_and(|planned| planned.column.name == *target);
            if is_same {
                continue;
            }
            if let Some(planned) = self.columns.iter_mut().find(|planned| planned.column.name == *target)
                && matches!(planned.source, Source::Server)
                && let Some(sequence) = &planned.column.sequence
            {
                planned.source = Source::Next(sequence.clone());
            }
            if let Some(planned) = self.columns.get_mut(*index)
                && !matches!(planned.source, Source::Generated(_))
            {
                planned.source = Source::Copy(target.clone());
            }
        }
    }

    /// Gives each column that is left an expression by its type.
    fn draw(&mut self) {
        for index in 0..self.columns.len() {
            let draw = self.draw_of(index);
            let Some(planned) = self.columns.get_mut(index) else { continue };
            if matches!(planned.source, Source::Null) {
                planned.source =
                    match draw.and_then(|draw| draw.value(planned.column.type_oid, planned.column.modifier)) {
                        Some(expression) => Source::Any(vec![expression]),
                        None if planned.column.default.is_some() => Source::Server,
                        None => Source::Null,
                    };
            }
        }
    }

    fn draw_of(&self, index: usize) -> Option<Draw<'a>> {
        let planned = self.columns.get(index)?;
        let class = self.order_class(planned.column);
        let in_class = |other: &&Planned<'a>| class.is_some() && self.order_class(other.column) == class;
        let place = class.map(|_| Place {
            row_seed: derive(self.seed, "order"),
            index: self.columns.iter().take(index).filter(in_class).count(),
            of: self.columns.iter().filter(in_class).count(),
        });
        Some(Draw {
            catalog: self.catalog,
            seed: derive(self.seed, &planned.column.name),
            word: &planned.column.name,
            distinct: planned.distinct,
            place,
        })
    }

    /// Which other columns a column may be compared with, if it has an order.
    fn order_class(&self, column: &Column) -> Option<&'static str> {
        let resolved = self.catalog.resolve(column.type_oid, column.modifier);
        match resolved.base?.builtin.as_deref()? {
            "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "money" => Some("number"),
            "date" | "timestamp" | "timestamptz" => Some("date"),
            "time" | "timetz" => Some("time"),
            _ => None,
        }
    }

    /// What to try first: what each column with conditions was given by its type.
    pub(super) fn first_probes(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (index, planned) in self.columns.iter().enumerate() {
            let Source::Any(sources) = &planned.source else { continue };
            if !planned.conditions.is_empty() {
                let candidates = sources.iter().map(Candidate::many).collect();
                probes.push(Probe { column: index, candidates });
            }
        }
        probes
    }

    /// What else to try for a column; nothing for one whose values are not drawn, or will do as they are and could only
    /// be improved by constants that there are none of.
    pub(super) fn candidates(&self, index: usize, will_do: bool) -> Option<Probe> {
        let planned = self.columns.get(index)?;
        if !matches!(planned.source, Source::Any(_) | Source::Null) {
            return None;
        }
        let resolved = self.catalog.resolve(planned.column.type_oid, planned.column.modifier);
        let number = planned.column.number;
        let mut expressions: Vec<&str> = planned.conditions.iter().map(String::as_str).collect();
        let checks = self.table.checks.iter().filter(|check| check.columns.contains(&number));
        expressions.extend(checks.map(|check| check.expression.as_str()));
        let partitions = self.table.partitions.iter().flatten().map(String::as_str);
        expressions.extend(partitions.filter(|condition| mentions(condition, &planned.column.name)));
        let constants = Constants::of(expressions);
        if will_do && constants.is_empty() {
            return None;
        }
        let mut candidates = candidates(self.draw_of(index)?, resolved.base?, &constants);
        candidates.extend(planned.column.default.clone().map(Candidate::one));
        Some(Probe { column: index, candidates })
    }

    /// Columns that other columns or a partition have a say in: for these the constants of such conditions are of use,
    /// even where the type's own values are accepted.
    pub(super) fn entangled(&self) -> Vec<usize> {
        let is_entangled = |planned: &Planned<'_>| {
            let number = planned.column.number;
            self.table.checks.iter().any(|check| check.columns.len() > 1 && check.columns.contains(&number))
                || self.table.partitions.iter().flatten().any(|part| mentions(part, &planned.column.name))
        };
        (0..self.columns.len()).filter(|index| self.columns.get(*index).is_some_and(is_entangled)).collect()
    }

    /// The statement that answers how many rows of a sample each candidate of a column is accepted with, and how many
    /// different ones.
    pub(super) fn probe(&self, probe: &Probe, only: Option<usize>) -> Option<String> {
        let planned = self.columns.get(probe.column)?;
        let (name, declared) = (quoted(&planned.column.name), planned.declared);
        let rows: Vec<String> = probe
            .candidates
            .iter()
            .enumerate()
            .filter(|(number, _)| only.is_none_or(|only| only == *number))
            .map(|(number, candidate)| format!("({number}, ({})::{declared})", candidate.expression))
            .collect();
        let mut conditions: Vec<String> =
            planned.conditions.iter().map(|condition| format!("({condition}) IS NOT FALSE")).collect();
        conditions.push("true".to_owned());
        Some(format!(
            "SELECT {column}::int8 AS of_column, c.candidate::int8 AS candidate, count(*) AS accepted, \
             count(DISTINCT c.{name}::text) AS different \
             FROM generate_series(1, {SAMPLE}) AS g(i), LATERAL (VALUES {rows}) AS c(candidate, {name}) \
             WHERE {conditions} GROUP BY 2",
            column = probe.column,
            rows = rows.join(", "),
            conditions = conditions.join(" AND "),
        ))
    }

    /// Whether what was accepted will do for a column.
    pub(super) fn is_enough(&self, index: usize, accepted: i64, different: i64) -> bool {
        let distinct = self.columns.get(index).is_some_and(|planned| planned.distinct);
        accepted >= SAMPLE && (!distinct || different >= ACCEPTED_MIN)
    }

    /// Takes the candidates that the server accepted; false if a column that needs a value has none.
    pub(super) fn choose(&mut self, probe: &Probe, answers: &[(usize, i64, i64)], keep: bool) -> bool {
        let Some(planned) = self.columns.get_mut(probe.column) else { return false };
        let accepted = |is_many: bool| {
            answers.iter().filter(move |(_, accepted, _)| *accepted >= ACCEPTED_MIN).filter_map(
                move |(number, _, different)| {
                    let candidate = probe.candidates.get(*number)?;
                    (candidate.is_many == is_many && (!is_many || *different >= ACCEPTED_MIN))
                        .then(|| candidate.expression.clone())
                },
            )
        };
        let mut sources: Vec<String> = match &planned.source {
            Source::Any(sources) if keep => sources.clone(),
            _ => Vec::new(),
        };
        let number = planned.column.number;
        if planned.distinct {
            sources.extend(accepted(true).take(4));
        }
        // Where a key has other columns, these make the difference.
        if !self.table.unique.iter().any(|unique| unique == &[number]) || sources.is_empty() {
            sources.extend(accepted(false));
            sources.extend(accepted(true));
            sources.dedup();
            sources.truncate(SOURCES_MAX);
        }
        planned.source = if sources.is_empty() { Source::Null } else { Source::Any(sources) };
        !matches!(planned.source, Source::Null) || planned.nullable
    }

    /// Whether a row may be refused for what is in it.
    pub(super) fn is_choosy(&self) -> bool {
        !self.table.checks.is_empty()
            || self.table.partitioned
            || self.columns.iter().any(|planned| !planned.conditions.is_empty())
    }

    /// Why no row can be made, if that is known.
    pub(super) fn missing(&self) -> Option<(SkipKind, String)> {
        let is_missing = |planned: &&Planned<'_>| matches!(planned.source, Source::Null) && !planned.nullable;
        let missing = self.columns.iter().find(is_missing)?;
        let column = &missing.column.name;
        Some(match missing.conditions.as_slice() {
            [] => {
                let reason = format!("no value of type {} is known for column {column}", missing.column.declared);
                (SkipKind::UnknownType, reason)
            }
            conditions => {
                let (declared, conditions) = (&missing.column.declared, conditions.join(" AND "));
                let reason = format!(
                    "no value was found for column {column} of type {declared} that satisfies {conditions}"
                );
                (SkipKind::NoValue, reason)
            }
        })
    }

    /// The tables that must have rows before this one can have any.
    pub(super) fn needs(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.references
            .iter()
            .filter(|referred| !referred.nullable)
            .map(|referred| referred.reference.target.as_str())
    }
}

/// The condition of a domain, about a column.
fn with_value(expression: &str, column: &str) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut at = 0;
    for token in tokenize(expression) {
        let end = at + usize::try_from(token.len).unwrap_or(usize::MAX);
        let part = expression.get(at..end).unwrap_or_default();
        let is_value = matches!(token.kind, TokenKind::Ident) && part.eq_ignore_ascii_case("value");
        text.push_str(if is_value { column } else { part });
        at = end;
    }
    text
}

/// Whether an expression names a column.
pub(super) fn mentions(expression: &str, column: &str) -> bool {
    let mut at = 0;
    tokenize(expression).any(|token| {
        let end = at + usize::try_from(token.len).unwrap_or(usize::MAX);
        let part = expression.get(at..end).unwrap_or_default();
        at = end;
        match token.kind {
            TokenKind::Ident => part == column,
            TokenKind::QuotedIdent { .. } => part == quoted(column),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_tokens() {
        assert!(mentions("((at >= 'x'::text) AND true)", "at"));
        assert!(mentions("(\"At\" > 1)", "At"));
        assert!(!mentions("(flat > 'at'::text)", "at"));
        assert_eq!(
            with_value("((VALUE > 0) AND (VALUE <> 'VALUE'))", "\"a\""),
            "((\"a\" > 0) AND (\"a\" <> 'VALUE'))"
        );
    }
}
