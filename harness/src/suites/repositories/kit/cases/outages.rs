//! What happens to the server, and what callers do: sessions terminated, statements cancelled, a pool exhausted, a server
//! read-only, restarted, full, and futures dropped wherever they wait.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::subject::{Store, Subject, refused};
use super::super::{Database, RefusalKind};
use super::stage::{Expected, Stage, Work, is_outage, judge};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::{Admin, Session, SmallDisk, count_polls, poll_times};
use crate::server::Crash;

/// Far more than a call may take that waits for a connection as long as it was told to.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(5);

/// How long such a call waits, and how many connections there are.
const ACQUIRE_TIME: Duration = Duration::from_millis(200);
const CONNECTIONS: u32 = 2;

/// How many of the first and of the last waits of a future are tried, one by one.
const EDGE: u32 = 8;

/// The size of the small disk in octets, and the most records that fit in what is left of its pages.
const DISK_OCTETS: u64 = 48 << 20;
const RECORDS_MAX: u32 = 5_000;

pub(super) async fn terminated_sessions_are_replaced(subject: Subject) -> CaseResult {
    let mut stage = Stage::new(&subject, Work::Insert).await?;
    for round in 0..3 {
        // As many connections as there may be.
        join_all((0..4).map(|_| stage.store.insert_many(1))).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        stage.remember().await?;
        stage.admin.terminate_all().await?;
        stage.expect_health(&format!("all sessions were terminated (round {round})")).await?;
    }
    Ok(())
}

pub(super) async fn a_cancelled_statement_is_told(subject: Subject) -> CaseResult {
    let mut stage = Stage::new(&subject, Work::Insert).await?;
    let what = "insert that was cancelled while it waited for a lock";
    for _ in 0..3 {
        let task = stage.task(Work::Insert).await?;
        let before = stage.admin.rows().await?;
        stage.admin.lock().await?;
        let waiting = {
            let (store, task) = (stage.store.clone(), task.clone());
            tokio::spawn(async move { task.run(&store).await })
        };
        let waits = stage.admin.wait_for(|sessions| sessions.iter().any(|session| session.waits)).await?;
        stage.admin.cancel_all().await?;
        // One that tries again waits again, and is let through.
        stage.admin.wait_for(|sessions| !sessions.iter().any(|session| session.waits)).await?;
        stage.admin.unlock().await?;
        let result = waiting.await.map_err(CaseError::harness)?;
        check!(
            waits.is_some(),
            "{what}: expected a session that waits, found none (the call ended with {result:?})"
        );
        stage.admin.expect_rest(what).await?;
        let done = stage.is_done(&task, &before, what).await?;
        judge(&result, done, Expected::AsTold, what)?;
        // The connection is as good as before: no attempt may fail.
        stage.remember().await?;
        stage.expect_known(what).await?;
    }
    Ok(())
}

pub(super) async fn an_exhausted_pool_refuses_in_time(subject: Subject) -> CaseResult {
    let lease = subject.database().await?;
    let mut admin = Admin::connect(lease.url()).await?;
    let database =
        Database { connections_max: CONNECTIONS, acquire_time: ACQUIRE_TIME, ..Database::new(lease.url()) };
    let store = subject.opened(database, Some(lease)).await?;
    let record = store.sample();
    let key = store.insert(&record).await?;
    admin.lock().await?;
    let blocked: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (store, record) = (store.clone(), store.sample());
            tokio::spawn(async move { store.repository.insert(&record).await })
        })
        .collect();
    let wanted = usize::try_from(CONNECTIONS).unwrap_or(usize::MAX);
    let count = |sessions: &[Session]| sessions.iter().filter(|session| session.waits).count();
    let waits = admin.wait_for(|sessions| count(sessions) >= wanted).await?;
    let refusal = timeout(REFUSAL_TIME_MAX, store.repository.get(&key)).await;
    let sessions = admin.sessions().await?.len();
    admin.unlock().await?;
    let ended = join_all(blocked).await;
    check!(waits.is_some(), "expected {CONNECTIONS} sessions that wait, found fewer");
    check!(
        sessions <= wanted,
        "with a limit of {CONNECTIONS} connections: expected as many sessions at most, found {sessions}"
    );
    match refusal {
        Ok(result) => refused(result, &[RefusalKind::Unavailable], "get while all connections are in use")?,
        Err(_) => {
            return Err(CaseError::failed(format!(
                "get while all connections are in use, with {ACQUIRE_TIME:?} to wait for one: expected a refusal, found \
                 none after {REFUSAL_TIME_MAX:?}"
            )));
        }
    }
    for result in ended {
        let result = result.map_err(CaseError::harness)?;
        check!(result.is_ok(), "insert that had a connection: expected success after the lock, found: {result:?}");
    }
    // And all connections are there again.
    for _ in 0..3 {
        let reads = join_all((0..CONNECTIONS).map(|_| store.expect(&key, &record, "a record after it"))).await;
        reads.into_iter().collect::<CaseResult>()?;
    }
    admin.expect_rest("after the pool was exhausted").await
}

