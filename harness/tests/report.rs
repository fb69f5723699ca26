//! The reports of one hand-made run, against their snapshots; and what is refused as a recorded run.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

mod reports;

use std::fs;

use proofmark_harness::event::{
    CaseRecord, LatencyRecord, MachineRecord, Outcome, RunFooter, RunHeader, RunRecord, ServerRecord, Signal,
};
use proofmark_harness::report::terminal::Look;
use proofmark_harness::report::{html, json, junit, terminal};
use proofmark_harness::suite::{Batch, CaseId};
use reports::{snapshots, without_colour};

fn id(name: &str) -> CaseId {
    let [suite, subject, case]: [&str; 3] = name.split("::").collect::<Vec<_>>().try_into().unwrap();
    CaseId { suite: suite.to_owned(), subject: subject.to_owned(), case: case.to_owned() }
}

fn case(name: &str, checks: &str, batch: Batch, duration_ms: u64, outcome: Outcome) -> CaseRecord {
    CaseRecord {
        id: id(name),
        checks: checks.to_owned(),
        batch,
        outcome,
        known: None,
        duration_ms,
        kept: Vec::new(),
        findings: Vec::new(),
    }
}

fn latency(batch_rows: usize, workers: usize, p50_us: f64, rows_per_second: f64) -> LatencyRecord {
    LatencyRecord {
        id: id(&format!("latency::diabetes::rows_{batch_rows}_workers_{workers}")),
        workload: format!("diabetes-rows-{batch_rows}-workers-{workers}"),
        model: "xgboost, 100 trees of depth 6".to_owned(),
        batch_rows,
        workers,
        iterations: 1_000,
        p50_us,
        p95_us: p50_us * 1.25,
        p99_us: p50_us * 2.0,
        max_us: p50_us * 4.0,
        rows_per_second,
    }
}

/// A run in which everything happened that can happen.
fn record() -> RunRecord {
    let mut record = RunRecord::new(RunHeader {
        proofmark_version: "0.1.0".to_owned(),
        started_at: "2025-02-28T09:30:00Z".parse().unwrap(),
        command: "proofmark run".to_owned(),
        directory: None,
        seed: 2_890_417,
        planned: 14,
        machine: MachineRecord {
            platform: "linux x86_64".to_owned(),
            processor: "Example CPU @ 2.50GHz".to_owned(),
            parallelism: 2,
        },
    });
    record.server = Some(ServerRecord {
        kind: "local".to_owned(),
        version: "15.14".to_owned(),
        origin: "/usr/lib/postgresql/15/bin, the newest on this machine".to_owned(),
        ready_ms: 1_140,
    });
    let skipped = |reason: &str| Outcome::Skipped { reason: reason.to_owned() };
    record.cases = vec![
        case("migrations::reference::applies_to_an_empty_server", "applies to an empty server", Batch::Database, 412, Outcome::Passed),
        case("migrations::reference::stepwise_equals_all_at_once", "one by one gives the same schema as all at once", Batch::Database, 1_004, Outcome::Passed),
        case("migrations::reference::up_down_up", "down and up again restores the catalog", Batch::Database, 830, Outcome::Passed),
        case("repositories::memory::finds_by_tag", "a service is found by its tag", Batch::Compute, 1, Outcome::Passed),
        case(
            "repositories::memory::pages_are_stable",
            "keyset pages neither repeat nor skip a row",
            Batch::Compute,
            3,
            Outcome::Failed {
                message: "rows on all pages: expected 12, found 11".to_owned(),
                detail: Some("-  fraud-detector:7f3a\n+  (nothing)\n   churn:9c01".to_owned()),
            },
        ),
        case("repositories::memory::matches_the_oracle", "any sequence of calls agrees with the oracle", Batch::Compute, 0, skipped("the subject is itself the oracle of this case")),
        case("repositories::postgres::finds_by_tag", "a service is found by its tag", Batch::Database, 88, Outcome::Passed),
        case(
            "repositories::postgres::pages_are_stable",
            "keyset pages neither repeat nor skip a row",
            Batch::Database,
            93,
            Outcome::Errored { message: "the database server is gone; the case ended with: connection reset".to_owned() },
        ),
        case("repositories::postgres::matches_the_oracle", "any sequence of calls agrees with the oracle", Batch::Database, 2_210, Outcome::Passed),
        case("explanations::breast_cancer::local_accuracy", "contributions and base value add up to the output", Batch::Compute, 61_234, Outcome::Passed),
        case(
            "explanations::breast_cancer::not_a_number",
            "a row of NaN follows the missing-value directions",
            Batch::Compute,
            12,
            Outcome::Panicked {
                message: "expected no panic, found one at src/explain/tree.rs:81: index <out> & \"beyond\" \u{1b}[31mbounds".to_owned(),
            },
        ),
        case("explanations::breast_cancer::deadline", "an expired deadline is reported by row", Batch::Compute, 2_000, Outcome::TimedOut { limit_ms: 2_000 }),
        case("latency::diabetes::rows_1_workers_1", "explains batches and measures how long it takes", Batch::Latency, 512, Outcome::Passed),
        case("latency::diabetes::rows_256_workers_2", "explains batches and measures how long it takes", Batch::Latency, 0, skipped("the run was interrupted")),
    ];
    record.latencies =
        vec![latency(1, 1, 41.2, 24_271.8), latency(32, 1, 1_310.0, 24_427.4), latency(256, 2, 5_402.0, 47_389.9)];
    record.footer = RunFooter { duration_ms: 68_450, interrupted: None };
    record
}

