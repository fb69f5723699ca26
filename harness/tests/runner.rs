//! The runner, with cases that do all that a case can do.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test relies on may fail loudly"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proofmark_harness::case::{Capability, Case, CaseError, CaseResult};
use proofmark_harness::context::CaseContext;
use proofmark_harness::environment::Environment;
use proofmark_harness::event::{LatencyRecord, Outcome, RunEvent, RunRecord, Signal};
use proofmark_harness::exit::Exit;
use proofmark_harness::known::Known;
use proofmark_harness::runner::{Options, run_all, run_case};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::session::Session;
use proofmark_harness::suite::{Batch, PlannedCase, Suite};
use proofmark_harness::{case, check, check_eq};
use tokio::sync::{Barrier, mpsc, watch};

/// No test waits longer than this; none is meant to come near it.
const GUARD: Duration = Duration::from_secs(120);

/// What the cases tell the test.
#[derive(Default)]
struct Probe {
    running: AtomicUsize,
    most_running: AtomicUsize,
    dropped: AtomicBool,
    let_go: AtomicBool,
    barrier: Option<Barrier>,
}

/// The subject of every case here.
#[derive(Clone)]
struct Subject {
    probe: Arc<Probe>,
    context: CaseContext,
}

const CASES: &[Case<Subject>] = &[
    case!(passes, "passes"),
    case!(fails, "fails"),
    case!(fails_with_detail, "fails and says more"),
    case!(panics, "panics"),
    case!(panics_beyond_repair, "panics with a value that panics when it is dropped"),
    case!(is_broken, "finds the harness broken"),
    case!(hangs, "never ends, but can be given up"),
    case!(spins, "never ends, and never lets go"),
    case!(is_skipped, "needs what the subject lacks", requires: [Capability::DownScripts, Capability::Workers]),
    case!(measures, "reports a latency"),
    case!(meets_others, "waits until as many as the barrier asks for run at once"),
    case!(runs_alone, "notes how many run at once"),
    case!(says_too_much, "fails with a password and a very long text"),
];

async fn passes(subject: Subject) -> CaseResult {
    check_eq!(subject.context.seed(), 7, "the seed");
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(())
}

async fn fails(_: Subject) -> CaseResult {
    check!(1 > 2, "one: expected more than 2, found {}", 1);
    Ok(())
}

async fn fails_with_detail(_: Subject) -> CaseResult {
    Err(CaseError::failed_with("expected this, found that", "-this\n+that"))
}

async fn panics(_: Subject) -> CaseResult {
    tokio::time::sleep(Duration::from_millis(1)).await;
    panic!("out of {}", "cheese");
}

async fn panics_beyond_repair(_: Subject) -> CaseResult {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    std::panic::panic_any(Bomb);
}

async fn is_broken(_: Subject) -> CaseResult {
    Err(CaseError::harness("no server"))
}

async fn hangs(subject: Subject) -> CaseResult {
    struct Told(Arc<Probe>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.dropped.store(true, Ordering::SeqCst);
        }
    }
    let _told = Told(subject.probe);
    std::future::pending().await
}

async fn spins(subject: Subject) -> CaseResult {
    let begun = Instant::now();
    while !subject.probe.let_go.load(Ordering::SeqCst) && begun.elapsed() < GUARD {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

async fn is_skipped(_: Subject) -> CaseResult {
    unreachable!("its requirements are not met")
}

async fn measures(subject: Subject) -> CaseResult {
    subject.context.measured(LatencyRecord {
        id: subject.context.id().clone(),
        workload: "w".to_owned(),
        model: "m".to_owned(),
        batch_rows: 1,
        workers: 1,
        iterations: 1,
        p50_us: 1.0,
        p95_us: 1.0,
        p99_us: 1.0,
        max_us: 1.0,
        rows_per_second: 1.0,
    });
    Ok(())
}

async fn meets_others(subject: Subject) -> CaseResult {
    let now = subject.probe.running.fetch_add(1, Ordering::SeqCst) + 1;
    subject.probe.most_running.fetch_max(now, Ordering::SeqCst);
    subject.probe.barrier.as_ref().expect("a barrier").wait().await;
    subject.probe.running.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

async fn runs_alone(subject: Subject) -> CaseResult {
    let now = subject.probe.running.fetch_add(1, Ordering::SeqCst) + 1;
    subject.probe.most_running.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2)).await;
    subject.probe.running.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

async fn says_too_much(_: Subject) -> CaseResult {
    Err(CaseError::failed(format!("cannot reach postgres://me:secret@host/db {}", "x".repeat(1_000_000))))
}

struct Fake;

impl Suite for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        CASES.iter().map(|case| plan(case, "subject", Batch::Compute, &Arc::default())).collect()
    }
}

fn plan(case: &'static Case<Subject>, subject: &str, batch: Batch, probe: &Arc<Probe>) -> PlannedCase {
    let probe = Arc::clone(probe);
    PlannedCase::new(&Fake, subject, case, batch, &[Capability::DownScripts], move |context| {
        let subject = Subject { probe: Arc::clone(&probe), context };
        Box::pin(async move { Ok(subject) })
    })
}

