//! What a statement is about, as far as a proxy must know.

/// The kinds of statements that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    /// Changes rows.
    Write,
    /// Ends a transaction for good.
    Commit,
    Other,
}

/// What the statement is about, by its words. Where it is a question of being sure, it is none of the others.
pub(super) fn classify(sql: &[u8]) -> Statement {
    let text = String::from_utf8_lossy(sql).to_ascii_uppercase();
    let mut words =
        text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty());
    match words.next() {
        Some("INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY") => Statement::Write,
        Some("WITH") if words.any(|word| matches!(word, "INSERT" | "UPDATE" | "DELETE" | "MERGE")) => {
            Statement::Write
        }
        Some("COMMIT" | "END") => Statement::Commit,
        _ => Statement::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_known_by_their_words() {
        for (sql, expected) in [
            ("insert into a values (1)", Statement::Write),
            ("\n  UPDATE a SET b = 1", Statement::Write),
            ("WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x", Statement::Write),
            ("WITH x AS (SELECT 1) SELECT * FROM x", Statement::Other),
            ("COMMIT", Statement::Commit),
            ("commit;", Statement::Commit),
            ("SELECT 'insert'", Statement::Other),
            ("", Statement::Other),
        ] {
            assert_eq!(classify(sql.as_bytes()), expected, "{sql}");
        }
    }
}