#[test]
fn terminal_in_80_columns() {
    let text = terminal::render(&record(), Look { width: 80, colour: false, unicode: true });
    snapshots().bind(|| insta::assert_snapshot!("report__terminal_80", text));
}

#[test]
fn terminal_in_120_columns() {
    let text = terminal::render(&record(), Look { width: 120, colour: false, unicode: true });
    snapshots().bind(|| insta::assert_snapshot!("report__terminal_120", text));
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let plain = terminal::render(&record(), Look { width: 80, colour: false, unicode: true });
    let colour = terminal::render(&record(), Look { width: 80, colour: true, unicode: true });
    assert_eq!(without_colour(&colour), plain);
}

#[test]
fn an_empty_run_says_so() {
    let mut record = record();
    record.cases.clear();
    record.latencies.clear();
    let text = terminal::render(&record, Look { width: 80, colour: false, unicode: true });
    assert!(text.contains("nothing ran"), "{text}");
    assert!(html::render(&record).unwrap().contains("Nothing ran"));
}

#[test]
fn junit_xml() {
    let xml = junit::render(&record()).unwrap();
    snapshots().bind(|| insta::assert_snapshot!("report__junit", xml));
}

#[test]
fn html_page() {
    let page = html::render(&record()).unwrap();
    // The style is looked at, not compared.
    let (_, body) = page.split_once("<body>").unwrap();
    snapshots().bind(|| insta::assert_snapshot!("report__html", body));
}

#[test]
fn every_link_of_the_page_leads_somewhere() {
    let page = html::render(&record()).unwrap();
    let links: Vec<&str> = page.split("href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        let anchor = link.strip_prefix('#').expect("a link within the page");
        assert_eq!(page.matches(&format!("id=\"{anchor}\"")).count(), 1, "{anchor}");
    }
    assert!(!page.contains("://"), "the page names something outside of it");
}

#[test]
fn json_reads_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.json");
    fs::write(&path, json::to_string(&record()).unwrap()).unwrap();
    assert_eq!(json::read(&path).unwrap(), record());
}

#[test]
fn what_is_not_a_recorded_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.json");
    let good = json::to_string(&record()).unwrap();
    for (text, expected) in [
        (String::new(), "line 1 column 0"),
        (good[..good.len() / 2].to_owned(), "line "),
        ("[]".to_owned(), "line 1 column 2"),
        ("{}".to_owned(), "missing field `schema_version`"),
        ("{\"schema_version\": 1}".to_owned(), "missing field"),
        (good.replace("\"schema_version\": 1", "\"schema_version\": 2"), "found version 2"),
        (good.replace("\"timed_out\"", "\"exploded\""), "unknown variant `exploded`"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = json::read(&path).unwrap_err();
        let message = proofmark_harness::error_chain(&error);
        assert!(message.contains(expected), "expected {expected:?}, found {message:?}");
    }
    assert!(matches!(json::read(&directory.path().join("absent")), Err(json::ReadError::Io { .. })));
    assert!(matches!(json::read(directory.path()), Err(json::ReadError::Io { .. })));
}

#[test]
fn an_interrupted_run_has_not_passed() {
    let mut record = record();
    record.cases.retain(|case| matches!(case.outcome, Outcome::Passed | Outcome::Skipped { .. }));
    record.footer.interrupted = Some(Signal::Interrupt);
    let look = Look { width: 120, colour: false, unicode: true };
    let last = terminal::summary(&record, look);
    assert!(last.starts_with('-') && last.contains("interrupted by SIGINT"), "{last}");
    assert!(html::render(&record).unwrap().contains("The run was interrupted"));
    record.footer.interrupted = None;
    assert!(terminal::summary(&record, look).starts_with('\u{2713}'));
}
