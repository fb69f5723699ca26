//! The order in which a layout's tool runs migrations, and what is doubtful about it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::plan::{Entry, Sort};
use super::problem::{Problem, ProblemKind};
use super::{Layout, StepKind};
use crate::event::{Level, Place};

/// Versions from here on are dates or times, which have no gaps.
const COUNTED_MAX: u64 = 1_000_000;

/// Sorts migrations, and says what is doubtful.
pub(super) fn sort(layout: Layout, sort: Sort, entries: &mut [Entry], problems: &mut Vec<Problem>) {
    let repeatable = |entry: &Entry| entry.step.kind == StepKind::Repeatable;
    entries.sort_by(|one, other| {
        repeatable(one).cmp(&repeatable(other)).then_with(|| match sort {
            _ if repeatable(one) => one.step.name.cmp(&other.step.name),
            Sort::Version => one.number.cmp(&other.number).then_with(|| file(one).cmp(file(other))),
            Sort::Name => file(one).cmp(file(other)),
            Sort::Natural => natural(file(one), file(other)),
        })
    });
    match sort {
        Sort::Version => {}
        Sort::Name => sorted_as_text(entries, problems),
        Sort::Natural => sorted_as_numbers(entries, problems),
    }
    gaps(layout, entries, problems);
}

fn file(entry: &Entry) -> &str {
    &entry.step.up.file
}

fn doubtful(entry: &Entry, message: String, help: &str) -> Problem {
    let script = &entry.step.up;
    let problem = Problem::new(ProblemKind::AmbiguousOrder, &script.file, message, help);
    problem.at(Place::file(&script.file, &script.text))
}

const PAD: &str = "write all versions with the same number of digits, such as 0009 and 0010";

/// The tool sorts names as text: what has a smaller number must come first nevertheless.
fn sorted_as_text(entries: &[Entry], problems: &mut Vec<Problem>) {
    for pair in entries.windows(2) {
        let [before, after] = pair else { continue };
        if before.number.is_empty() || after.number.is_empty() {
            continue;
        }
        let version = |entry: &Entry| entry.step.version.clone().unwrap_or_default();
        match before.number.cmp(&after.number) {
            Ordering::Greater => problems.push(doubtful(
                after,
                format!("expected it to be run before {}, found that names are sorted as text", file(before)),
                PAD,
            )),
            Ordering::Equal if version(before) != version(after) => problems.push(doubtful(
                after,
                format!("expected a number of its own, found that of {} in other digits", file(before)),
                PAD,
            )),
            _ => {}
        }
    }
}

/// Nobody says how names are sorted: numbers are taken as numbers, which is what is meant, and not what a shell does.
fn sorted_as_numbers(entries: &[Entry], problems: &mut Vec<Problem>) {
    for pair in entries.windows(2) {
        let [before, after] = pair else { continue };
        let directory =
            |entry: &Entry| file(entry).rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        let same = directory(before) == directory(after);
        if same && !before.number.is_empty() && before.number == after.number {
            problems.push(doubtful(
                after,
                format!(
                    "expected a number of its own, found that of {}: which is run first is open",
                    file(before)
                ),
                "give each file a number of its own, or say the order in an order file",
            ));
        } else if file(before) > file(after) && !before.number.is_empty() && !after.number.is_empty() {
            problems.push(doubtful(
                after,
                format!(
                    "expected the same order by number and by name, found {} before it by number and behind it by name, \
                     which is how shells and many tools sort",
                    file(before)
                ),
                PAD,
            ));
        }
    }
}

/// Versions that are missing where versions are counted.
fn gaps(layout: Layout, entries: &[Entry], problems: &mut Vec<Problem>) {
    let mut folders: BTreeMap<&str, Vec<(u64, &Entry)>> = BTreeMap::new();
    for entry in entries {
        if let [number] = entry.number.as_slice()
            && *number < COUNTED_MAX
        {
            let directory = file(entry).rsplit_once('/').map_or("", |(directory, _)| directory);
            let folder = if layout == Layout::Plain { directory } else { "" };
            folders.entry(folder).or_default().push((*number, entry));
        }
    }
    for numbers in folders.values_mut() {
        numbers.sort_by_key(|(number, _)| *number);
        let steps = numbers.windows(2).filter(|pair| pair[1].0 == pair[0].0 + 1).count();
        // Whoever counts in tens, or by date, leaves no gap.
        if steps == 0 || steps * 2 < numbers.len() - 1 {
            continue;
        }
        for pair in numbers.windows(2) {
            let [(before, _), (after, entry)] = pair else { continue };
            if *after > before + 1 {
                problems.push(gap(layout, *before, *after, entry));
            }
        }
    }
}

fn gap(layout: Layout, before: u64, after: u64, entry: &Entry) -> Problem {
    let missing = match after - before {
        2 => format!("version {}", before + 1),
        _ => format!("versions {} to {}", before + 1, after - 1),
    };
    let (level, what) = match layout {
        Layout::GolangMigrate => {
            (Level::Error, ": when it turns up later, golang-migrate passes over it in silence")
        }
        Layout::Refinery => (Level::Error, ": when it turns up later, refinery refuses it"),
        Layout::Sqlx => (
            Level::Error,
            ": when it turns up later, sqlx runs it after the others, in another order than on an empty server",
        ),
        Layout::Goose => (Level::Error, ": when it turns up later, goose refuses it"),
        _ => (Level::Warning, ""),
    };
    let script = &entry.step.up;
    let problem = Problem::new(
        ProblemKind::Gap,
        &script.file,
        format!("expected {missing} between {before} and {after}, found none{what}"),
        "add the file if it was lost; otherwise renumber the files that no database has seen yet, or allow the gap with \
         the reason for it",
    );
    problem.at(Place::file(&script.file, &script.text)).level(level)
}

/// Compares names with the numbers in them as numbers.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one, other);
    loop {
        match (a.chars().next(), b.chars().next()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (left, right) = (digits(a), digits(b));
                let (short, long) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
                match short.len().cmp(&long.len()).then_with(|| short.cmp(long)) {
                    Ordering::Equal => (a, b) = (&a[left.len()..], &b[right.len()..]),
                    unequal => return unequal,
                }
            }
            (Some(x), Some(y)) => {
                // What is in a directory comes together.
                let rank = |c: char| if c == '/' { '\0' } else { c };
                match rank(x).cmp(&rank(y)) {
                    Ordering::Equal => (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]),
                    unequal => return unequal,
                }
            }
            _ => return a.len().cmp(&b.len()).then_with(|| one.cmp(other)),
        }
    }
}

fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_numbers() {
        let mut names = ["10_a", "9_a", "b", "1/2_a", "1/10_a", "09_b", "1_a", "", "2"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["", "1/2_a", "1/10_a", "1_a", "2", "9_a", "09_b", "10_a", "b"]);
    }
}
