//! The reports of one hand-made run with findings in migrations, against their snapshots; and the structure of SARIF.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

mod reports;

use std::collections::HashSet;

use proofmark_harness::event::{
    CaseRecord, FailureCause, Finding, KnownFailure, Level, MachineRecord, MigrationFailure, MigrationVerdict,
    Outcome, Place, RunFooter, RunHeader, RunRecord, ServerRecord, Waiver,
};
use proofmark_harness::report::terminal::Look;
use proofmark_harness::report::{html, junit, sarif, terminal};
use proofmark_harness::suite::{Batch, CaseId};
use reports::{snapshots, without_colour};
use serde_json::Value;

const MODELS: &str = "CREATE TABLE models (\n    id bigint PRIMARY KEY,\n    name text NOT NULL\n);\n";
const SERVICES: &str = "-- Services, with the model that they serve: café\r\nCREATE TABLE services (\r\n    id bigint \
                        PRIMARY KEY,\r\n\tmodel_id bigint REFERENCES models (id),\r\n    state service_state NOT \
                        NULL\r\n);\r\nALTER TABLE models\r\n    ALTER COLUMN name TYPE varchar(64);\r\n";

fn case(name: &str, checks: &str, duration_ms: u64, findings: Vec<Finding>) -> CaseRecord {
    let counting: Vec<String> =
        findings.iter().filter(|finding| finding.counts()).map(ToString::to_string).collect();
    let message = match counting.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [first, ..] => Some(format!("{} findings, the first: {first}", counting.len())),
    };
    CaseRecord {
        id: CaseId { suite: "migrations".to_owned(), subject: "billing/db".to_owned(), case: name.to_owned() },
        checks: checks.to_owned(),
        batch: Batch::Database,
        outcome: message.map_or(Outcome::Passed, |message| Outcome::Failed { message, detail: None }),
        known: None,
        duration_ms,
        kept: Vec::new(),
        findings: findings.into_iter().map(|finding| Finding { check: name.to_owned(), ..finding }).collect(),
    }
}

fn place(text: &str, file: &str, part: &str) -> Place {
    let start = text.find(part).unwrap();
    Place::new(file, text, start..start + part.len())
}

