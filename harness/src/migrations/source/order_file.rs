//! An order that is kept by hand: a file with one path a line.

use std::collections::HashMap;

use super::Step;
use super::files::lines;
use super::problem::{Problem, ProblemKind};
use crate::event::{Level, Place};

/// An order file.
#[derive(Debug, Clone)]
pub(super) struct OrderFile {
    /// What it is called, for people.
    pub(super) name: String,
    pub(super) text: String,
}

/// The steps that an order file names, in its order.
pub(super) fn apply(order: &OrderFile, steps: Vec<Step>, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut by_file: HashMap<String, Vec<Step>> = HashMap::new();
    let mut files: Vec<String> = Vec::new();
    for step in steps {
        let file = step.up.file.to_string();
        files.push(file.clone());
        by_file.entry(file).or_default().push(step);
    }
    let mut ordered = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (number, (start, line)) in lines(&order.text).enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let path = entry.strip_prefix("./").unwrap_or(entry);
        let place = Place::new(&order.name, &order.text, start..start + line.trim_end().len());
        let mut problem = |message: String, help: &str| {
            problems.push(Problem::new(ProblemKind::OrderFile, &order.name, message, help).at(place.clone()));
        };
        if let Some(first) = seen.insert(path, number + 1) {
            problem(
                format!("expected each file once, found {path} in line {first} as well"),
                "delete one of the lines",
            );
        } else if let Some(found) = by_file.remove(path) {
            ordered.extend(found);
        } else {
            problem(
                format!("expected a migration {path}, found none"),
                "write the path of a file relative to the directory, or delete the line",
            );
        }
    }
    for file in files.into_iter().filter(|file| by_file.contains_key(file)) {
        let problem = Problem::new(
            ProblemKind::OrderFile,
            &file,
            format!("expected it in the order file {}, found it not there: it is not run", order.name),
            "add its path where it is to be run, or move it elsewhere",
        );
        problems.push(problem.level(Level::Warning));
    }
    ordered
}
