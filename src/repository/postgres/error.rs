//! What an error of Postgres, or of the way to it, means to a caller of a repository.

use sqlx::postgres::PgDatabaseError;

use crate::repository::RepositoryError;

impl From<sqlx::Error> for RepositoryError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(reported) => {
                let code = reported.code().unwrap_or_default().into_owned();
                let constraint = reported.constraint().map(str::to_owned);
                let column = reported
                    .try_downcast_ref::<PgDatabaseError>()
                    .and_then(PgDatabaseError::column)
                    .map(str::to_owned);
                from_sqlstate(&code, constraint, column, error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { source: error.into() },
            _ => Self::Unexpected { source: error.into() },
        }
    }
}

/// A row that was to be deleted, and is referred to: until version 17 the code is that of the other end of the key.
pub(super) fn of_delete(error: sqlx::Error) -> RepositoryError {
    match error.into() {
        RepositoryError::MissingReference { constraint } => RepositoryError::StillReferenced { constraint },
        other => other,
    }
}

/// The meaning of a code of the manual's appendix "PostgreSQL Error Codes".
fn from_sqlstate(
    code: &str,
    constraint: Option<String>,
    column: Option<String>,
    error: sqlx::Error,
) -> RepositoryError {
    match (code, constraint) {
        ("23505", Some(constraint)) => RepositoryError::Conflict { constraint },
        ("23503", Some(constraint)) => RepositoryError::MissingReference { constraint },
        // ON DELETE RESTRICT, from version 18 on; before, as the other way round, 23503.
        ("23001", Some(constraint)) => RepositoryError::StillReferenced { constraint },
        // A check, NOT NULL; text too long, number or time out of range, no valid representation, a NUL.
        ("23514" | "23502" | "22001" | "22003" | "22008" | "22007" | "22P02" | "22P05" | "22021", constraint) => {
            RepositoryError::Invalid {
                field: constraint.or(column).unwrap_or_else(|| "value".to_owned()),
                reason: error.to_string(),
            }
        }
        // Serialisation failure, deadlock, a lock that was not available.
        ("40001" | "40P01" | "55P03", _) => RepositoryError::Contended { source: error.into() },
        ("57014", _) => RepositoryError::Cancelled { source: error.into() },
        // Read-only; shut down, crashed, starting up; connection lost; out of memory, disk or connections.
        ("25006" | "57P01" | "57P02" | "57P03", _) => RepositoryError::Unavailable { source: error.into() },
        _ if code.starts_with("08") || code.starts_with("53") => {
            RepositoryError::Unavailable { source: error.into() }
        }
        _ => RepositoryError::Unexpected { source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(code: &str, constraint: Option<&str>, column: Option<&str>) -> RepositoryError {
        let error = sqlx::Error::Protocol("as reported".to_owned());
        from_sqlstate(code, constraint.map(str::to_owned), column.map(str::to_owned), error)
    }

    #[test]
    fn every_code_that_a_caller_can_act_upon_has_a_type() {
        use RepositoryError as E;
        assert!(matches!(map("23505", Some("k"), None), E::Conflict { constraint } if constraint == "k"));
        assert!(matches!(map("23503", Some("f"), None), E::MissingReference { constraint } if constraint == "f"));
        assert!(matches!(map("23514", Some("c"), None), E::Invalid { field, .. } if field == "c"));
        assert!(matches!(map("23502", None, Some("c")), E::Invalid { field, .. } if field == "c"));
        assert!(matches!(map("23001", Some("f"), None), E::StillReferenced { constraint } if constraint == "f"));
        for code in ["22001", "22003", "22021", "22P02"] {
            assert!(matches!(map(code, None, None), E::Invalid { .. }), "{code}");
        }
        for code in ["40001", "40P01", "55P03"] {
            assert!(matches!(map(code, None, None), E::Contended { .. }), "{code}");
        }
        assert!(matches!(map("57014", None, None), E::Cancelled { .. }));
        for code in ["25006", "57P01", "08006", "53300"] {
            assert!(matches!(map(code, None, None), E::Unavailable { .. }), "{code}");
        }
        for code in ["42P01", "23505", "XX000", ""] {
            assert!(matches!(map(code, None, None), E::Unexpected { .. }), "{code}");
        }
    }
}
