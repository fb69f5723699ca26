//! The findings of a run as a reader wants them: by file, then by line; and how many there are room for.

use std::cmp::{Ordering, Reverse};

use crate::event::{Finding, Level, Place, RunHeader, RunRecord, Waiver};
use crate::report::text::clean;

/// The most characters that are shown before the part of a line that is meant, after it, and of one of its lines.
const BESIDE_CHARS_MAX: usize = 80;
const LINE_CHARS_MAX: usize = 160;

/// How many findings there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct FindingCounts {
    /// Those that fail their case.
    pub errors: usize,
    /// Those that are likely to hurt one day.
    pub warnings: usize,
    /// Those that are worth knowing.
    pub notes: usize,
    /// Those that do not count because somebody has said so.
    pub suppressed: usize,
    /// Those that were there when the tool was adopted.
    pub baseline: usize,
}

impl FindingCounts {
    /// Counts findings.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            *match (&finding.waiver, finding.level) {
                (Some(Waiver::Baseline), _) => &mut counts.baseline,
                (Some(Waiver::Suppression { .. }), _) => &mut counts.suppressed,
                (None, Level::Error) => &mut counts.errors,
                (None, Level::Warning) => &mut counts.warnings,
                (None, Level::Note) => &mut counts.notes,
            } += 1;
        }
        counts
    }

    /// The numbers that are not zero, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let numbers = [
            (self.errors, "error"),
            (self.warnings, "warning"),
            (self.notes, "note"),
            (self.suppressed, "suppressed"),
            (self.baseline, "in the baseline"),
        ];
        let words = numbers.iter().filter(|(count, _)| *count > 0).map(|(count, word)| match *word {
            "suppressed" | "in the baseline" => format!("{count} {word}"),
            noun => super::plural(*count, noun),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The most findings of each level that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of errors.
    pub errors: usize,
    /// Of warnings.
    pub warnings: usize,
    /// Of notes.
    pub notes: usize,
}

/// Findings about one file, or about none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFindings<'a> {
    /// The file, relative to the subject.
    pub file: Option<&'a str>,
    /// What was found, by place.
    pub findings: Vec<&'a Finding>,
}

/// The findings that there is room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<'a> {
    /// By file; those without a file come last.
    pub files: Vec<FileFindings<'a>>,
    /// How many there are in all.
    pub all: FindingCounts,
    /// How many of those that are not waived there was no room for.
    pub left_out: FindingCounts,
}

/// Every finding of a run, in the order of files and lines; those without a place come last.
#[must_use]
pub fn all(record: &RunRecord) -> Vec<&Finding> {
    let mut findings: Vec<&Finding> = record.cases.iter().flat_map(|case| &case.findings).collect();
    findings.sort_by(|one, other| by_place(one, other));
    findings
}

/// The first findings of each level that nobody has waived.
#[must_use]
pub fn select(record: &RunRecord, room: Room) -> Selection<'_> {
    let all = all(record);
    let mut left = [room.notes, room.warnings, room.errors];
    let mut files: Vec<FileFindings<'_>> = Vec::new();
    let mut left_out = Vec::new();
    for finding in all.iter().copied().filter(|finding| finding.waiver.is_none()) {
        let left = &mut left[match finding.level {
            Level::Note => 0,
            Level::Warning => 1,
            Level::Error => 2,
        }];
        if *left == 0 {
            left_out.push(finding);
            continue;
        }
        *left -= 1;
        let file = finding.place.as_ref().map(|place| place.file.as_str());
        match files.last_mut().filter(|last| last.file == file) {
            Some(last) => last.findings.push(finding),
            None => files.push(FileFindings { file, findings: vec![finding] }),
        }
    }
    Selection { files, all: FindingCounts::of(all.iter().copied()), left_out: FindingCounts::of(left_out) }
}

fn by_place(one: &Finding, other: &Finding) -> Ordering {
    let place = |finding: &'_ Finding| finding.place.as_ref().map(|place| (place.line, place.column));
    let files = match (&one.place, &other.place) {
        (Some(one), Some(other)) => natural(&one.file, &other.file),
        (one, other) => one.is_none().cmp(&other.is_none()),
    };
    files.then_with(|| place(one).cmp(&place(other))).then_with(|| {
        (Reverse(one.level), &one.check, &one.object).cmp(&(Reverse(other.level), &other.check, &other.object))
    })
}

