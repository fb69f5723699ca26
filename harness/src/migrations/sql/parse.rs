//! Runs the parser where it can do no harm: it recurses, and it may panic.

use std::thread;

use squawk_lexer::TokenKind;
use squawk_syntax::{Parse, SourceFile};

use super::lex::tokens;
use crate::panic;

/// The longest statement that is parsed, in bytes. Longer ones are rows rather than definitions.
const STATEMENT_BYTES_MAX: usize = 256 * 1024;

/// How deep a statement may be, as far as its tokens tell, to be parsed on a stack of unknown size.
const SMALL: Shape = Shape { depth: 24, operators: 100 };

/// How deep it may be to be parsed at all.
const LARGE: Shape = Shape { depth: 400, operators: 4_000 };

/// The stack for those in between, in bytes; memory that is not touched costs nothing.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// What bounds the depth of a syntax tree: brackets, and operators that lean on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    depth: usize,
    operators: usize,
}

impl Shape {
    fn of(statement: &str) -> Self {
        let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
        for token in tokens(statement) {
            match token.kind {
                TokenKind::OpenParen | TokenKind::OpenBracket | TokenKind::OpenCurly => depth += 1,
                TokenKind::CloseParen | TokenKind::CloseBracket | TokenKind::CloseCurly => {
                    depth = depth.saturating_sub(1);
                }
                TokenKind::Comma | TokenKind::Semi | TokenKind::Literal { .. } | TokenKind::QuotedIdent { .. } => {
                }
                TokenKind::Ident => {
                    let word = &statement[token.range()];
                    let leans =
                        ["and", "or", "not", "union", "except", "intersect", "join", "is", "in", "like", "case"];
                    operators += usize::from(leans.iter().any(|operator| word.eq_ignore_ascii_case(operator)));
                }
                _ => operators += 1,
            }
            deepest = deepest.max(depth);
        }
        Self { depth: deepest, operators }
    }

    fn fits(self, limit: Self) -> bool {
        self.depth <= limit.depth && self.operators <= limit.operators
    }
}

/// What `look` finds in the syntax tree of a statement; nothing where the statement is too much for the parser.
pub(super) fn with_tree<T: Send>(statement: &str, look: impl Fn(&Parse<SourceFile>) -> T + Sync) -> Option<T> {
    if statement.len() > STATEMENT_BYTES_MAX {
        return None;
    }
    panic::install_hook();
    // The tree is dropped within, since that recurses as well.
    let parse = || panic::catch(|| look(&SourceFile::parse(statement))).ok();
    let shape = Shape::of(statement);
    if shape.fits(SMALL) {
        return parse();
    }
    if !shape.fits(LARGE) {
        return None;
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, parse).ok()?;
        worker.join().ok().flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_too_deep() {
        let depths = [1, 30, 300, 3_000, 200_000];
        for (open, close) in [("(", ")"), ("- ", ""), ("NOT ", ""), ("ARRAY[", "]"), ("CASE ", ""), ("1 + ", "")] {
            for depth in depths {
                let statement = format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
                let parsed = with_tree(&statement, |_| ()).is_some();
                assert_eq!(
                    parsed,
                    depth < 500 || depth < 4_000 && !["(", "ARRAY["].contains(&open),
                    "{open} {depth}"
                );
            }
        }
    }

    #[test]
    fn a_panic_is_nothing() {
        let outer = panic::catch(|| {
            assert_eq!(with_tree("SELECT 1", |_| assert_eq!(1, 2, "a panic within")), None);
            assert_eq!(1, 2, "a panic of the case that asked");
        });
        let told = outer.unwrap_err().to_string();
        assert!(told.contains("parse.rs:") && told.contains("a panic of the case"), "{told}");
    }
}