pub(super) async fn a_read_only_server_is_told(subject: Subject) -> CaseResult {
    let mut stage = Stage::new(&subject, Work::Insert).await?;
    stage.admin.set("default_transaction_read_only", "on").await?;
    stage.admin.terminate_all().await?;
    let before = stage.admin.rows().await?;
    let what = "insert on a read-only server";
    let task = stage.task(Work::Insert).await?;
    for _ in 0..6 {
        // Connections that were terminated are told of first.
        let result = task.run(&stage.store).await;
        let done = stage.is_done(&task, &before, what).await?;
        judge(&result, done, Expected::AsTold, what)?;
        check!(result.is_err(), "{what}: expected a refusal, found success");
    }
    stage.expect_known("while the server is read-only").await?;
    stage.admin.reset("default_transaction_read_only").await?;
    stage.admin.terminate_all().await?;
    stage.expect_health("the server was read-only").await
}

/// The waits at which to drop a future that waits so many times: all of them if they are few, else the first, the last,
/// and ever fewer between. (A client may wait a thousand times while it computes a key from a password.)
fn waits(total: u32) -> Vec<u32> {
    let last = total.saturating_sub(EDGE).max(EDGE);
    let between = std::iter::successors(Some(EDGE + EDGE / 2), |wait| wait.checked_add(wait / 2 + 1));
    (1..=EDGE).chain(between.take_while(|wait| *wait < last)).chain(last + 1..=total).collect()
}

/// Drops the work at every point at which it waits, on used connections, or on new ones.
async fn drop_everywhere(subject: &Subject, work: Work, is_new: bool) -> CaseResult {
    let mut stage = Stage::new(subject, work).await?;
    if is_new {
        stage.renew(subject).await?;
    }
    let task = stage.task(work).await?;
    let (result, total) = count_polls(task.run(&stage.store)).await;
    check!(result.is_ok(), "{work:?}: expected success, found: {result:?}");
    for wait in waits(total) {
        if is_new {
            stage.renew(subject).await?;
        }
        let task = stage.task(work).await?;
        let before = stage.admin.rows().await?;
        let result = poll_times(task.run(&stage.store), wait).await;
        let what = format!("{work:?} that was dropped when it waited for the {wait}. time");
        stage.admin.expect_rest(&what).await?;
        let done = stage.is_done(&task, &before, &what).await?;
        if let Some(result) = &result {
            check!(result.is_ok(), "{what}: expected success, found: {result:?}");
            judge(result, done, Expected::There, &what)?;
        }
        stage.expect_health(&what).await?;
    }
    Ok(())
}

pub(super) async fn a_dropped_insert_leaves_nothing_open(subject: Subject) -> CaseResult {
    drop_everywhere(&subject, Work::Insert, false).await
}

pub(super) async fn a_dropped_connection_attempt_leaves_nothing_open(subject: Subject) -> CaseResult {
    drop_everywhere(&subject, Work::Insert, true).await
}

pub(super) async fn a_dropped_update_is_whole_or_absent(subject: Subject) -> CaseResult {
    drop_everywhere(&subject, Work::Update, false).await
}

pub(super) async fn a_dropped_append_is_whole_or_absent(subject: Subject) -> CaseResult {
    drop_everywhere(&subject, Work::Append, false).await
}

pub(super) async fn a_restarted_server_loses_nothing(subject: Subject) -> CaseResult {
    let set =
        subject.spec.migration_set().map_err(|error| CaseError::failed(format!("its migrations: {error}")))?;
    let mut server = subject.context.server().await?;
    let lease = server.database(&set).await?;
    let url = lease.url().to_owned();
    let database = || Database { connections_max: 3, acquire_time: ACQUIRE_TIME * 2, ..Database::new(&url) };
    let store = subject.opened(database(), Some(lease.clone())).await?;
    let mut known = Vec::new();
    for how in [Crash::Kill, Crash::Immediate] {
        for _ in 0..3 {
            let record = store.sample();
            known.push((store.insert(&record).await?, record));
        }
        server.crash(how).await;
        for _ in 0..2 {
            let result = timeout(REFUSAL_TIME_MAX, store.repository.insert(&store.sample())).await;
            match result {
                Ok(Err(refusal)) if is_outage(&refusal) => {}
                Ok(result) => {
                    return Err(CaseError::failed(format!(
                        "insert without a server: expected the refusal unavailable, found {result:?}"
                    )));
                }
                Err(_) => {
                    return Err(CaseError::failed(format!(
                        "insert without a server: expected a refusal, found none after {REFUSAL_TIME_MAX:?}"
                    )));
                }
            }
        }
        server.restart().await?;
        let key = healed(&store, "the server was started again").await?;
        known.push(key);
        for (key, record) in &known {
            store.expect(key, record, "a record that was acknowledged before the server crashed").await?;
        }
        Admin::connect(&url).await?.expect_rest("after the server was started again").await?;
    }
    Ok(())
}

