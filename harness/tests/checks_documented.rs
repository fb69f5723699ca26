//! Every check of migrations and migrators has its page, every page its check, and the index names them all.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proofmark_harness::suites;

const HEADINGS: [&str; 4] =
    ["## What it does on the server", "## An example that it rejects", "## Why", "## How to fix it"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checks")
}

fn cases() -> BTreeSet<String> {
    let plan = suites::plan().into_iter();
    plan.filter(|case| ["migrations", "migrators"].contains(&case.id.suite.as_str()))
        .map(|case| case.id.case)
        // Planned for a directory alone.
        .chain(suites::migrations::policy::CASES.iter().map(|case| case.name.to_owned()))
        .collect()
}

fn pages() -> BTreeSet<String> {
    let entries =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "README.md").map(|name| name.strip_suffix(".md").unwrap().to_owned()).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(directory().join(format!("{name}.md"))).unwrap()
}

#[test]
fn every_check_has_its_page() {
    let (cases, pages) = (cases(), pages());
    let missing: Vec<String> = cases.difference(&pages).map(|name| format!("docs/checks/{name}.md")).collect();
    let left_over: Vec<String> = pages.difference(&cases).map(|name| format!("docs/checks/{name}.md")).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "expected one page for each check of the suites migrations and migrators\nto be written: {missing:#?}\nto be \
         removed, as no check has the name: {left_over:#?}"
    );
}

#[test]
fn every_page_says_what_it_must() {
    for name in pages() {
        let text = page(&name);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("# {name}").as_str()), "the title of docs/checks/{name}.md");
        let summary = lines.find(|line| !line.trim().is_empty()).unwrap_or_default();
        assert!(!summary.starts_with('#'), "expected a sentence below the title of docs/checks/{name}.md");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "the headings of docs/checks/{name}.md");
        for section in text.split("\n## ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap();
            assert!(body.trim().len() > 40, "expected more below {heading:?} of docs/checks/{name}.md");
        }
    }
}

#[test]
fn the_index_names_every_page() {
    let index = page("README");
    for name in pages() {
        let text = page(&name);
        let summary = text.lines().skip(1).skip_while(|line| line.trim().is_empty());
        let summary: Vec<&str> = summary.take_while(|line| !line.trim().is_empty()).collect();
        let line = format!("- [{name}]({name}.md): {}\n", summary.join(" "));
        assert!(index.contains(&line), "expected in docs/checks/README.md:\n{line}");
    }
    let entries = index.lines().filter(|line| line.starts_with("- [")).count();
    assert_eq!(entries, pages().len(), "the entries of docs/checks/README.md");
}
