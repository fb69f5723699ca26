//! The findings of a run as SARIF 2.1.0 (OASIS), which code hosts show beside the lines that are reviewed.
//!
//! Of the format only what a run can fill in is written. Lines and columns count from one, columns in code points.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::event::{CaseRecord, Finding, Level, Outcome, Place, RunRecord, Waiver};
use crate::report::findings::{Excerpt, path};
use crate::report::pages;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
const VERSION: &str = "2.1.0";

/// The name of our fingerprint: another way to compute it needs another name.
const FINGERPRINT: &str = "proofmarkFinding/v1";

/// The most results; code hosts refuse longer files.
const RESULTS_MAX: usize = 5_000;

/// Renders a record.
///
/// # Errors
/// When it cannot be put into JSON.
pub fn render(record: &RunRecord) -> Result<String, serde_json::Error> {
    let mut text =
        serde_json::to_string_pretty(&Log { schema: SCHEMA, version: VERSION, runs: [Run::new(record)] })?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    column_kind: &'static str,
    results: Vec<ResultObject>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: String,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    name: String,
    short_description: Message,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_description: Option<Message>,
    help: Help,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<String>,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
struct Help {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    command_line: String,
    start_time_utc: String,
    end_time_utc: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultObject {
    rule_id: String,
    rule_index: usize,
    level: &'static str,
    message: Message,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location>,
    partial_fingerprints: HashMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    /// An empty list says that nothing is suppressed, which is not the same as no list.
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
    snippet: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: String,
}

impl Run {
    fn new(record: &RunRecord) -> Self {
        let mut rules = Rules::default();
        // Every check that there was, so that one without a result can be told from one that did not run.
        for case in &record.cases {
            if !matches!(case.outcome, Outcome::Skipped { .. }) {
                rules.index(case);
            }
        }
        let has_baseline = record.cases.iter().flat_map(|case| &case.findings).any(is_in_baseline);
        let mut results = Vec::new();
        for case in &record.cases {
            let (id, index) = (rule_id(case), rules.index(case));
            let found = case.findings.iter();
            results.extend(found.map(|finding| result(&id, index, finding, record, has_baseline)));
            if case.outcome.is_failure() && !case.findings.iter().any(Finding::counts) {
                results.push(failure(&id, index, case));
            }
        }
        number(&mut results);
        let left_out = results.len().saturating_sub(RESULTS_MAX);
        results.truncate(RESULTS_MAX);
        Self {
            invocations: [Invocation::new(record, left_out)],
            tool: Tool {
                driver: Driver {
                    name: "proofmark",
                    version: record.header.proofmark_version.clone(),
                    rules: rules.rules,
                },
            },
            column_kind: "unicodeCodePoints",
            results,
        }
    }
}

impl Invocation {
    fn new(record: &RunRecord, left_out: usize) -> Self {
        let errored = record.cases.iter().filter(|case| matches!(case.outcome, Outcome::Errored { .. }));
        let notification = |level, text| Notification { level, message: Message { text } };
        let mut notifications: Vec<Notification> = errored
            .map(|case| notification("error", format!("{}: {}", case.id, case.outcome.explanation())))
            .collect();
        let broken = !notifications.is_empty();
        if let Some(signal) = record.footer.interrupted {
            notifications.push(notification("error", format!("the run was interrupted by {}", signal.name())));
        }
        if left_out > 0 {
            let text = format!("{left_out} more results are in the recorded run, but not here");
            notifications.push(notification("warning", text));
        }
        let header = &record.header;
        let took = i64::try_from(record.footer.duration_ms).ok().and_then(TimeDelta::try_milliseconds);
        let end = took.and_then(|took| header.started_at.checked_add_signed(took)).unwrap_or(header.started_at);
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        Self {
            execution_successful: !broken && record.footer.interrupted.is_none(),
            command_line: header.command.clone(),
            start_time_utc: time(header.started_at),
            end_time_utc: time(end),
            tool_execution_notifications: notifications,
        }
    }
}

#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    indices: HashMap<String, usize>,
}

impl Rules {
    /// Where the case's rule is; it is made when it is not there.
    fn index(&mut self, case: &CaseRecord) -> usize {
        let id = rule_id(case);
        if let Some(index) = self.indices.get(&id) {
            return *index;
        }
        let name = case.id.case.as_str();
        let page = pages::page(name);
        self.rules.push(Rule {
            id: id.clone(),
            name: name.to_owned(),
            short_description: Message { text: case.checks.clone() },
            full_description: page.map(|page| Message { text: pages::summary(page) }),
            help: Help { text: page.map_or_else(|| case.checks.clone(), str::to_owned), markdown: page },
            help_uri: pages::url(name),
        });
        let index = self.rules.len() - 1;
        self.indices.insert(id, index);
        index
    }
}

/// Names are unique within a suite.
fn rule_id(case: &CaseRecord) -> String {
    format!("{}/{}", case.id.suite, case.id.case)
}

fn is_in_baseline(finding: &Finding) -> bool {
    finding.waiver == Some(Waiver::Baseline)
}

fn result(id: &str, index: usize, finding: &Finding, record: &RunRecord, has_baseline: bool) -> ResultObject {
    let logical = LogicalLocation { fully_qualified_name: finding.object.clone() };
    let physical = finding.place.as_ref().map(|place| PhysicalLocation {
        artifact_location: ArtifactLocation { uri: uri(&path(&record.header, &place.file)) },
        region: Region::of(place),
    });
    let file = finding.place.as_ref().map_or("", |place| place.file.as_str());
    ResultObject {
        rule_id: id.to_owned(),
        rule_index: index,
        level: match finding.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        },
        message: Message { text: format!("{}: {}. {}", finding.object, finding.message, finding.help) },
        locations: vec![Location { physical_location: physical, logical_locations: vec![logical] }],
        partial_fingerprints: fingerprint(&[id, file, &finding.object]),
        baseline_state: has_baseline.then(|| if is_in_baseline(finding) { "unchanged" } else { "new" }),
        suppressions: finding.waiver.iter().map(Suppression::of).collect(),
    }
}

