//! The roles that a statement refers to.
//!
//! Roles that scripts make are shared by all databases of a server, as they are in production. But a run has several
//! databases in which the same files are executed: what a later file makes in one of them must not be there for an
//! earlier file in another.

use super::words::{Word, words};

/// The most names that are looked for.
const NAMES_MAX: usize = 64;

/// The names that stand where a role does. Only statements are looked at that do nothing without their roles.
pub(super) fn role_names(text: &str) -> Vec<String> {
    let Some(first) = words(text).next() else { return Vec::new() };
    if !["grant", "revoke", "alter", "create", "set", "reassign"].iter().any(|word| first.is(word)) {
        return Vec::new();
    }
    let words: Vec<Word> = words(text).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.is(word));
    let is_policy = (first.is("create") || first.is("alter")) && is(1, "policy");
    let is_grant = |word: &str| {
        first.is(word) || first.is("alter") && is(1, "default") && words.iter().any(|other| other.is(word))
    };
    let mut found = Vec::new();
    for at in 1..words.len() {
        let begins = match words[at].text.as_str() {
            "to" => is_grant("grant") || is(at - 1, "owner") || is_policy && !is(at - 1, "rename"),
            "from" => is_grant("revoke"),
            "authorization" => true,
            "role" => is(at - 1, "for") || first.is("set") && at <= 2,
            "by" => is(at - 1, "owned") && first.is("reassign"),
            _ => false,
        };
        if begins && words[at].name().is_some() {
            names(&words[at + 1..], &mut found);
        }
        if found.len() >= NAMES_MAX {
            break;
        }
    }
    found.truncate(NAMES_MAX);
    found
}

/// A list of names, from its beginning.
fn names(words: &[Word], found: &mut Vec<String>) {
    let mut rest = words;
    while let [name, more @ ..] = rest {
        let is_group = name.is("group") && more.first().is_some_and(|next| next.name().is_some());
        if is_group {
            rest = more;
            continue;
        }
        let Some(text) = name.name() else { return };
        found.push(text.to_owned());
        match more {
            [comma, more @ ..] if comma.is_sign(",") => rest = more,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_told_from_other_names() {
        for (text, expected) in [
            ("GRANT SELECT ON models TO reader, \"Writer\" WITH GRANT OPTION", "reader Writer"),
            ("REVOKE ALL ON models FROM GROUP reader CASCADE", "reader"),
            ("ALTER TABLE models OWNER TO app", "app"),
            ("ALTER TABLE models RENAME TO app", ""),
            ("ALTER TABLE models RENAME COLUMN a TO app", ""),
            ("CREATE POLICY p ON models FOR SELECT TO reader USING (to_char(a, 'b') = c)", "reader"),
            ("ALTER POLICY p ON models RENAME TO reader", ""),
            ("CREATE SCHEMA AUTHORIZATION app", "app"),
            ("SET ROLE app", "app"),
            ("SET search_path TO app", ""),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b", "a b"),
            ("CREATE TABLE role (owner int)", ""),
            ("SELECT 1", ""),
        ] {
            assert_eq!(role_names(text).join(" "), expected, "{text}");
        }
    }
}
