//! From the start of a process to its first migrated database.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::machine::Watch;
use crate::peers::Peers;
use crate::random::Random;
use crate::report::{Report, Target};
use crate::{Plan, Result};

const PART: &str = "startup";

/// Until when a process must have cleaned up, so that it does not disturb the next.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(10);

/// The number of migrations, and what they make.
const SCHEMAS: [(&str, &str); 2] = [("1", "1 migration"), ("10", "10 migrations with 40 tables")];

pub(crate) fn measure(peers: &Peers, plan: Plan, _: &mut Random, report: &mut Report) -> Result<()> {
    let kept = tempfile::tempdir()?;
    // Once for nothing: it fills the cache.
    for (count, _) in SCHEMAS {
        first_database(peers, count, kept.path())?;
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); 2 * SCHEMAS.len()];
    for round in 1..=plan.rounds {
        for (index, (count, what)) in SCHEMAS.into_iter().enumerate() {
            let empty = tempfile::tempdir()?;
            let cold_ms = first_database(peers, count, empty.path())?;
            let warm_ms = first_database(peers, count, kept.path())?;
            println!("  {PART}, round {round}: {what}: {warm_ms:.0} ms, nothing cached {cold_ms:.0} ms");
            times[2 * index].push(warm_ms);
            times[2 * index + 1].push(cold_ms);
        }
    }
    let mut times = times.into_iter();
    for (_, what) in SCHEMAS {
        for (cache, most_ms) in [("golden directory cached", 150.0), ("nothing cached", 1500.0)] {
            let samples = times.next().unwrap_or_default();
            let what = format!("first database, {what}, {cache}");
            report.add(PART, what, "ms", samples, Some(Target::AtMost(most_ms)));
        }
    }
    Ok(())
}

/// Runs one test, and returns after how many milliseconds it had its database.
fn first_database(peers: &Peers, migrations: &str, cache: &std::path::Path) -> Result<f64> {
    let watch = Watch::begin()?;
    let files = tempfile::tempdir()?;
    let leases = files.path().join("leases");
    let mut command = peers.test("acquire", 1)?;
    watch.mark(&mut command);
    command.env("PROOFMARK_CACHE_DIR", cache).env("DATABASE_PEERS_MIGRATIONS", migrations);
    command.env("DATABASE_PEERS_LEASES", &leases).stderr(Stdio::inherit());
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let status = command.status()?;
    if !status.success() {
        return Err(format!("expected a test that passes, found {status}").into());
    }
    let leases = crate::collisions::read(&leases)?;
    let [lease] = leases.as_slice() else {
        return Err(format!("expected the record of one lease, found {}", leases.len()).into());
    };
    let ready = Duration::from_nanos(lease.begin_ns);
    let ended = Instant::now();
    while !watch.leftovers(None)?.is_empty() && ended.elapsed() < SETTLE_TIME_MAX {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(ready.saturating_sub(started).as_secs_f64() * 1000.0)
}
