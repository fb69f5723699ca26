//! Suppressions beside the SQL: `-- proofmark: allow CHECK because REASON`.
//!
//! Directly above a statement, within it or behind it on its last line, such a comment is about the statement; before
//! the first statement and with a blank line behind it, it is about the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::SUPPRESSIONS_ARE_USED;
use super::names::proposal;
use crate::event::{Finding, Level, Place};
use crate::migrations::Project;
use crate::migrations::sql;

const MARK: &str = "proofmark:";

/// The most comments in a file that are looked at: finding the line of each costs the file's length.
const COMMENTS_MAX: usize = 200;

const FORM: &str = "write `-- proofmark: allow CHECK because REASON`, with the name of a check and your reason";

/// A comment that allows what a check would find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The check.
    pub check: String,
    /// Why.
    pub reason: String,
    /// Where the comment is.
    pub place: Place,
    /// The first and last line that it is about; nothing where it is about the file.
    pub lines: Option<(usize, usize)>,
}

impl Allowance {
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        let Some(place) = finding.place.as_ref().filter(|place| place.file == self.place.file) else {
            return false;
        };
        self.check == finding.check
            && self.lines.is_none_or(|(first, last)| first <= place.line && place.line <= last)
    }
}

/// A file, and where its statements are.
struct Text {
    text: Arc<str>,
    statements: Vec<Range<usize>>,
}

/// The comments in a project's files, and what is wrong with those that are not as they should be.
pub(super) fn read(project: &Project, known: &[&'static str]) -> (Vec<Allowance>, Vec<Finding>) {
    let mut files: BTreeMap<Arc<str>, Text> = BTreeMap::new();
    for script in project.steps.iter().flat_map(|step| std::iter::once(&step.up).chain(&step.down)) {
        if !script.text.contains(MARK) {
            continue;
        }
        let file = files.entry(Arc::clone(&script.file));
        let file = file.or_insert_with(|| Text { text: Arc::clone(&script.text), statements: Vec::new() });
        file.statements.extend(script.statements.iter().map(|statement| statement.range.clone()));
    }
    let (mut allowances, mut malformed) = (Vec::new(), Vec::new());
    for (name, mut file) in files {
        file.statements.sort_by_key(|range| range.start);
        file.statements.dedup();
        let marked = sql::line_comments(&file.text).filter_map(|comment| {
            let text = file.text[comment.clone()].trim_start_matches('-').trim();
            Some((comment, text.strip_prefix(MARK)?))
        });
        for (comment, rest) in marked.take(COMMENTS_MAX) {
            let place = Place::new(&name, &file.text, comment.clone());
            let parsed = parse(rest.trim(), known)
                .and_then(|(check, reason)| Ok((check, reason, lines_of(&file, &comment)?)));
            match parsed {
                Ok((check, reason, lines)) => allowances.push(Allowance { check, reason, place, lines }),
                Err((message, help)) => {
                    malformed.push(Finding::new(Level::Error, place, "comment", message, help));
                }
            }
        }
    }
    (allowances, malformed)
}

type Fault = (String, String);

fn parse(text: &str, known: &[&'static str]) -> Result<(String, String), Fault> {
    let fault = |message: String| Err((message, FORM.to_owned()));
    let (word, rest) = first_word(text);
    if word != "allow" {
        return fault(format!("expected `allow` behind `{MARK}`, found `{word}`"));
    }
    let (check, rest) = first_word(rest);
    if check.is_empty() {
        return fault("expected the name of a check, found none".to_owned());
    }
    if !known.is_empty() && !known.contains(&check) && check != SUPPRESSIONS_ARE_USED {
        let near = proposal(check, known.iter().copied());
        return fault(format!("expected the name of a check, found `{check}`{near}"));
    }
    match first_word(rest) {
        ("because", reason) if !reason.is_empty() => Ok((check.to_owned(), reason.to_owned())),
        _ => fault("expected `because` and a reason behind the name of the check, found none".to_owned()),
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// The lines that a comment is about.
fn lines_of(file: &Text, comment: &Range<usize>) -> Result<Option<(usize, usize)>, Fault> {
    let lines = |range: &Range<usize>| {
        let first = line(&file.text, range.start.min(comment.start));
        Some((first, line(&file.text, range.end)))
    };
    let next = file.statements.partition_point(|range| range.end <= comment.start);
    if let Some(before) = next.checked_sub(1).and_then(|index| file.statements.get(index))
        && !file.text[before.end..comment.start].contains('\n')
    {
        return Ok(lines(before));
    }
    match file.statements.get(next) {
        Some(statement) if statement.start <= comment.start => Ok(lines(statement)),
        Some(statement) if !has_blank_line(&file.text[comment.end..statement.start]) => Ok(lines(statement)),
        _ if next == 0 => Ok(None),
        _ => Err((
            "expected a statement directly below the comment, found none".to_owned(),
            "put it directly above the statement that it is about, or, followed by a blank line, before the first one"
                .to_owned(),
        )),
    }
}

fn line(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn has_blank_line(text: &str) -> bool {
    // The first line is what is behind the comment, the last what is before the statement.
    let lines: Vec<&str> = text.split('\n').collect();
    lines.len() > 2 && lines[1..lines.len() - 1].iter().any(|line| line.trim().is_empty())
}
