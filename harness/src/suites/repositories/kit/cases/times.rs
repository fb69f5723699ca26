//! Times: the same moment comes back, whatever the session's zone.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::adapter::Database;
use super::super::corpus::TIMES;
use super::super::field::{Field, Kind};
use super::super::subject::{Store, Subject};
use super::super::value::Record;
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::Admin;

/// Zones with half hours, with daylight saving, and on both sides of the date line.
const ZONES: &[&str] = &["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Kiritimati"];

fn times(store: &Store) -> Vec<Field> {
    store.spec.free(|kind| matches!(kind, Kind::Time)).cloned().collect()
}

fn moments() -> Result<Vec<DateTime<Utc>>, CaseError> {
    TIMES
        .iter()
        .map(|text| text.parse().map_err(|error| CaseError::harness(format!("{text:?} is no time: {error}"))))
        .collect()
}

pub(super) async fn times_keep_microseconds(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in times(&store) {
        for moment in moments()? {
            store.round_trip(&store.sample().with(field.name, moment)).await?;
        }
    }
    Ok(())
}

/// Digits that Postgres does not keep may be cut off or rounded, and then the time is what it is.
pub(super) async fn times_below_a_microsecond_become_stable(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in times(&store) {
        for moment in ["2024-02-29T12:00:00.123456789Z", "1969-12-31T23:59:59.999999999Z"] {
            let given: DateTime<Utc> = moment.parse().map_err(CaseError::harness)?;
            let key = store.insert(&store.sample().with(field.name, given)).await?;
            let found = store.get(&key).await?.time(field.name);
            let Some(kept) = found else {
                return Err(CaseError::failed(format!("get: expected a time in {}, found none", field.name)));
            };
            check!(
                (kept - given).abs() < TimeDelta::microseconds(1),
                "get: expected {} within a microsecond of {given:?}, found {kept:?}",
                field.name
            );
            store.round_trip(&store.sample().with(field.name, kept)).await?;
        }
    }
    Ok(())
}

/// Written in one zone and read in another, around the hours that a clock skips and repeats.
pub(super) async fn times_do_not_depend_on_the_zone(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let mut written: Vec<(String, Record)> = Vec::new();
    let mut admin = Admin::connect(store.url()?).await?;
    for (index, zone) in ZONES.iter().enumerate() {
        admin.set("timezone", zone).await?;
        let here = store.opened_again(&subject, Database::new(store.url()?)).await?;
        for (key, record) in &written {
            here.expect(key, record, &format!("a record that was written in another zone, in {zone},")).await?;
        }
        for field in times(&store) {
            for moment in moments()? {
                let record = here.sample().with(field.name, moment);
                let key = here.insert(&record).await?;
                here.expect(&key, &record, &format!("what was inserted in the zone {zone}")).await?;
                if index == 0 {
                    written.push((key, record));
                }
            }
        }
    }
    Ok(())
}
