//! What a layout makes of files, before it is known what is in order.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use super::files::TextFile;
use super::problem::{Problem, ProblemKind};
use super::{Layout, Script, Step, StepKind};
use crate::event::Place;

/// A script, and what its name says of it.
#[derive(Debug)]
pub(super) struct Part {
    /// What an up script has in common with its down script, and no two others have.
    pub(super) id: String,
    /// The version as it is written.
    pub(super) version: Option<String>,
    /// The version in numbers; empty if there is none.
    pub(super) number: Vec<u64>,
    pub(super) name: String,
    pub(super) kind: StepKind,
    pub(super) script: Script,
}

/// How a layout's tool orders migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// By the numbers of their versions.
    Version,
    /// By their paths as text.
    Name,
    /// By their paths, numbers in them as numbers.
    Natural,
}

/// A step, with what it is sorted by.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: Vec<u64>,
    pub(super) step: Step,
}

/// What a layout makes of files.
#[derive(Debug, Default)]
pub(super) struct Plan {
    ups: Vec<Part>,
    downs: Vec<Part>,
    claimed: HashSet<Arc<str>>,
    pub(super) problems: Vec<Problem>,
}

impl Plan {
    pub(super) fn up(&mut self, part: Part) {
        self.claimed.insert(Arc::clone(&part.script.file));
        self.ups.push(part);
    }

    pub(super) fn down(&mut self, part: Part) {
        self.claimed.insert(Arc::clone(&part.script.file));
        self.downs.push(part);
    }

    /// A file that is known for what it is, and not run.
    pub(super) fn claim(&mut self, file: &TextFile) {
        self.claimed.insert(Arc::clone(&file.path));
    }

    pub(super) fn is_claimed(&self, file: &TextFile) -> bool {
        self.claimed.contains(&file.path)
    }

    /// Puts up and down scripts together.
    pub(super) fn entries(&mut self, layout: Layout) -> Vec<Entry> {
        let mut downs: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        for part in std::mem::take(&mut self.downs) {
            downs.entry(part.id.clone()).or_default().push(part);
        }
        let mut ups = std::mem::take(&mut self.ups);
        ups.sort_by(|one, other| one.script.file.cmp(&other.script.file));
        let mut seen: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut entries = Vec::new();
        for part in ups {
            match seen.get(&part.id) {
                Some(first) => self.problems.push(duplicate(&part, first, layout)),
                None => drop(seen.insert(part.id.clone(), Arc::clone(&part.script.file))),
            }
            let mut own = downs.remove(&part.id).unwrap_or_default().into_iter();
            let down = own.next();
            for other in own {
                let first = down.as_ref().map_or(&part.script.file, |down| &down.script.file);
                self.problems.push(duplicate(&other, first, layout));
            }
            let Part { version, number, name, kind, script, .. } = part;
            let down = down.map(|down| down.script);
            entries.push(Entry { number, step: Step { version, name, kind, up: script, down } });
        }
        for down in downs.into_values().flatten() {
            let problem = Problem::new(
                ProblemKind::DownWithoutUp,
                &down.script.file,
                "expected an up script with the same version beside this down script, found none",
                "add the up script, or delete this one if its migration is gone for good",
            );
            self.problems.push(problem.at(Place::file(&down.script.file, &down.script.text)));
        }
        entries
    }
}

fn duplicate(part: &Part, first: &str, layout: Layout) -> Problem {
    let version = part.version.as_deref().unwrap_or(&part.name);
    let (kind, what) = match layout {
        Layout::Plain => (ProblemKind::AmbiguousOrder, "which of them is run first is a matter of luck"),
        Layout::Flyway | Layout::Goose | Layout::GolangMigrate | Layout::Refinery => {
            (ProblemKind::DuplicateVersion, "the tool refuses to start")
        }
        _ => {
            (ProblemKind::DuplicateVersion, "the tool runs one of them only, or fails when it records the second")
        }
    };
    let problem = Problem::new(
        kind,
        &part.script.file,
        format!("expected one file for version {version}, found this one and {first}: {what}"),
        "give the one that was added last a version above all others",
    );
    problem.at(Place::file(&part.script.file, &part.script.text))
}
