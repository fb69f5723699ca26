//! Takes a script apart as the server and psql do.

use std::ops::Range;

use squawk_lexer::TokenKind;

use super::lex::{Token, token};
use super::{Input, Statement};

/// How many words at the beginning of a statement tell what may be within it.
const LEADING_WORDS_MAX: usize = 5;

/// The statements in a part of a file, with their places in the file.
///
/// They are in order and do not overlap; between them is nothing but white space, comments and semicolons. What has no
/// end (a string, a comment) is a part of the last statement: the server says what it thinks of it.
#[must_use]
pub fn split(text: &str, range: Range<usize>) -> Vec<Statement> {
    let end = text.floor_char_boundary(range.end);
    let start = text.ceil_char_boundary(range.start.min(end));
    let mut splitter =
        Splitter { text: &text[..end], at: start, backslash_escapes: false, found: Vec::new(), current: None };
    splitter.run();
    splitter.found
}

/// The name of a command to psql, such as `\connect`.
#[must_use]
pub fn psql_command(statement: &str) -> &str {
    let name = statement.char_indices().skip(1).find(|(_, c)| !c.is_ascii_alphanumeric() && !"?!_".contains(*c));
    &statement[..name.map_or(statement.len(), |(at, _)| at)]
}

struct Splitter<'a> {
    text: &'a str,
    at: usize,
    /// Whether the session has `standard_conforming_strings` off by now.
    backslash_escapes: bool,
    found: Vec<Statement>,
    current: Option<Current>,
}

/// The statement that has begun.
struct Current {
    range: Range<usize>,
    /// The first words, in upper case.
    words: Vec<String>,
    /// Everything but words has been seen: what follows is no longer the beginning.
    led: bool,
    parentheses: usize,
    /// How deep within `BEGIN ATOMIC ... END`, `CASE ... END` included.
    blocks: usize,
    last_word: String,
    from_stdin: bool,
}