/// As people order names with numbers in them: `2_b` before `10_a`.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (a, b) = (digits(left), digits(right));
        if a > 0 && b > 0 {
            let (x, y) = (left[..a].trim_start_matches('0'), right[..b].trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[a..], &right[b..]);
            continue;
        }
        let (mut x, mut y) = (left.chars(), right.chars());
        match (x.next(), y.next()) {
            (Some(a), Some(b)) if a == b => (left, right) = (x.as_str(), y.as_str()),
            // Names that differ in leading zeros alone are not the same.
            (None, None) => return one.cmp(other),
            (a, b) => return a.cmp(&b),
        }
    }
}

/// The path of a file as the command was given it, so that a terminal can open it.
#[must_use]
pub fn path(header: &RunHeader, file: &str) -> String {
    match header.directory.as_deref() {
        None | Some("" | ".") => file.to_owned(),
        Some(directory) => format!("{}/{file}", directory.trim_end_matches('/')),
    }
}

/// `path:line:column`.
#[must_use]
pub fn location(header: &RunHeader, place: &Place) -> String {
    format!("{}:{}:{}", path(header, &place.file), place.line, place.column)
}

/// The text around a part of a file, safe to be shown and of bounded length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Excerpt {
    /// What stands before the part, on its first line.
    pub before: String,
    /// The part.
    pub part: String,
    /// What follows it, to the end of the excerpt.
    pub after: String,
}

impl Excerpt {
    /// The excerpt of a place. A record may be made by anybody: offsets that are wrong are cut to fit.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        let text = &place.excerpt;
        let start = text.floor_char_boundary(place.excerpt_offset);
        let end = text.floor_char_boundary(start.saturating_add(place.excerpt_length));
        let (before, rest) = text.split_at(start);
        let (part, after) = rest.split_at(end - start);
        Self {
            before: tail(&shown(before)),
            part: lines(&shown(part), LINE_CHARS_MAX),
            after: lines(&shown(after), BESIDE_CHARS_MAX),
        }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        [self.before.as_str(), &self.part, &self.after].concat()
    }
}

fn shown(text: &str) -> String {
    clean(&text.replace("\r\n", "\n"))
}

/// The end of the line that the text is.
fn tail(text: &str) -> String {
    let count = text.chars().count();
    if count <= BESIDE_CHARS_MAX {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(count - BESIDE_CHARS_MAX)).collect()
}

/// Each line, cut.
fn lines(text: &str, width: usize) -> String {
    text.split('\n').map(|line| super::text::cut(line, width)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let mut names = ["V10__a", "V2__b", "V2__a", "V002__a", "10", "9", "a/2/b", "a/10/b", ""];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["", "9", "10", "V002__a", "V2__a", "V2__b", "V10__a", "a/2/b", "a/10/b"]);
    }

    #[test]
    fn an_excerpt_is_bounded_whatever_the_record_says() {
        let mut place = Place::new("a.sql", &format!("{}x{}\r\nnext", "a".repeat(300), "b".repeat(300)), 300..301);
        let excerpt = Excerpt::of(&place);
        assert_eq!((excerpt.before.chars().count(), excerpt.part.as_str()), (81, "x"));
        assert!(excerpt.after.chars().count() <= 80, "{}", excerpt.after);
        place.excerpt = "é\u{1b}[0m".to_owned();
        (place.excerpt_offset, place.excerpt_length) = (1, usize::MAX);
        assert_eq!(Excerpt::of(&place).text(), "é\\u{1b}[0m");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let finding = |line: usize, level| {
            Finding::new(
                level,
                Place::new("a.sql", &"\n".repeat(line), line..line),
                format!("table {line}"),
                "m",
                "h",
            )
        };
        let mut record = crate::report::tests::record();
        record.cases[0].findings = vec![
            finding(3, Level::Error),
            finding(1, Level::Error),
            finding(2, Level::Warning),
            finding(9, Level::Note),
        ];
        let mut waived = finding(5, Level::Error);
        waived.waiver = Some(Waiver::Baseline);
        record.cases[0].findings.push(waived);
        let selection = select(&record, Room { errors: 1, warnings: 1, notes: 0 });
        let shown: Vec<&str> = selection.files[0].findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(shown, ["table 1", "table 2"]);
        assert_eq!(selection.left_out.words(), "1 error, 1 note");
        assert_eq!(selection.all.words(), "2 errors, 1 warning, 1 note, 1 in the baseline");
    }
}
