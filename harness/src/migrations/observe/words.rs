//! The words of a statement, for the few things that the server does not tell.

use squawk_lexer::{TokenKind, tokenize};

/// The most tokens of a statement that are looked at.
const TOKENS_MAX: usize = 64;

/// The first tokens of a statement, without space and comments, as they are written.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    for token in tokenize(text) {
        let end = at + usize::try_from(token.len).unwrap_or(usize::MAX);
        match token.kind {
            TokenKind::Eof => break,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            _ => found.push(text.get(at..end).unwrap_or_default()),
        }
        at = end;
        if found.len() >= TOKENS_MAX {
            break;
        }
    }
    found
}

/// The same in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    tokens(text).into_iter().map(str::to_ascii_lowercase).collect()
}

/// Whether a statement begins, ends or divides a transaction, and does nothing else.
pub(crate) fn is_transaction_control(words: &[String]) -> bool {
    let word = |number: usize| words.get(number).map_or("", String::as_str);
    match word(0) {
        "begin" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => true,
        "start" => word(1) == "transaction",
        "prepare" => word(1) == "transaction",
        "set" => word(1) == "transaction",
        _ => false,
    }
}

/// Whether a statement touches no table, so that there is nothing to look for.
pub(crate) fn is_harmless(words: &[String]) -> bool {
    const KINDS: [&str; 9] =
        ["function", "procedure", "schema", "type", "domain", "role", "user", "extension", "sequence"];
    let word = |number: usize| words.get(number).map_or("", String::as_str);
    match word(0) {
        "comment" | "grant" | "revoke" | "reset" | "show" | "discard" | "listen" | "unlisten" | "notify" => true,
        "set" => true,
        "create" => {
            let kind = if word(1) == "or" && word(2) == "replace" { word(3) } else { word(1) };
            KINDS.contains(&kind) && !words.iter().any(|word| word == "table")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_words() {
        assert_eq!(words("/* a */ Alter -- b\nTABLE \"T\""), ["alter", "table", "\"t\""]);
        assert_eq!(tokens("SELECT 'a;b'"), ["SELECT", "'a;b'"]);
    }

    #[test]
    fn what_touches_no_table_is_known() {
        assert!(is_harmless(&words("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")));
        assert!(is_harmless(&words("SET lock_timeout = '5s'")));
        assert!(!is_harmless(&words("CREATE SCHEMA s CREATE TABLE t ()")));
        assert!(!is_harmless(&words("SELECT f()")));
        assert!(is_transaction_control(&words("start transaction")));
        assert!(!is_transaction_control(&words("prepare p as select 1")));
    }
}
