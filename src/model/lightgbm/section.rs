//! The text as sections of lines `key=value`: a header, a section for each tree, what comes after them.

/// The most lines in a section that are kept: those after it are of no version.
const LINES_MAX: usize = 256;

/// Some lines of the file.
pub(super) struct Section<'a> {
    /// `Tree` for a tree, `end` for what comes after all trees, else empty.
    pub(super) name: &'a str,
    number: &'a str,
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Section<'a> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.lines.iter().find(|line| line.0 == key).map(|line| line.1)
    }

    /// Whether there is such a key, with or without a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// How errors call it.
    pub(super) fn place(&self) -> String {
        if self.name.is_empty() { "the header".to_owned() } else { format!("{} {}", self.name, self.number) }
    }
}

/// The sections of a file, one by one.
pub(super) struct Sections<'a> {
    lines: std::iter::Peekable<std::str::Lines<'a>>,
    has_begun: bool,
}

impl<'a> Sections<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { lines: text.lines().peekable(), has_begun: false }
    }
}

/// The beginning of a section.
fn heading(line: &str) -> Option<(&str, &str)> {
    if let Some(number) = line.strip_prefix("Tree=") {
        return Some(("Tree", number));
    }
    (line == "end of trees").then_some(("end", ""))
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        let mut section = Section { name: "", number: "", lines: Vec::new() };
        if self.has_begun {
            (section.name, section.number) = heading(self.lines.next()?)?;
        }
        self.has_begun = true;
        while let Some(line) = self.lines.peek().filter(|line| heading(line).is_none()) {
            if section.lines.len() < LINES_MAX && !line.is_empty() {
                section.lines.push(line.split_once('=').unwrap_or((line, "")));
            }
            self.lines.next();
        }
        Some(section)
    }
}
