//! One finding with its place marked in the SQL, for a terminal.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity,
    SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use crate::event::{Finding, Level, RunHeader};
use crate::report::findings::{Excerpt, path};
use crate::report::text::{Look, clean};

/// Its message, its lines of SQL, and what to do.
#[must_use]
pub(super) fn render(finding: &Finding, header: &RunHeader, look: Look) -> String {
    let characters = if look.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let styles = if look.colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_links(false)
        .with_width(look.width);
    let mut text = String::new();
    // Writing to a string does not fail; what the library does not like about a place is not worth a report.
    if handler.render_report(&mut text, &Labelled::new(finding, header)).is_err() {
        text = clean(&format!("{finding}\n"));
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[derive(Debug)]
struct Labelled {
    message: String,
    help: String,
    level: Level,
    /// Where there is one: the excerpt, and what is marked in it as what.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    path: String,
    text: String,
    /// The line of the excerpt's first, from zero.
    line: usize,
    /// Where the part begins in the file, from zero; the excerpt may be cut, and has blanks for tabs.
    start: (usize, usize),
    span: SourceSpan,
    label: String,
}

impl Labelled {
    fn new(finding: &Finding, header: &RunHeader) -> Self {
        let source = finding.place.as_ref().map(|place| {
            let excerpt = Excerpt::of(place);
            Source {
                path: clean(&path(header, &place.file)),
                line: place.excerpt_line.saturating_sub(1),
                start: (place.line.saturating_sub(1), place.column.saturating_sub(1)),
                span: (excerpt.before.len(), excerpt.part.len()).into(),
                label: clean(&finding.object),
                text: excerpt.text(),
            }
        });
        let message = match &source {
            Some(_) => clean(&finding.message),
            // Nothing else names it.
            None => clean(&format!("{}: {}", finding.object, finding.message)),
        };
        Self { message, help: clean(&finding.help), level: finding.level, source }
    }
}

impl fmt::Display for Labelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Labelled {}

impl Diagnostic for Labelled {
    fn severity(&self) -> Option<Severity> {
        Some(match self.level {
            Level::Note => Severity::Advice,
            Level::Warning => Severity::Warning,
            Level::Error => Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let source = self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(source.label.clone()), source.span))))
    }
}

impl SourceCode for Source {
    /// Of the excerpt, but with the lines counted as in the file.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, lines_before, lines_after)?;
        // Without lines around it, the place itself is asked for, to be written above the lines.
        let (line, column) = match (lines_before, lines_after) {
            (0, 0) => self.start,
            _ => (contents.line().saturating_add(self.line), contents.column()),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.path.clone(),
            contents.data(),
            *contents.span(),
            line,
            column,
            contents.line_count(),
        )))
    }
}
