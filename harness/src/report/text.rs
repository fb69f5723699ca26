//! Text for terminals: colour that can be turned off, widths, wrapping.

/// How a text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The width of a line, in columns.
    pub width: usize,
    /// Whether to colour it, with ANSI sequences.
    pub colour: bool,
    /// Whether it may hold more than ASCII of ours; what a subject says is shown as it is.
    pub unicode: bool,
}

/// What a piece of text is to be noticed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Strong,
    /// Secondary.
    Faint,
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// Neither: to be looked at.
    Odd,
}

impl Look {
    /// The text in a tone.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.trim().is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Odd => "1;35",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The text as it can be shown: our marks and rules in ASCII where there is nothing else.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn fitted(text: String, look: Look) -> String {
    if look.unicode {
        return text;
    }
    // One for one, so that columns stay where they are.
    let plain = |character| match character {
        '─' => '-',
        '✓' => '+',
        '✗' => 'x',
        '·' => '.',
        '…' => '~',
        'µ' => 'u',
        other => other,
    };
    text.chars().map(plain).collect()
}

/// The text with its control characters made visible: what a subject says must not steer the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => output.push('\n'),
            '\t' => output.push_str("    "),
            _ if character.is_control() => output.extend(character.escape_default()),
            _ => output.push(character),
        }
    }
    output
}

/// Breaks a text into lines of at most `width` columns at its blanks; a longer word stands alone.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if columns > 0 && columns + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += length;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Cuts a line that is too long.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut output: String = text.chars().take(width.saturating_sub(1)).collect();
    output.push('…');
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cli")]
    #[test]
    fn lines_keep_to_their_width() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a incomprehensible b", 5), ["a", "incomprehensible", "b"]);
        assert_eq!(wrap("  ", 5), Vec::<String>::new());
        assert_eq!([cut("abc", 3), cut("abcd", 3)], ["abc", "ab…"]);
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(clean("a\x1b[31mb\r\nc\td"), "a\\u{1b}[31mb\\r\nc    d");
    }
}
