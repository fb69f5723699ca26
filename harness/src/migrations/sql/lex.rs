//! Tokens of Postgres, with what the lexer below does not know: sessions in which a backslash escapes in any string.

use std::ops::Range;

use squawk_lexer::{BOM, LiteralKind, TokenKind, tokenize};

/// A token that says where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// White space, or a comment that ends: what is nothing to the server.
    pub(super) fn is_trivia(&self) -> bool {
        match self.kind {
            TokenKind::Whitespace | TokenKind::LineComment => true,
            TokenKind::BlockComment { terminated } => terminated,
            _ => false,
        }
    }

    /// What begins here and has no end, if it is such a thing.
    pub(super) fn unterminated(&self) -> Option<Unterminated> {
        match self.kind {
            TokenKind::BlockComment { terminated: false } => Some(Unterminated::Comment),
            TokenKind::QuotedIdent { terminated: false, .. } => Some(Unterminated::Identifier),
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { terminated: false } } => {
                Some(Unterminated::DollarQuote)
            }
            TokenKind::Literal {
                kind:
                    LiteralKind::Str { terminated: false }
                    | LiteralKind::NationalStr { terminated: false }
                    | LiteralKind::EscStr { terminated: false }
                    | LiteralKind::UnicodeEscStr { terminated: false }
                    | LiteralKind::BitStr { terminated: false }
                    | LiteralKind::ByteStr { terminated: false },
            } => Some(Unterminated::String),
            _ => None,
        }
    }
}

/// Something whose end is missing, so that it goes on to the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unterminated {
    /// A string in single quotes.
    String,
    /// A name in double quotes.
    Identifier,
    /// A string between dollar signs.
    DollarQuote,
    /// A comment between `/*` and `*/`.
    Comment,
}

impl Unterminated {
    /// What it is, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Identifier => "quoted name",
            Self::DollarQuote => "dollar-quoted string",
            Self::Comment => "comment",
        }
    }
}

/// The token at a place; `backslash_escapes` says what a backslash is in a plain string.
pub(super) fn token(text: &str, at: usize, backslash_escapes: bool) -> Option<Token> {
    let rest = text.get(at..)?;
    // At the very beginning of a text the lexer takes a byte order mark for white space. Anywhere else the server
    // takes it for a name, which also tells why it says that there is a syntax error.
    let (skipped, rest) = match rest.strip_prefix(BOM) {
        Some(rest) if at > 0 => (BOM.len(), rest),
        _ => (0, rest),
    };
    let token = if skipped > 0 && !rest.starts_with(is_name_part) {
        return Some(Token { kind: TokenKind::Ident, start: at, end: at + skipped });
    } else {
        tokenize(rest).next()?
    };
    let length = usize::try_from(token.len).unwrap_or(rest.len()).min(rest.len());
    let end = text.ceil_char_boundary(at + skipped + length.max(1));
    let kind = if skipped > 0 { TokenKind::Ident } else { token.kind };
    match kind {
        TokenKind::Literal { kind: LiteralKind::Str { .. } } if backslash_escapes => {
            let (end, terminated) = escaped_string(text, at + 1);
            Some(Token { kind: TokenKind::Literal { kind: LiteralKind::EscStr { terminated } }, start: at, end })
        }
        TokenKind::Literal { kind: LiteralKind::NationalStr { .. } } if backslash_escapes => {
            let (end, terminated) = escaped_string(text, at + 2);
            Some(Token { kind: TokenKind::Literal { kind: LiteralKind::EscStr { terminated } }, start: at, end })
        }
        kind => Some(Token { kind, start: at, end }),
    }
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The end of a string whose first quote is just before a place.
fn escaped_string(text: &str, from: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return (at + 1, true),
            _ => at += 1,
        }
    }
    (text.len(), false)
}

/// All tokens of a text.
pub(super) fn all_tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let token = token(text, at, false)?;
        at = token.end;
        Some(token)
    })
}

/// All tokens of a text but white space and comments.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    all_tokens(text).filter(|token| !token.is_trivia())
}

/// A name as the server keeps it: without quotes, and in lower case if it has none.
pub(super) fn folded(token: &str) -> String {
    let unicode = token.strip_prefix(['u', 'U']).and_then(|rest| rest.strip_prefix("&\""));
    match unicode.or_else(|| token.strip_prefix('"')) {
        Some(inner) => {
            let inner = inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\"");
            if unicode.is_some() { unescaped(&inner) } else { inner }
        }
        // As the server does: other letters stay as they are in a database in UTF-8.
        None => token.to_ascii_lowercase(),
    }
}

/// A name after `U&` with the usual escape character; what is not an escape stays.
fn unescaped(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let (digits, skip) = match escape.as_bytes().first() {
            Some(b'\\') => {
                result.push('\\');
                rest = &escape[1..];
                continue;
            }
            Some(b'+') => (escape.get(1..7), 7),
            _ => (escape.get(..4), 4),
        };
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32) {
            Some(c) => {
                result.push(c);
                rest = &escape[skip..];
            }
            None => {
                result.push('\\');
                rest = escape;
            }
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_the_server_folds_them() {
        assert_eq!(folded("Models"), "models");
        assert_eq!(folded("\"Models\"\"x\""), "Models\"x");
        assert_eq!(folded("MODÈLES"), "modÈles");
        assert_eq!(folded("U&\"d\\0061t\\+000061 \\\\ \\zz\""), "data \\ \\zz");
    }

    #[test]
    fn a_byte_order_mark_within_a_text_is_a_name() {
        let text = "SELECT 1;\u{feff}SELECT 2";
        let found: Vec<_> = tokens(text).map(|token| &text[token.range()]).collect();
        assert_eq!(found, ["SELECT", "1", ";", "\u{feff}SELECT", "2"]);
    }
}
