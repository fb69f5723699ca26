//! The words of a statement, one after another: enough to see what kind of statement it is, without a grammar.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

/// The most words of a statement that are looked at: what follows are rows.
const WORDS_MAX: usize = 50_000;

/// A token that is no space and no comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) kind: WordKind,
    /// A name as the server folds it, the content of a string, or the sign itself.
    pub(crate) text: String,
    /// Where it is in the text, in bytes.
    pub(crate) range: Range<usize>,
}

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordKind {
    /// A key word, or a name without quotes.
    Plain,
    /// A name in quotes.
    Quoted,
    /// A string in single quotes.
    Text,
    /// A string in dollar quotes.
    Dollar,
    /// Anything else.
    Sign,
}

impl Word {
    /// Whether it is a key word; a name in quotes never is.
    pub(crate) fn is(&self, key_word: &str) -> bool {
        self.kind == WordKind::Plain && self.text == key_word
    }

    /// Whether it is this sign.
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == WordKind::Sign && self.text == sign
    }

    /// What it names, if it can be a name.
    pub(crate) fn name(&self) -> Option<&str> {
        matches!(self.kind, WordKind::Plain | WordKind::Quoted).then_some(self.text.as_str())
    }
}

/// The words of a text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut at = 0;
    let tokens = tokenize(text).take_while(|token| token.kind != TokenKind::Eof).filter_map(move |token| {
        let start = at;
        at += usize::try_from(token.len).unwrap_or(usize::MAX);
        let range = start..at;
        let slice = text.get(range.clone())?;
        let (kind, text) = match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => return None,
            TokenKind::Ident => (WordKind::Plain, slice.to_lowercase()),
            TokenKind::QuotedIdent { .. } => {
                (WordKind::Quoted, unquoted(slice.trim_start_matches(['u', 'U', '&']), '"'))
            }
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { .. } } => {
                (WordKind::Dollar, slice[dollar_content(slice)].to_owned())
            }
            TokenKind::Literal {
                kind:
                    LiteralKind::Str { .. }
                    | LiteralKind::EscStr { .. }
                    | LiteralKind::NationalStr { .. }
                    | LiteralKind::UnicodeEscStr { .. },
            } => {
                let quote = slice.find('\'').unwrap_or_default();
                (WordKind::Text, unquoted(&slice[quote..], '\''))
            }
            _ => (WordKind::Sign, slice.to_owned()),
        };
        Some(Word { kind, text, range })
    });
    tokens.take(WORDS_MAX)
}

/// Where the content of a string in dollar quotes is in it, in bytes.
pub(crate) fn dollar_content(text: &str) -> Range<usize> {
    let Some(tag) = text.get(1..).and_then(|rest| rest.find('$')).map(|end| end + 2) else { return 0..0 };
    tag..text.len().saturating_sub(tag).max(tag)
}

fn unquoted(text: &str, quote: char) -> String {
    let inner = text.strip_prefix(quote).unwrap_or(text);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    if inner.contains(quote) {
        inner.replace(&format!("{quote}{quote}"), &quote.to_string())
    } else {
        inner.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_unless_they_are_quoted() {
        let text = "Create /* a */ ROLE \"It's \"\"me\"\"\" -- b\n PASSWORD 'it''s' $x$a $$ b$x$;";
        let found: Vec<_> = words(text).map(|word| (word.kind, word.text)).collect();
        let expected = [
            (WordKind::Plain, "create"),
            (WordKind::Plain, "role"),
            (WordKind::Quoted, "It's \"me\""),
            (WordKind::Plain, "password"),
            (WordKind::Text, "it's"),
            (WordKind::Dollar, "a $$ b"),
            (WordKind::Sign, ";"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn what_has_no_end_does_no_harm() {
        for text in ["$$", "$a$ b", "$", "'", "\"", "/*", "E'\\", "u&\"", "$a", "é$é$"] {
            let _ = words(text).count();
        }
    }
}
