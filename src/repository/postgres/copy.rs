//! Rows in the binary format of COPY: the way for more of them than a statement has parameters.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Statement;
use crate::repository::RepositoryError;
use sqlx::postgres::PgConnection;

/// Octets that are collected before they are sent: a batch of any size takes no more memory.
const CHUNK_OCTETS: usize = 256 * 1024;
/// The most octets of one value; Postgres takes up to 1 GiB.
const VALUE_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// What a file begins with: a signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, in place of a row's number of columns.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// 2000-01-01, where Postgres begins to count microseconds, in those since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Identifiers of a batch that follow each other (UUID version 7, RFC 9562, section 6.2, method 2): the time, and a random
/// number that is counted up. The index of a table's primary key takes them one behind the other, in half the time.
#[derive(Debug)]
pub(super) struct Identifiers {
    milliseconds: u64,
    counter: u128,
}

impl Identifiers {
    /// Those of a batch.
    pub(super) fn new() -> Self {
        let milliseconds = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        // 74 bits, of which the highest is clear, so that no batch counts beyond them. The random bits of a version 4
        // that stand where others are fixed are shifted out.
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let counter = (u128::from(high) << 64 | u128::from(low << 2)) >> 2 & ((1 << 73) - 1);
        Self { milliseconds, counter }
    }
}

impl Iterator for Identifiers {
    type Item = Uuid;

    fn next(&mut self) -> Option<Uuid> {
        let octets = self.counter.to_be_bytes();
        self.counter += 1;
        // The upper 12 bits stand before the variant, the lower 62 behind it.
        let [.., a, b, c, d, e, f, g, h, i, j] = octets;
        let upper = u16::from_be_bytes([a, b]) << 2 | u16::from(c >> 6);
        let [first, second] = upper.to_be_bytes();
        let random = [first, second, c & 0x3f, d, e, f, g, h, i, j];
        Some(uuid::Builder::from_unix_timestamp_millis(self.milliseconds, &random).into_uuid())
    }
}

/// The values of a row, in the order of the statement's columns.
#[derive(Debug)]
pub(super) struct CopyRow<'a> {
    octets: &'a mut Vec<u8>,
    columns: i16,
    start: usize,
}

impl CopyRow<'_> {
    fn value(&mut self, octets: &[u8]) {
        // Longer ones are refused below, before anything of them is sent.
        let length = i32::try_from(octets.len()).unwrap_or(i32::MAX);
        self.octets.extend_from_slice(&length.to_be_bytes());
        self.octets.extend_from_slice(octets);
        self.columns = self.columns.saturating_add(1);
    }

    /// NULL.
    pub(super) fn null(&mut self) {
        self.octets.extend_from_slice(&(-1_i32).to_be_bytes());
        self.columns = self.columns.saturating_add(1);
    }

    /// `uuid`.
    pub(super) fn uuid(&mut self, value: Uuid) {
        self.value(value.as_bytes());
    }

    /// `timestamptz`, to the microsecond.
    pub(super) fn time(&mut self, value: DateTime<Utc>) {
        self.value(&(value.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
    }

    /// `double precision`.
    pub(super) fn double(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.value(&value.to_be_bytes()),
            None => self.null(),
        }
    }
}

/// Sends the statement and the rows, and returns how many there were: all or none are stored. The connection must be
/// that of a [`Session`](super::session::Session), for it is of no use if this is not awaited to its end.
pub(super) async fn copy_in<T: Sync>(
    connection: &mut PgConnection,
    statement: Statement,
    rows: &[T],
    write: impl Fn(&T, &mut CopyRow<'_>) + Send,
) -> Result<u64, RepositoryError> {
    let mut copy = connection.copy_in_raw(statement.sql).await?;
    let mut octets = Vec::with_capacity(CHUNK_OCTETS + CHUNK_OCTETS / 4);
    octets.extend_from_slice(HEADER);
    for row in rows {
        let start = octets.len();
        octets.extend_from_slice(&[0, 0]);
        let mut values = CopyRow { octets: &mut octets, columns: 0, start };
        write(row, &mut values);
        let (columns, start) = (values.columns, values.start);
        octets[start..start + 2].copy_from_slice(&columns.to_be_bytes());
        if octets.len() - start > VALUE_OCTETS_MAX {
            let found = octets.len() - start;
            copy.abort("a row is too long").await?;
            return Err(RepositoryError::Invalid {
                field: "row".to_owned(),
                reason: format!("expected at most {VALUE_OCTETS_MAX} octets, found {found}"),
            });
        }
        if octets.len() >= CHUNK_OCTETS {
            copy.send(&octets[..]).await?;
            octets.clear();
        }
    }
    octets.extend_from_slice(&TRAILER);
    copy.send(&octets[..]).await?;
    Ok(copy.finish().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_each_other_and_are_of_version_7() {
        let mut identifiers = Identifiers::new();
        let batch: Vec<_> = identifiers.by_ref().take(100_000).collect();
        assert!(batch.is_sorted_by(|a, b| a < b));
        assert!(batch.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
        assert!(Identifiers::new().take(100).all(|id| !batch.contains(&id)));
        // Also across the bits that the version and the variant take.
        for bits in [8, 16, 32, 61, 62, 63, 72] {
            let near = Identifiers { milliseconds: 1, counter: (1 << bits) - 2 };
            assert!(near.take(4).is_sorted_by(|a, b| a < b), "{bits}");
        }
    }

    #[test]
    fn values_are_as_the_manual_says() {
        let mut octets = Vec::new();
        let mut row = CopyRow { octets: &mut octets, columns: 0, start: 0 };
        row.double(Some(1.0));
        row.null();
        row.time(DateTime::from_timestamp_micros(EPOCH_MICROS + 1).unwrap());
        assert_eq!(row.columns, 3);
        let expected: &[u8] = &[
            0, 0, 0, 8, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1,
        ];
        assert_eq!(octets, expected);
    }
}
