//! What the tokens of a script tell by themselves.

use std::ops::Range;

use squawk_lexer::TokenKind;

use super::lex::{Unterminated, all_tokens, folded, tokens};

/// The longest name, in bytes, that Postgres keeps whole.
pub const NAME_BYTES_MAX: usize = 63;

/// A name, and where it is in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// The name without quotes.
    pub name: String,
}

impl Name {
    /// What Postgres makes of it: as many whole characters as fit.
    #[must_use]
    pub fn cut(&self) -> &str {
        &self.name[..self.name.floor_char_boundary(NAME_BYTES_MAX)]
    }
}

/// The names in a statement that are longer than Postgres keeps them.
#[must_use]
pub fn long_names(statement: &str) -> Vec<Name> {
    let names = tokens(statement).filter(|token| {
        matches!(token.kind, TokenKind::Ident | TokenKind::QuotedIdent { .. })
            && token.end - token.start > NAME_BYTES_MAX
    });
    let names = names.map(|token| Name { range: token.range(), name: folded(&statement[token.range()]) });
    names.filter(|name| name.name.len() > NAME_BYTES_MAX).collect()
}

/// What begins in a statement and does not end, and where it begins.
#[must_use]
pub fn unterminated(statement: &str) -> Option<(Unterminated, Range<usize>)> {
    let last = tokens(statement).last()?;
    last.unterminated().map(|kind| (kind, last.range()))
}

/// The comments from `--` to the end of a line in a whole script.
pub(crate) fn line_comments(script: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    all_tokens(script).filter(|token| token.kind == TokenKind::LineComment).map(|token| token.range())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_measured_without_quotes_and_cut_between_characters() {
        let fits = "x".repeat(63);
        let long = format!("{}é", "x".repeat(62));
        let found = long_names(&format!("SELECT {fits}, \"{fits}\", '{long}', {long}"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].cut()), (long.as_str(), &long[..62]));
    }

    #[test]
    fn what_does_not_end_is_named() {
        assert_eq!(unterminated("SELECT 'a', $b$ c"), Some((Unterminated::DollarQuote, 12..17)));
        assert_eq!(unterminated("SELECT 1 /* "), Some((Unterminated::Comment, 9..12)));
        assert_eq!(unterminated("SELECT 'a' -- '"), None);
    }
}