impl Current {
    fn begins_with(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(found, wanted)| found == wanted)
    }

    fn creates(&self, what: &[&str]) -> bool {
        let replaces = self.begins_with(&["CREATE", "OR", "REPLACE"]);
        let kind = if replaces { self.words.get(3) } else { self.words.get(1) };
        self.begins_with(&["CREATE"]) && kind.is_some_and(|kind| what.contains(&kind.as_str()))
    }

    /// Whether a semicolon here is within the statement.
    fn holds_semicolons(&self) -> bool {
        self.blocks > 0 || self.parentheses > 0 && self.creates(&["RULE"])
    }

    fn word(&mut self, word: String) {
        if self.parentheses == 0 && self.creates(&["FUNCTION", "PROCEDURE"]) {
            match word.as_str() {
                "ATOMIC" if self.last_word == "BEGIN" => self.blocks += 1,
                "CASE" if self.blocks > 0 => self.blocks += 1,
                "END" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        // Of the two words for the client, the server takes either in either direction.
        if ["STDIN", "STDOUT"].contains(&word.as_str())
            && self.last_word == "FROM"
            && self.parentheses == 0
            && self.begins_with(&["COPY"])
        {
            self.from_stdin = true;
        }
        if !self.led && self.words.len() < LEADING_WORDS_MAX {
            self.words.push(word.clone());
        }
        self.last_word = word;
    }
}

impl Splitter<'_> {
    fn run(&mut self) {
        while let Some(token) = token(self.text, self.at, self.backslash_escapes) {
            self.at = token.end;
            if token.is_trivia() {
                continue;
            }
            match token.kind {
                TokenKind::Semi if !self.current.as_ref().is_some_and(Current::holds_semicolons) => self.end(true),
                TokenKind::Unknown if self.is_psql_command(&token) => self.psql_command(token.start),
                _ => self.extend(&token),
            }
        }
        self.end(false);
    }

    fn extend(&mut self, token: &Token) {
        let current = self.current.get_or_insert_with(|| Current {
            range: token.range(),
            words: Vec::new(),
            led: false,
            parentheses: 0,
            blocks: 0,
            last_word: String::new(),
            from_stdin: false,
        });
        current.range.end = token.end;
        match token.kind {
            TokenKind::OpenParen => current.parentheses += 1,
            TokenKind::CloseParen => current.parentheses = current.parentheses.saturating_sub(1),
            TokenKind::Ident => {
                current.word(self.text[token.range()].to_ascii_uppercase());
                return;
            }
            _ => {}
        }
        current.led = true;
        current.last_word.clear();
    }

    /// Ends the statement that has begun, if one has.
    fn end(&mut self, with_semicolon: bool) {
        let Some(current) = self.current.take() else { return };
        self.follow_setting(&current);
        let rows = (current.from_stdin && with_semicolon).then(|| self.rows());
        let input = rows.map_or(Input::Sql, Input::CopyFromStdin);
        self.found.push(Statement { range: current.range, input });
    }

    /// The rows for the statement that has just ended: the lines from the next one to one with `\.` or the last one.
    fn rows(&mut self) -> Range<usize> {
        let rest = &self.text[self.at..];
        let remark = rest.trim_start_matches([' ', '\t', '\r']);
        if !remark.is_empty() && !remark.starts_with('\n') && !remark.starts_with("--") {
            return self.at..self.at;
        }
        let line_end = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let start = self.at + line_end;
        let mut end = start;
        self.at = self.text.len();
        for line in self.text[start..].split_inclusive('\n') {
            if line.trim_end_matches(['\r', '\n']) == r"\." {
                self.at = end + line.len();
                break;
            }
            end += line.len();
        }
        start..end
    }

    /// Whether a backslash is the beginning of a command to psql: as the first thing of a line or statement, or as one
    /// of those that send what comes before it. Elsewhere it is an error, and the server says so.
    fn is_psql_command(&self, token: &Token) -> bool {
        let Some(rest) = self.text[token.start..].strip_prefix('\\') else { return false };
        // Only white space is looked at, so that a long line with many backslashes costs no more than its length.
        let before = self.text[..token.start].chars().rev().find(|c| *c == '\n' || !c.is_whitespace());
        let is_first = self.current.is_none() || matches!(before, None | Some('\n'));
        let sends = ["g", "crosstab", "watch", "bind", "parse"];
        is_first && !rest.starts_with(char::is_whitespace) || sends.iter().any(|command| rest.starts_with(command))
    }

    fn psql_command(&mut self, start: usize) {
        self.end(false);
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        self.at = start + line.len();
        let mut range = start..start + line.trim_end().len();
        let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
        let takes_rows = words.windows(2).any(|pair| pair[0] == "from" && pair[1] == "stdin");
        if words.first().is_some_and(|word| word == r"\copy") && takes_rows {
            // psql sends the rows itself: they are a part of the command.
            range.end = self.rows().end.max(range.end);
        }
        self.found.push(Statement { range, input: Input::PsqlCommand });
    }

    /// Whether a statement changes what a backslash is in the strings that follow.
    fn follow_setting(&mut self, current: &Current) {
        let words: Vec<&str> = current.words.iter().map(String::as_str).collect();
        let is_set = match words.as_slice() {
            ["SET", "LOCAL" | "SESSION", name, ..] | ["SET" | "RESET", name, ..] => {
                *name == "STANDARD_CONFORMING_STRINGS"
            }
            _ => false,
        };
        if is_set {
            let text = self.text[current.range.clone()].trim_end_matches(['\'', ' ']).to_ascii_lowercase();
            // As far as "off" may be shortened, and every other spelling of it.
            let is_off = ["off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"];
            let value = text.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            self.backslash_escapes = is_off.contains(&value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script, 0..script.len()).into_iter().map(|statement| &script[statement.range]).collect()
    }

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        assert_eq!(
            texts("SELECT ';', E'\\';', $$;$$, $a$;$$;$a$ -- ;\n, \";\" /* ; /* ; */ ; */; ; -- end;\n SELECT 2 "),
            ["SELECT ';', E'\\';', $$;$$, $a$;$$;$a$ -- ;\n, \";\"", "SELECT 2"]
        );
        assert_eq!(
            texts("SELECT U&'\\0041;', a$$b; SELECT $1$$;$$"),
            ["SELECT U&'\\0041;', a$$b", "SELECT $1$$;$$"]
        );
    }

    #[test]
    fn bodies_of_functions_and_rules_hold_semicolons() {
        let function = "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 \
                        END; SELECT 2; END";
        let rule = "CREATE OR REPLACE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)";
        assert_eq!(texts(&format!("{function}; {rule};SELECT 1")), [function, rule, "SELECT 1"]);
        // Where no semicolon can be within parentheses, one has been forgotten: the next statement is another one.
        assert_eq!(texts("CREATE TABLE a (id int; SELECT 1"), ["CREATE TABLE a (id int", "SELECT 1"]);
        assert_eq!(texts("BEGIN; SELECT 1; END"), ["BEGIN", "SELECT 1", "END"]);
    }

    #[test]
    fn what_has_no_end_is_the_rest() {
        for rest in ["SELECT 'a; SELECT 2;", "SELECT $a$ ; $b$;", "/* ; ", "SELECT \"a;"] {
            assert_eq!(texts(&format!("SELECT 1; {rest}")), ["SELECT 1", rest]);
        }
    }

    #[test]
    fn a_session_may_let_a_backslash_escape() {
        assert_eq!(
            texts(
                "SET standard_conforming_strings = off; SELECT 'a\\';'; RESET standard_conforming_strings; SELECT '\\';"
            ),
            [
                "SET standard_conforming_strings = off",
                "SELECT 'a\\';'",
                "RESET standard_conforming_strings",
                "SELECT '\\'"
            ]
        );
        assert_eq!(texts("SET LOCAL standard_conforming_strings TO 'off'; SELECT N'\\';';").len(), 2);
        assert_eq!(texts("SET standard_conforming_strings TO on; SELECT '\\';';").len(), 3);
    }

    #[test]
    fn commands_to_psql_are_kept_apart() {
        let script = "\\set x 1\r\nSELECT 1\n\\gexec\nSELECT 'a' \\g\n  \\connect other\nSELECT 2 \\ 3;";
        let statements = split(script, 0..script.len());
        let found: Vec<_> = statements.iter().map(|found| (&script[found.range.clone()], &found.input)).collect();
        assert_eq!(
            found,
            [
                ("\\set x 1", &Input::PsqlCommand),
                ("SELECT 1", &Input::Sql),
                ("\\gexec", &Input::PsqlCommand),
                ("SELECT 'a'", &Input::Sql),
                ("\\g", &Input::PsqlCommand),
                ("\\connect other", &Input::PsqlCommand),
                ("SELECT 2 \\ 3", &Input::Sql),
            ]
        );
        assert_eq!(psql_command("\\connect other"), "\\connect");
        assert_eq!(psql_command("\\."), "\\");
    }

    #[test]
    fn rows_follow_a_copy() {
        let script = "COPY a (x) FROM stdin; -- rows\n1;\n\\N\n\\.\nCOPY b FROM STDIN WITH (FORMAT csv);\r\n1\r\n\\.\r\nSELECT 1";
        let statements = split(script, 0..script.len());
        let rows: Vec<_> = statements
            .iter()
            .map(|statement| match &statement.input {
                Input::CopyFromStdin(rows) => Some(&script[rows.clone()]),
                _ => None,
            })
            .collect();
        assert_eq!(rows, [Some("1;\n\\N\n"), Some("1\r\n"), None]);
        assert_eq!(texts("\\copy a from stdin\n1\n\\.\nSELECT 1"), ["\\copy a from stdin\n1\n", "SELECT 1"]);
        assert_eq!(texts("COPY a FROM stdout;\n1\n\\.\nSELECT 1"), ["COPY a FROM stdout", "SELECT 1"]);
        assert_eq!(texts("COPY (SELECT 1) TO stdout; SELECT 1; COPY a FROM stdin").len(), 3);
    }

    #[test]
    fn the_time_grows_with_the_length() {
        for piece in ["\\ ", "COPY a FROM stdin;", "$a", "(", "'a'\\", "--\n", "/**/", "CASE "] {
            let script = format!("SELECT {}", piece.repeat(1_000_000 / piece.len()));
            assert!(!split(&script, 0..script.len()).is_empty(), "{piece}");
        }
    }

    #[test]
    fn a_part_of_a_file_has_its_places_in_the_file() {
        let script = "-- é\nSELECT 1; SELECT 2; SELECT 3";
        let statements = split(script, 16..24);
        assert_eq!(statements.len(), 1);
        assert_eq!(&script[statements[0].range.clone()], "SELECT 2");
        assert_eq!(split("é", 1..1), []);
        assert_eq!(split("a", 9..17), []);
    }
}