fn named(name: &str, subject: &str, batch: Batch, probe: &Arc<Probe>) -> PlannedCase {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of this name");
    plan(case, subject, batch, probe)
}

fn options() -> Options {
    Options { seed: 7, concurrency: 4, time_limit: GUARD, keep: false }
}

/// Runs cases to their end and returns what happened.
async fn events(cases: Vec<PlannedCase>, options: Options) -> Vec<RunEvent> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopping) = watch::channel(None);
    let environment = Arc::new(Environment::new(ServerChoice::Auto));
    tokio::time::timeout(GUARD, run_all(&cases, &environment, &options, &sender, &stopping)).await.unwrap();
    drop(sender);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    events
}

fn outcomes(events: &[RunEvent]) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for event in events {
        if let RunEvent::CaseFinished(record) = event {
            let name = record.id.case.clone();
            assert_eq!(outcomes.insert(name, record.outcome.clone()), None, "reported twice: {}", record.id);
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_case_does_is_an_outcome() {
    let mut cases = Fake.plan();
    cases.retain(|case| !["hangs", "spins", "meets_others"].contains(&case.id.case.as_str()));
    let outcomes = outcomes(&events(cases, options()).await);
    assert_eq!(outcomes["passes"], Outcome::Passed);
    assert_eq!(
        outcomes["fails"],
        Outcome::Failed { message: "one: expected more than 2, found 1".to_owned(), detail: None }
    );
    assert_eq!(
        outcomes["fails_with_detail"],
        Outcome::Failed {
            message: "expected this, found that".to_owned(),
            detail: Some("-this\n+that".to_owned())
        }
    );
    assert_eq!(outcomes["is_broken"], Outcome::Errored { message: "no server".to_owned() });
    assert_eq!(outcomes["is_skipped"], Outcome::Skipped { reason: Capability::Workers.missing().to_owned() });
    let Outcome::Panicked { message } = &outcomes["panics"] else { panic!("{:?}", outcomes["panics"]) };
    assert!(message.contains("tests/runner.rs:") && message.ends_with(": out of cheese"), "{message}");
    let died = &outcomes["panics_beyond_repair"];
    assert!(matches!(died, Outcome::Errored { message } if message.contains("thread died")), "{died:?}");
    assert_eq!(outcomes.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_never_ends_exceeds_its_limit() {
    let probe = Arc::default();
    // More cases that hold their thread than the runtime has threads: the others still run.
    let mut cases = vec![named("hangs", "subject", Batch::Compute, &probe)];
    for subject in ["one", "two", "three"] {
        cases.push(named("spins", subject, Batch::Compute, &probe));
    }
    let time_limit = Duration::from_millis(100);
    let all = events(cases, Options { time_limit, ..options() }).await;
    probe.let_go.store(true, Ordering::SeqCst);
    let mut ended = 0;
    for event in &all {
        if let RunEvent::CaseFinished(record) = event {
            assert_eq!(record.outcome, Outcome::TimedOut { limit_ms: 100 }, "{}", record.id);
            ended += 1;
        }
    }
    assert_eq!(ended, 4);
    assert!(probe.dropped.load(Ordering::SeqCst), "the case that lets go was not given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_run_at_once_as_allowed() {
    let probe = Arc::new(Probe { barrier: Some(Barrier::new(3)), ..Probe::default() });
    let cases = ["a", "b", "c", "d", "e", "f"].map(|name| named("meets_others", name, Batch::Compute, &probe));
    events(cases.to_vec(), Options { concurrency: 3, ..options() }).await;
    assert_eq!(probe.most_running.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latencies_are_measured_one_at_a_time() {
    let probe = Arc::default();
    let cases = ["a", "b", "c", "d"].map(|name| named("runs_alone", name, Batch::Latency, &probe));
    events(cases.to_vec(), options()).await;
    assert_eq!(probe.most_running.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_begins_when_the_one_before_has_ended() {
    let probe = Arc::default();
    let cases = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .zip([Batch::Latency, Batch::Compute, Batch::Database].into_iter().cycle())
        .map(|(name, batch)| named("runs_alone", name, batch, &probe))
        .collect();
    let mut record = Vec::new();
    let mut running = 0;
    for event in events(cases, options()).await {
        match event {
            RunEvent::CaseStarted(_) => running += 1,
            RunEvent::CaseFinished(case) => {
                running -= 1;
                record.push((case.batch, running));
            }
            _ => {}
        }
    }
    let batches: Vec<Batch> = record.iter().map(|(batch, _)| *batch).collect();
    assert!(batches.is_sorted(), "{batches:?}");
    // Nothing else runs when the last of a batch ends.
    assert_eq!([record[1].1, record[3].1, record[5].1], [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_measured_is_told_before_the_case_has_ended() {
    let events = events(vec![named("measures", "subject", Batch::Latency, &Arc::default())], options()).await;
    let [RunEvent::CaseStarted(_), RunEvent::Measured(latency), RunEvent::CaseFinished(_)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(latency.id.to_string(), "fake::subject::measures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_case_says_is_cut_and_shows_no_password() {
    let case = named("says_too_much", "subject", Batch::Compute, &Arc::default());
    let environment = Arc::new(Environment::new(ServerChoice::Auto));
    let (record, _) = run_case(&case, &environment, &options()).await;
    let Outcome::Failed { message, .. } = record.outcome else { panic!("{:?}", record.outcome) };
    assert!(message.starts_with("cannot reach postgres://me:***@host/db xxx"), "{}", &message[..100]);
    assert!(message.len() < 100_000 && message.ends_with("more bytes)"), "{}", message.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_gives_up_what_runs_and_begins_nothing() {
    let probe = Arc::default();
    let mut cases = vec![
        named("passes", "subject", Batch::Database, &probe),
        named("hangs", "subject", Batch::Compute, &probe),
        named("spins", "subject", Batch::Compute, &probe),
        named("is_skipped", "subject", Batch::Latency, &probe),
        named("fails", "subject", Batch::Latency, &probe),
    ];
    // The one case that would need a server is run without one here.
    cases[0].batch = Batch::Compute;
    let planned = cases.len();
    let options = Options { concurrency: 3, ..options() };
    let session = Session {
        command: "proofmark run".to_owned(),
        directory: None,
        cases,
        server: ServerChoice::Auto,
        options,
    };
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (stop, stopping) = watch::channel(None);
    let run = tokio::spawn(async move { session.run(sender, stopping).await.map(|()| session.header()) });
    let mut events = Vec::new();
    let mut begun = 0;
    while let Some(event) = tokio::time::timeout(GUARD, receiver.recv()).await.unwrap() {
        begun += usize::from(matches!(event, RunEvent::CaseStarted(_)));
        events.push(event);
        let passed = events
            .iter()
            .any(|event| matches!(event, RunEvent::CaseFinished(record) if record.outcome == Outcome::Passed));
        if begun == 3 && passed {
            stop.send_replace(Some(Signal::Interrupt));
        }
    }
    probe.let_go.store(true, Ordering::SeqCst);
    let mut record = RunRecord::new(run.await.unwrap().unwrap());
    events.iter().for_each(|event| record.apply(event));

    assert!(matches!(events.first(), Some(RunEvent::Started(header)) if header.planned == planned));
    assert!(matches!(events.last(), Some(RunEvent::Finished(_))));
    assert_eq!(record.footer.interrupted, Some(Signal::Interrupt));
    let outcomes = outcomes(&events);
    assert_eq!(outcomes.len(), planned);
    let interrupted = Outcome::Skipped { reason: "the run was interrupted".to_owned() };
    for (name, expected) in [
        ("passes", &Outcome::Passed),
        ("hangs", &interrupted),
        ("spins", &interrupted),
        ("is_skipped", &Outcome::Skipped { reason: Capability::Workers.missing().to_owned() }),
        ("fails", &interrupted),
    ] {
        assert_eq!(&outcomes[name], expected, "{name}");
    }
    assert_eq!(begun, 3, "a case began after the interruption");
    let deadline = Instant::now() + GUARD;
    while !probe.dropped.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "the case under way was not given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_failure_is_run_and_told_as_such() {
    let listed = |name: &str, says: &str| {
        let known = Known {
            case: format!("fake::subject::{name}"),
            says: says.to_owned(),
            reason: "upstream is broken".to_owned(),
            upstream: "https://example.org/1".to_owned(),
        };
        let mut planned = named(name, "subject", Batch::Compute, &Arc::default());
        planned.known = Some(known);
        planned
    };
    let cases = vec![
        listed("fails", "more than 2"),
        listed("passes", "more than 2"),
        listed("fails_with_detail", "nonsense"),
    ];
    let mut record = RunRecord::new(
        Session {
            command: String::new(),
            directory: None,
            cases: Vec::new(),
            server: ServerChoice::Auto,
            options: options(),
        }
        .header(),
    );
    events(cases, options()).await.iter().for_each(|event| record.apply(event));
    let case = |name: &str| record.cases.iter().find(|case| case.id.case == name).unwrap();
    let known = case("fails");
    assert!(matches!(known.outcome, Outcome::Failed { .. }), "the outcome stays honest: {known:?}");
    assert_eq!(known.known.as_ref().unwrap().to_string(), "upstream is broken (https://example.org/1)");
    assert!(!known.is_failure());
    let stale = case("passes");
    assert!(stale.is_failure() && stale.outcome.explanation().contains("remove it from"), "{stale:?}");
    let other = case("fails_with_detail");
    assert!(
        other.is_failure() && other.outcome.explanation().contains("found another: expected this"),
        "{other:?}"
    );
    assert_eq!(Exit::of(&record), Exit::Failed);
    record.cases.retain(|case| case.known.is_some());
    assert_eq!(Exit::of(&record), Exit::Passed);
}