fn record() -> RunRecord {
    let services = |part: &str| place(SERVICES, "10_services.up.sql", part);
    let waived = |waiver, finding: Finding| Finding { waiver: Some(waiver), ..finding };
    let mut record = RunRecord::new(RunHeader {
        proofmark_version: "0.1.0".to_owned(),
        started_at: "2025-02-28T09:30:00Z".parse().unwrap(),
        command: "proofmark migrations db".to_owned(),
        directory: Some("db/".to_owned()),
        seed: 7,
        planned: 7,
        machine: MachineRecord { platform: "linux x86_64".to_owned(), processor: String::new(), parallelism: 2 },
    });
    record.server = Some(ServerRecord {
        kind: "local".to_owned(),
        version: "15.14".to_owned(),
        origin: "/usr/lib/postgresql/15/bin".to_owned(),
        ready_ms: 900,
    });
    record.cases = vec![
        case(
            "every_file_applies",
            "every file applies",
            300,
            vec![Finding::new(
                Level::Error,
                services("service_state"),
                "type service_state",
                "expected the file to apply, found: type \"service_state\" does not exist (SQLSTATE 42704); no file \
                 creates it \u{1b}[31m",
                "create it before it is used:\nCREATE TYPE service_state AS ENUM (...);",
            )],
        ),
        case(
            "foreign_keys_are_indexed",
            "foreign keys are indexed",
            40,
            vec![
                Finding::new(
                    Level::Error,
                    services("model_id bigint REFERENCES models (id)"),
                    "table public.services",
                    "expected an index that begins with (model_id), found none on the server",
                    "CREATE INDEX CONCURRENTLY services_model_id ON public.services (model_id);",
                ),
                waived(
                    Waiver::Suppression {
                        reason: "ten rows <at most>".to_owned(),
                        place: "2_models.up.sql:1".to_owned(),
                    },
                    Finding::new(
                        Level::Error,
                        place(MODELS, "2_models.up.sql", "models"),
                        "table public.models",
                        "m",
                        "h",
                    ),
                ),
                waived(
                    Waiver::Baseline,
                    Finding::new(
                        Level::Error,
                        place(MODELS, "2_models.up.sql", "id"),
                        "table public.old",
                        "m",
                        "h",
                    ),
                ),
            ],
        ),
        case(
            "no_rewrite",
            "no statement rewrites a table",
            80,
            vec![
                Finding::new(
                    Level::Warning,
                    services("ALTER TABLE models\r\n    ALTER COLUMN name TYPE varchar(64)"),
                    "table public.models",
                    "expected no rewrite, found that 200 rows were written again under ACCESS EXCLUSIVE",
                    "add a new column, fill it in batches, and swap the two",
                ),
                Finding::new(Level::Note, None, "role app", "expected a lock_timeout, found none", ""),
            ],
        ),
        case("rerun_changes_nothing", "a second run changes nothing", 12, Vec::new()),
        CaseRecord {
            outcome: Outcome::Failed {
                message: "expected no change, found one in pg_class".to_owned(),
                detail: None,
            },
            ..case("down_leaves_nothing", "all the way down leaves nothing", 12, Vec::new())
        },
        CaseRecord {
            outcome: Outcome::Failed { message: "deadlock detected".to_owned(), detail: None },
            known: Some(KnownFailure {
                reason: "the library waits in the server".to_owned(),
                upstream: "https-example".to_owned(),
            }),
            ..case("two_runs_at_once", "two runs at once succeed", 12, Vec::new())
        },
        CaseRecord {
            outcome: Outcome::Errored { message: "the database server is gone".to_owned() },
            ..case("kill_points", "a killed run can be repeated", 9, Vec::new())
        },
    ];
    let failure = |file: &str, cause| MigrationFailure {
        file: file.to_owned(),
        place: services("service_state"),
        statement: "CREATE TABLE services".to_owned(),
        sqlstate: "42704".to_owned(),
        message: "type \"service_state\" does not exist".to_owned(),
        detail: None,
        hint: None,
        context: None,
        statements_kept: 0,
        cause,
    };
    let object = || "type service_state".to_owned();
    record.verdict = Some(MigrationVerdict {
        subject: "billing/db".to_owned(),
        layout: "sqlx, as every file has .up.sql or .down.sql at its end".to_owned(),
        files: 5,
        applied: 2,
        best_applied: 3,
        best_order: ["2_models", "12_types", "10_services", "11_traces", "9_old"]
            .map(|name| format!("{name}.up.sql"))
            .into(),
        failures: vec![
            failure("9_old.up.sql", FailureCause::Missing { object: object() }),
            failure(
                "10_services.up.sql",
                FailureCause::WrongOrder { creator: "12_types.up.sql".to_owned(), object: object() },
            ),
            failure(
                "11_traces.up.sql",
                FailureCause::Consequence { of: "10_services.up.sql".to_owned(), object: object() },
            ),
        ],
        limitation: None,
    });
    record.footer = RunFooter { duration_ms: 1_250, interrupted: None };
    record
}

#[test]
fn terminal_in_80_columns() {
    let text = terminal::render(&record(), Look { width: 80, colour: false, unicode: true });
    snapshots().bind(|| insta::assert_snapshot!("findings__terminal_80", text));
}

#[test]
fn terminal_in_120_columns() {
    let text = terminal::render(&record(), Look { width: 120, colour: false, unicode: true });
    snapshots().bind(|| insta::assert_snapshot!("findings__terminal_120", text));
}

#[test]
fn a_terminal_without_unicode_gets_none_of_ours() {
    let mut record = record();
    // What the subject's files say is theirs.
    record.cases[0].findings.clear();
    let text = terminal::render(&record, Look { width: 80, colour: false, unicode: false });
    let foreign: Vec<char> = text.chars().filter(|character| !character.is_ascii()).collect();
    assert_eq!(foreign, Vec::<char>::new(), "{text}");
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let look = |colour| Look { width: 100, colour, unicode: true };
    let colour = terminal::render(&record(), look(true));
    assert!(colour.contains("\x1b["), "{colour}");
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&without_colour(&colour)), trimmed(&terminal::render(&record(), look(false))));
}

#[test]
fn the_terminal_is_not_flooded() {
    let mut record = record();
    let finding = record.cases[1].findings[0].clone();
    record.cases[1].findings =
        (0..60).map(|n| Finding { object: format!("table t{n:03}"), ..finding.clone() }).collect();
    let text = terminal::render(&record, Look { width: 100, colour: false, unicode: true });
    assert_eq!(text.matches("── table t0").count(), 50);
    assert!(text.contains("... and 11 errors more, in the recorded run"), "{text}");
    assert!(text.contains("FINDINGS 61 errors, 1 warning, 1 note"), "{text}");
}

