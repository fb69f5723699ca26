//! What is within the bodies of functions and `DO` blocks: found by their tokens, since what runs, and when, only the
//! server knows.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind};

use super::facts::{Facts, facts_within};
use super::lex::{Token, folded, tokens};

/// How many bodies may be within each other.
const DEPTH_MAX: usize = 3;

/// The longest body that is looked at, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Adds what the body of a statement does to what is known of the statement.
pub(super) fn look(statement: &str, words: &[&str], depth: usize, facts: &mut Facts) {
    let Some(body) = body_of(statement) else { return };
    let language = language_of(statement).unwrap_or_else(|| "plpgsql".to_owned());
    let is_known = ["plpgsql", "sql"].contains(&language.as_str());
    if !is_known || depth >= DEPTH_MAX || body.len() > BODY_BYTES_MAX {
        facts.unsure |= words.first() == Some(&"DO");
        return;
    }
    let is_block = words.first() == Some(&"DO");
    for part in definitions(body) {
        let inner = facts_within(&body[part], depth + 1);
        if is_block {
            facts.creates.extend(inner.creates);
            facts.drops.extend(inner.drops);
            facts.refers.extend(inner.refers);
            facts.unsure |= inner.unsure;
        } else {
            facts.creates_when_called.extend(inner.creates);
        }
    }
    if is_block {
        facts.unsure |= tokens(body).any(|token| is_word(body, &token, &["EXECUTE"]));
    }
}

/// What is between the quotes of the body.
fn body_of(statement: &str) -> Option<&str> {
    let literals = tokens(statement).filter(|token| {
        matches!(
            token.kind,
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { .. } | LiteralKind::Str { .. } }
        )
    });
    // The longest is the body; others are defaults, settings and the name of a language.
    let body = literals.max_by_key(|token| token.end - token.start)?;
    let text = &statement[body.range()];
    let quote = if text.starts_with('\'') { "'" } else { &text[..=text[1..].find('$').map_or(0, |at| at + 1)] };
    let inner = text.strip_prefix(quote)?;
    Some(inner.strip_suffix(quote).unwrap_or(inner))
}

/// The language that a statement names, with or without quotes.
fn language_of(statement: &str) -> Option<String> {
    let mut rest = tokens(statement).skip_while(|token| !is_word(statement, token, &["LANGUAGE"]));
    rest.next();
    rest.next().map(|token| folded(statement[token.range()].trim_matches('\'')))
}

fn is_word(text: &str, token: &Token, words: &[&str]) -> bool {
    token.kind == TokenKind::Ident && words.iter().any(|word| text[token.range()].eq_ignore_ascii_case(word))
}

/// The definitions in a body: from a word that begins one, where a statement can begin, to the next semicolon.
fn definitions(body: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begun: Option<usize> = None;
    let mut can_begin = true;
    for token in tokens(body) {
        if token.kind == TokenKind::Semi {
            found.extend(begun.take().map(|start| start..token.start));
            can_begin = true;
        } else {
            if can_begin && begun.is_none() && is_word(body, &token, &["CREATE", "ALTER", "DROP"]) {
                begun = Some(token.start);
            }
            can_begin = is_word(body, &token, &["BEGIN", "THEN", "ELSE", "LOOP"]);
        }
    }
    found.extend(begun.map(|start| start..body.len()));
    found
}