/// A case that failed as a whole, without a place in a file.
fn failure(id: &str, index: usize, case: &CaseRecord) -> ResultObject {
    ResultObject {
        rule_id: id.to_owned(),
        rule_index: index,
        level: "error",
        message: Message { text: case.outcome.explanation() },
        locations: Vec::new(),
        partial_fingerprints: fingerprint(&[id, &case.id.subject]),
        baseline_state: None,
        suppressions: case
            .known
            .iter()
            .map(|known| Suppression { kind: "external", justification: format!("known failure: {known}") })
            .collect(),
    }
}

impl Region {
    fn of(place: &Place) -> Self {
        let (start_line, start_column) = (place.line.max(1), place.column.max(1));
        let end_line = place.end_line.max(start_line);
        let least = if end_line == start_line { start_column } else { 1 };
        let snippet = Message { text: Excerpt::of(place).text() };
        Self { start_line, start_column, end_line, end_column: place.end_column.max(least), snippet }
    }
}

impl Suppression {
    fn of(waiver: &Waiver) -> Self {
        match waiver {
            Waiver::Suppression { reason, place } => {
                // What is not said beside the statement is said in the configuration.
                let kind = if place.contains(".toml") { "external" } else { "inSource" };
                Self { kind, justification: format!("{reason} ({place})") }
            }
            Waiver::Baseline => Self { kind: "external", justification: "it is in the baseline".to_owned() },
        }
    }
}

/// What stays when lines move and messages are worded better: the rule, the file and the object.
fn fingerprint(parts: &[&str]) -> HashMap<&'static str, String> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    HashMap::from([(FINGERPRINT, digest)])
}

/// Tells results apart that a fingerprint cannot, by their order.
fn number(results: &mut [ResultObject]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for result in results {
        for print in result.partial_fingerprints.values_mut() {
            let count = seen.entry(print.clone()).or_default();
            *count += 1;
            let _ = write!(print, ":{count}");
        }
    }
}

/// A path as a reference that a reader resolves against the checkout, or as an absolute one.
fn uri(path: &str) -> String {
    let mut text = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("./db/0001 a:b.sql"), "db/0001%20a%3Ab.sql");
        assert_eq!(uri("/srv/é.sql"), "file:///srv/%C3%A9.sql");
    }

    #[test]
    fn a_region_is_never_empty_of_sense() {
        let mut place = Place::new("a.sql", "SELECT 1;", 7..8);
        (place.line, place.column, place.end_line, place.end_column) = (0, 9, 0, 3);
        let region = Region::of(&place);
        assert_eq!((region.start_line, region.start_column, region.end_line, region.end_column), (1, 9, 1, 9));
    }
}
