//! Whether rows survive a migration.

use super::super::MigrationSubject;
use super::fits;
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::observe::{Loss, LostRows, words};

pub(super) async fn rows_survive_every_migration(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for lost in &passage.lost_rows {
            let (level, found, help) = judged(script, lost);
            findings.push(Finding::new(
                level,
                fits(script, lost.statement).map(|range| script.place(range)),
                format!("table {}", lost.table),
                format!(
                    "expected the {} of {} to be there after the migration, found {found}",
                    rows(lost.rows_before),
                    lost.table
                ),
                help,
            ));
        }
    }
    subject.conclude(findings)
}

fn rows(count: i64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// How bad it is, what was found, and what to do.
///
/// What a statement says that it does to a table is meant, and may still be more than was meant: a warning. What happens
/// to the rows of a table that no statement names, or to values on their way into another type, is an error.
fn judged(script: &Script, lost: &LostRows) -> (Level, String, String) {
    let LostRows { table, rows_before, rows_after, lost: count, .. } = lost;
    match &lost.how {
        Loss::Dropped => (
            Level::Note,
            "that they are gone with it".to_owned(),
            "keep a copy until nobody can want them any more: a dump, or ALTER TABLE ... RENAME TO ... in this migration \
             and DROP TABLE in a later one"
                .to_owned(),
        ),
        Loss::Recreated => (
            Level::Error,
            format!("that the table was made anew, with {}, and that {count} of before are not among them", rows(*rows_after)),
            format!("change {table} with ALTER TABLE, or bring its rows along: INSERT INTO ... SELECT ... FROM ..."),
        ),
        Loss::Converted { column, from, to, is_collapsed, example } => {
            let is_meant = !is_collapsed && is_mapped(script, lost.statement);
            let more = if *is_collapsed { "; values that differed are the same now" } else { "" };
            (
                if is_meant { Level::Warning } else { Level::Error },
                format!(
                    "that {count} of them have another value in {column}, which cannot be had back from {to}, the type that \
                     it has now in place of {from}; the first is {example:?}{more}"
                ),
                format!(
                    "take a type that holds all values of {from}; or keep the old column beside the new one, until nobody \
                     can want its values any more"
                ),
            )
        }
        Loss::Changed { columns } => {
            let gone = rows_before - rows_after;
            let mut parts = Vec::new();
            if gone > 0 {
                parts.push(format!("that {gone} of them are gone"));
            }
            if *count > gone.max(0) {
                let changed = count - gone.max(0);
                parts.push(format!("that {changed} of them have another value in {}", columns.join(", ")));
            }
            let is_meant = is_named(script, lost);
            let unsaid = if is_meant { "" } else { ", although the statement does not name the table" };
            (
                if is_meant { Level::Warning } else { Level::Error },
                format!("{}{unsaid}", parts.join(" and ")),
                if is_meant {
                    "make sure that this is meant for all of these rows, and keep a copy of what cannot be had back".to_owned()
                } else {
                    format!(
                        "say what is to become of the rows of {table}: leave out CASCADE, and look at its foreign keys with \
                         ON DELETE and at the triggers of the table that the statement names"
                    )
                },
            )
        }
    }
}

fn text(script: &Script, statement: usize) -> &str {
    script.statements.get(statement).map_or("", |part| script.statement(part))
}

/// Whether a statement names the table that lost rows, or runs code that may do so.
fn is_named(script: &Script, lost: &LostRows) -> bool {
    let text = text(script, lost.statement).to_lowercase();
    let is_code = words(&text).first().is_some_and(|word| matches!(word.as_str(), "do" | "call" | "select"));
    let name = lost.table.rsplit('.').next().unwrap_or_default().trim_matches('"').to_lowercase();
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let is_word = |(at, found): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    is_code || text.match_indices(name.as_str()).any(is_word)
}

/// Whether a conversion says how values are to be mapped: with more than a cast of the column.
fn is_mapped(script: &Script, statement: usize) -> bool {
    let words = words(text(script, statement));
    let Some(using) = words.iter().position(|word| word == "using") else { return false };
    let rest = &words[using + 1..];
    rest.iter().any(|word| word == "case" || word == "select") || calls(rest)
}

/// Whether a function is called: a name and a parenthesis, but not a type with a size, or `CAST(`.
fn calls(words: &[String]) -> bool {
    words.iter().enumerate().any(|(at, word)| {
        let is_name = word.starts_with(|first: char| first.is_alphabetic() || first == '_');
        let follows = words.get(at + 1).is_some_and(|next| next == "(");
        let is_type =
            at > 0 && words.get(at - 1).is_some_and(|before| before == ":" || before == "::" || before == "as");
        is_name && follows && !is_type && word != "cast"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::sql;

    fn script(text: &str) -> Script {
        Script {
            file: "a.sql".into(),
            text: text.into(),
            range: 0..text.len(),
            statements: sql::split(text, 0..text.len()),
            in_transaction: true,
        }
    }

    #[test]
    fn a_mapping_is_more_than_a_cast() {
        for (using, expected) in [
            ("", false),
            ("USING name::varchar(3)", false),
            ("USING CAST(name AS varchar(3))", false),
            ("USING left(name, 3)", true),
            ("USING CASE name WHEN 'a' THEN 1 END", true),
        ] {
            let text = format!("ALTER TABLE t ALTER COLUMN name TYPE varchar(3) {using}");
            assert_eq!(is_mapped(&script(&text), 0), expected, "{using}");
        }
    }
}
