//! The splitter.

use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};

use super::{Input, Statement};

/// The statements in a part of a file, with their places in the file.
#[must_use]
pub fn split(text: &str, range: Range<usize>) -> Vec<Statement> {
    let part = text.get(range.clone()).unwrap_or_default();
    let mut statements = Vec::new();
    let mut begun: Option<Range<usize>> = None;
    let mut at = range.start;
    for token in tokenize(part) {
        let end = at + usize::try_from(token.len).unwrap_or(usize::MAX);
        match token.kind {
            TokenKind::Eof => break,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            TokenKind::Semi => {
                if let Some(range) = begun.take() {
                    statements.push(Statement { range, input: Input::Sql });
                }
            }
            _ => begun.get_or_insert(at..end).end = end,
        }
        at = end;
    }
    if let Some(range) = begun {
        statements.push(Statement { range, input: Input::Sql });
    }
    statements
}