/// A record that was inserted once the repository worked again.
async fn healed(store: &Store, what: &str) -> Result<(String, super::super::Record), CaseError> {
    let mut last = None;
    for _ in 0..6 {
        let record = store.sample();
        match store.repository.insert(&record).await {
            Ok(key) => return Ok((key, record)),
            Err(refusal) if is_outage(&refusal) => last = Some(refusal),
            Err(refusal) => {
                return Err(CaseError::failed(format!("insert after {what}: expected success, found: {refusal}")));
            }
        }
    }
    Err(CaseError::failed(format!("insert after {what}: expected success in the end, found: {last:?}")))
}

pub(super) async fn a_full_disk_is_told_and_survived(subject: Subject) -> CaseResult {
    let set =
        subject.spec.migration_set().map_err(|error| CaseError::failed(format!("its migrations: {error}")))?;
    let server = subject.context.server().await?;
    let lease = server.database(&set).await?;
    let maintenance = server.database(&crate::migration_set::MigrationSet::default()).await?;
    let mut admin = Admin::connect(maintenance.url()).await?;
    let directory = admin.data_directory().await?;
    let mut disk = SmallDisk::mount(DISK_OCTETS, Path::new(&directory)).map_err(CaseError::harness)?;
    let place = disk.path().join("tables");
    let place = place.to_str().ok_or_else(|| CaseError::harness("expected a path in UTF-8"))?;
    copy_owner(Path::new(&directory), Path::new(place))?;
    admin.execute(&format!("CREATE TABLESPACE small LOCATION '{place}'")).await?;
    admin.execute(&format!("ALTER DATABASE {} SET TABLESPACE small", lease.name())).await?;
    let store = subject.opened(Database::new(lease.url()), Some(lease.clone())).await?;
    let mut known = Vec::new();
    for _ in 0..3 {
        let record = store.sample();
        known.push((store.insert(&record).await?, record));
    }
    disk.fill().map_err(CaseError::harness)?;
    let mut refusal = None;
    for _ in 0..RECORDS_MAX {
        let record = store.sample();
        match store.repository.insert(&record).await {
            Ok(key) => known.push((key, record)),
            Err(found) => {
                refusal = Some(found);
                break;
            }
        }
    }
    let rows: i64 = Admin::connect(lease.url()).await?.rows().await?.values().sum();
    disk.make_room().map_err(CaseError::harness)?;
    match refusal {
        None => return Err(CaseError::harness(format!("a full disk took {RECORDS_MAX} records"))),
        Some(refusal) => check!(
            refusal.kind == RefusalKind::Unavailable,
            "insert on a full disk: expected the refusal unavailable, found: {refusal}"
        ),
    }
    let mut session = Admin::connect(lease.url()).await?;
    session.expect_rest("after the disk was full").await?;
    let found: i64 = session.rows().await?.values().sum();
    check!(found == rows, "after the disk was full: expected {rows} rows, found {found}");
    known.push(healed(&store, "the disk was full").await?);
    for (key, record) in &known {
        store.expect(key, record, "a record that was acknowledged before the disk was full").await?;
    }
    Ok(())
}

/// Makes a directory for the owner of another one.
fn copy_owner(like: &Path, directory: &Path) -> CaseResult {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(like).map_err(CaseError::harness)?;
    std::fs::create_dir(directory).map_err(CaseError::harness)?;
    std::os::unix::fs::chown(directory, Some(owner.uid()), Some(owner.gid())).map_err(CaseError::harness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_waits_are_all_tried_and_of_many_the_first_and_the_last() {
        assert_eq!(waits(11), (1..=11).collect::<Vec<_>>());
        let many = waits(1_000);
        assert!(many.is_sorted() && many.len() < 30, "{many:?}");
        assert!(many.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8]) && many.ends_with(&[997, 998, 999, 1_000]));
    }
}
