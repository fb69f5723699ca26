//! What the tests of reports have in common.

/// Snapshots are in the one place for all of them, and say nothing of how they were made.
pub(crate) fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// A text without the sequences that colour it.
pub(crate) fn without_colour(text: &str) -> String {
    let mut stripped = String::new();
    let mut rest = text;
    while let Some((text, sequence)) = rest.split_once("\x1b[") {
        stripped.push_str(text);
        rest = sequence.split_once('m').map_or("", |(_, rest)| rest);
    }
    stripped + rest
}