#[test]
fn junit_xml() {
    let xml = junit::render(&record()).unwrap();
    snapshots().bind(|| insta::assert_snapshot!("findings__junit", xml));
}

#[test]
fn html_page() {
    let page = html::render(&record()).unwrap();
    let (_, body) = page.split_once("<body>").unwrap();
    snapshots().bind(|| insta::assert_snapshot!("findings__html", body));
    assert!(!page.contains("://"), "the page names something outside of it");
}

#[test]
fn sarif_log() {
    let text = sarif::render(&record()).unwrap();
    let mut log: Value = serde_json::from_str(&text).unwrap();
    // The pages change more often than what is looked at here.
    for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array_mut().unwrap() {
        rule["help"]["text"] = "...".into();
        if rule["help"].get("markdown").is_some() {
            rule["help"]["markdown"] = "...".into();
        }
    }
    let text = serde_json::to_string_pretty(&log).unwrap();
    snapshots().bind(|| insta::assert_snapshot!("findings__sarif", text));
}

/// What the schema of SARIF 2.1.0 requires of the objects that are written: which properties there must be, which
/// there may be, and what the values are.
#[test]
fn sarif_has_the_structure_that_the_standard_requires() {
    let log: Value = serde_json::from_str(&sarif::render(&record()).unwrap()).unwrap();
    let object = |value: &Value, required: &[&str], optional: &[&str]| {
        let keys: HashSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        for key in required {
            assert!(keys.contains(key), "expected {key} in {value}");
        }
        for key in &keys {
            assert!(required.contains(key) || optional.contains(key), "{key} is no property of {value}");
        }
    };
    let text = |value: &Value| assert!(!value["text"].as_str().unwrap().is_empty(), "{value}");
    object(&log, &["version", "runs"], &["$schema"]);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    object(run, &["tool"], &["results", "invocations", "columnKind"]);
    assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
    let driver = &run["tool"]["driver"];
    object(driver, &["name"], &["version", "rules"]);
    let rules = driver["rules"].as_array().unwrap();
    let mut ids = HashSet::new();
    for rule in rules {
        object(rule, &["id"], &["name", "shortDescription", "fullDescription", "help", "helpUri"]);
        assert!(ids.insert(rule["id"].as_str().unwrap()), "{rule} is there twice");
        text(&rule["shortDescription"]);
        text(&rule["help"]);
    }
    for invocation in run["invocations"].as_array().unwrap() {
        let optional = ["commandLine", "startTimeUtc", "endTimeUtc", "toolExecutionNotifications"];
        object(invocation, &["executionSuccessful"], &optional);
        for notification in invocation["toolExecutionNotifications"].as_array().unwrap() {
            object(notification, &["message"], &["level"]);
            text(&notification["message"]);
        }
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 8, "six findings, and two cases that failed without one");
    let mut prints = HashSet::new();
    for result in results {
        let optional =
            ["ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "baselineState", "suppressions"];
        object(result, &["message"], &optional);
        text(&result["message"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(prints.insert(result["partialFingerprints"].to_string()), "two results have one fingerprint");
        for location in result.get("locations").and_then(Value::as_array).into_iter().flatten() {
            object(location, &[], &["physicalLocation", "logicalLocations"]);
            let Some(physical) = location.get("physicalLocation") else { continue };
            object(physical, &["artifactLocation"], &["region"]);
            assert!(physical["artifactLocation"]["uri"].as_str().unwrap().starts_with("db/"), "{physical}");
            let region = &physical["region"];
            object(region, &["startLine"], &["startColumn", "endLine", "endColumn", "snippet"]);
            let number = |key: &str| region[key].as_u64().unwrap();
            assert!(number("startLine") >= 1 && number("startColumn") >= 1, "{region}");
            let (start, end) = (("startLine", "startColumn"), ("endLine", "endColumn"));
            assert!((number(start.0), number(start.1)) <= (number(end.0), number(end.1)), "{region}");
        }
        for suppression in result["suppressions"].as_array().unwrap() {
            object(suppression, &["kind"], &["justification"]);
            assert!(["inSource", "external"].contains(&suppression["kind"].as_str().unwrap()));
        }
        if let Some(state) = result.get("baselineState") {
            assert!(["new", "unchanged", "updated", "absent"].contains(&state.as_str().unwrap()));
        }
    }
}
