//! Kills at random moments, and looks at what is left a second later.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::collisions;
use crate::machine::{Process, Watch, is_postgres, kill};
use crate::peers::{Peers, Run};
use crate::random::Random;
use crate::report::{Report, Target};
use crate::server::PeerServer;
use crate::{Plan, Result};

const PART: &str = "leftovers";

/// After this much time nothing may be left.
const GRACE: Duration = Duration::from_secs(1);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Tests in a run.
const TESTS: u32 = 10;

/// How long every eighth test's session is busy: much longer than a session of a killed test may live on.
const HOLD_MS: &str = "2500";

/// Until when somebody is killed: a run lasts longer.
const MOMENT_MAX: Duration = Duration::from_millis(2500);

/// How long a run may go on after somebody in it was killed.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);

/// How many of the things that are left are shown.
const SHOWN_MAX: usize = 5;

/// How often a moment is drawn again as the victim did not live any more.
const DRAWS_MAX: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// nextest.
    Runner,
    /// A test that runs.
    Test,
    /// What owns the server, or the databases on a server of somebody else.
    Supervisor,
}

/// Who is killed, where, and whether on a server of somebody else.
const KILLS: [(Victim, &str, bool); 6] = [
    (Victim::Runner, "the runner", false),
    (Victim::Test, "a test", false),
    (Victim::Supervisor, "the supervisor", false),
    (Victim::Runner, "the runner, server at a URL", true),
    (Victim::Test, "a test, server at a URL", true),
    (Victim::Supervisor, "the supervisor, server at a URL", true),
];

/// What was found after a kill.
#[derive(Debug, Default)]
struct Findings {
    left: Vec<String>,
    /// Of a killed test, how long sessions lived; of a killed runner, all that it had.
    gone_after: Option<Duration>,
}

pub(crate) fn verify(peers: &Peers, plan: Plan, random: &mut Random, report: &mut Report) -> Result<()> {
    let server = PeerServer::start()?;
    for (victim, what, is_external) in KILLS {
        let server = is_external.then_some(&server);
        let (mut left, mut gone_after_ms) = (Vec::new(), Vec::new());
        for number in 1..=plan.moments {
            let Some((moment, findings)) = kill_once(peers, victim, server, random)? else {
                println!("  {PART}, {what}: there is none");
                break;
            };
            let Findings { left: found, gone_after } = findings;
            left.push(f64::from(u32::try_from(found.len())?));
            gone_after_ms.extend(gone_after.map(|gone_after| gone_after.as_secs_f64() * 1000.0));
            println!("  {PART}, {what}, {number} at {} ms: {} left", moment.as_millis(), found.len());
            if !found.is_empty() {
                let (count, first) = (found.len(), found[..found.len().min(SHOWN_MAX)].join(", "));
                report
                    .defect(format!("{PART}, {what} killed at {} ms: {count} left: {first}", moment.as_millis()));
            }
        }
        report.add(PART, format!("left 1 s after kill -9 of {what}"), "", left, Some(Target::None));
        let what = match victim {
            Victim::Test => format!("session gone after kill -9 of {what}"),
            Victim::Runner | Victim::Supervisor => format!("all gone after kill -9 of {what}"),
        };
        report.add(PART, what, "ms", gone_after_ms, None);
    }
    Ok(())
}

/// Kills once; none if there never was a victim.
fn kill_once(
    peers: &Peers,
    victim: Victim,
    server: Option<&PeerServer>,
    random: &mut Random,
) -> Result<Option<(Duration, Findings)>> {
    for _ in 0..DRAWS_MAX {
        let moment = random.moment(MOMENT_MAX);
        let watch = Watch::begin()?;
        let files = tempfile::tempdir()?;
        let leases = files.path().join("leases");
        let mut command = peers.run("acquire", TESTS)?;
        watch.mark(&mut command);
        command.env("DATABASE_PEERS_LEASES", &leases).env("DATABASE_PEERS_HOLD_MS", HOLD_MS);
        if let Some(server) = server {
            command.env("PROOFMARK_SERVER", server.url()?);
        }
        let mut run = Run::start(command, files.path())?;
        sleep(moment);
        let Some(killed) = find_and_kill(victim, &mut run, &watch, peers, random)? else {
            settle(watch, server)?;
            continue;
        };
        let at = Instant::now();
        let mut findings = match victim {
            Victim::Runner => look(&watch, server, at)?,
            Victim::Test => {
                let gone_after = sessions_gone_after(&leases, killed, at)?;
                let mut findings = after_the_run(run, &watch, server, Some(TESTS - 1))?;
                match gone_after {
                    Ok(gone_after) => findings.gone_after = gone_after,
                    Err(left) => findings.left.push(left),
                }
                findings
            }
            Victim::Supervisor => after_the_run(run, &watch, server, None)?,
        };
        if !findings.left.is_empty() {
            findings.left.sort();
            watch.clean(server)?;
        }
        return Ok(Some((moment, findings)));
    }
    Ok(None)
}

