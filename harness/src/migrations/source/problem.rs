//! What is wrong with files as files.

use crate::event::{Level, Place};

/// Something that is wrong with the files as files, whatever is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// How much it matters.
    pub level: Level,
    /// The file that it is about, relative to the project.
    pub file: String,
    /// Where.
    pub place: Option<Place>,
    /// What was expected, and what was found.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Problem {
    /// A problem with a file as a whole, which counts.
    pub(super) fn new(kind: ProblemKind, file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            kind,
            level: Level::Error,
            file: file.to_owned(),
            place: Some(Place::file(file, "")),
            message: message.into(),
            help: help.into(),
        }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    pub(super) fn level(self, level: Level) -> Self {
        Self { level, ..self }
    }
}

/// The kinds of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Two files have one version.
    DuplicateVersion,
    /// A version is missing between two others.
    Gap,
    /// The order of two files is open.
    AmbiguousOrder,
    /// A line of the order file, or a file that it leaves out.
    OrderFile,
    /// Not UTF-8, or no text at all.
    Encoding,
    /// A script that reverts nothing.
    DownWithoutUp,
    /// A file that the layout does not know.
    Unrecognized,
    /// A marker within a file is missing, or not where the tool wants it.
    Marker,
    /// Larger than what is read.
    TooLarge,
    /// What cannot be read, or is no file: a pipe, a device, a link to nowhere, a directory too deep.
    Unreadable,
}
