//! The documentation page of each check, compiled in, so that a report can say more than a name without a network.

include!(concat!(env!("OUT_DIR"), "/check_pages.rs"));

/// Where the project is published, if it is; the pages are in it.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The page of a check, as Markdown.
pub(super) fn page(check: &str) -> Option<&'static str> {
    PAGES.binary_search_by_key(&check, |(name, _)| name).ok().and_then(|at| PAGES.get(at)).map(|(_, text)| *text)
}

/// Where the page of a check can be read by anybody.
pub(super) fn url(check: &str) -> Option<String> {
    (!REPOSITORY.is_empty() && page(check).is_some())
        .then(|| format!("{}/blob/main/docs/checks/{check}.md", REPOSITORY.trim_end_matches('/')))
}

/// What a page says under its heading, before the first section.
pub(super) fn summary(page: &str) -> String {
    let lines = page.lines().skip_while(|line| line.starts_with('#') || line.trim().is_empty());
    lines.take_while(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_name() {
        assert!(PAGES.is_sorted_by_key(|(name, _)| *name));
        assert!(
            page("foreign_keys_are_indexed").is_some_and(|page| page.starts_with("# foreign_keys_are_indexed\n"))
        );
        assert_eq!((page(""), page("zzz")), (None, None));
        assert_eq!(summary("# name\n\nOne\nsentence.\n\n## What it does\n\nMore."), "One sentence.");
    }
}