/// Kills the victim as soon as there is one; none if the run ended before.
fn find_and_kill(
    victim: Victim,
    run: &mut Run,
    watch: &Watch,
    peers: &Peers,
    random: &mut Random,
) -> Result<Option<u32>> {
    let program = peers.binary("acquire")?;
    let program = program.to_string_lossy();
    while !run.has_ended()? {
        let runner = run.id();
        let is_victim = |process: &Process| match victim {
            Victim::Runner => false,
            Victim::Test => {
                process.parent == runner
                    && process.arguments.starts_with(&*program)
                    // Not one that is asked what there is.
                    && process.arguments.contains("--exact")
                    && process.has("NEXTEST_EXECUTION_MODE", None)
                    && !process.has("PROOFMARK_ROLE", None)
            }
            Victim::Supervisor => process.has("PROOFMARK_ROLE", Some("supervisor")),
        };
        if victim == Victim::Runner {
            run.kill()?;
            return Ok(Some(runner));
        }
        let processes = watch.marked()?;
        let victims: Vec<_> = processes.iter().filter(|process| is_victim(process)).collect();
        if let Some(process) = random.pick(&victims) {
            kill(process.id)?;
            return Ok(Some(process.id));
        }
    }
    Ok(None)
}

/// How long after its death the sessions were gone that a test is known to have had; an error in words if they are
/// not in time.
fn sessions_gone_after(
    leases: &Path,
    process: u32,
    at: Instant,
) -> Result<std::result::Result<Option<Duration>, String>> {
    let mut backends = collisions::read(leases)?;
    backends.retain(|lease| lease.process == process);
    loop {
        let looked = at.elapsed();
        let Some(left) = backends.iter().find(|lease| is_postgres(lease.backend)) else {
            return Ok(Ok((!backends.is_empty()).then_some(looked)));
        };
        if looked > GRACE {
            return Ok(Err(format!("the session {} of test process {process}", left.backend)));
        }
        sleep(POLL_INTERVAL);
    }
}

/// Lets the run end, which must be as it would be without the one that was killed.
fn after_the_run(run: Run, watch: &Watch, server: Option<&PeerServer>, passed: Option<u32>) -> Result<Findings> {
    let ended = run.wait_for(RUN_TIME_MAX)?;
    let mut findings = look(watch, server, Instant::now())?;
    match (ended, passed) {
        (None, _) => findings.left.push(format!("the run, for more than {RUN_TIME_MAX:?}")),
        (Some(ended), Some(passed)) => {
            // A test that is killed when it has done its work may have passed.
            if ended.passed < passed || ended.passed + ended.failed != TESTS {
                let (found, failed) = (ended.passed, ended.failed);
                findings
                    .left
                    .push(format!("expected {passed} tests passed all the same, found {found}, {failed} failed"));
            }
        }
        (Some(_), None) => {}
    }
    Ok(findings)
}

/// Looks until the grace is over: something may come after nothing was left.
fn look(watch: &Watch, server: Option<&PeerServer>, at: Instant) -> Result<Findings> {
    let mut gone_after = None;
    loop {
        let looked = at.elapsed();
        let left = watch.leftovers(server)?;
        if !left.is_empty() {
            gone_after = None;
        } else if gone_after.is_none() {
            gone_after = Some(looked);
        }
        if looked >= GRACE {
            return Ok(Findings { left, gone_after });
        }
        sleep(POLL_INTERVAL);
    }
}

/// Waits until a run that ended by itself has cleaned up, or cleans up.
fn settle(watch: Watch, server: Option<&PeerServer>) -> Result<()> {
    if look(&watch, server, Instant::now())?.left.is_empty() { Ok(()) } else { watch.clean(server) }
}
