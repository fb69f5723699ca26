//! The README's examples, run as what they are.

// example
use proofmark_harness::{Migrations, TestDatabase};

#[tokio::test]
async fn a_tag_is_taken_once() -> Result<(), Box<dyn std::error::Error>> {
    let migrations = Migrations::from_directory("../migrations".as_ref())?;
    let database = TestDatabase::acquire(&migrations).await?;

    let insert = "INSERT INTO ml_bentoml_services (bento_tag, bento_version, service_name)
        VALUES ('fraud:1', '1', 'fraud')";
    sqlx::query(insert).execute(database.pool()).await?;
    let again = sqlx::query(insert).execute(database.pool()).await;
    assert!(again.is_err_and(|error| error.as_database_error().is_some_and(|error| error.is_unique_violation())));

    // For any other client: psql, an application under test, a driver of another language.
    println!("{}", database.url());
    Ok(())
}
// end

/// A reader who copies it must get what is run here.
#[test]
fn the_readme_shows_this_example() {
    let (readme, ours) = (include_str!("../../README.md"), include_str!("readme.rs"));
    let example = ours.split("// example\n").nth(1).and_then(|rest| rest.split("// end\n").next());
    let example = example.map(|example| example.replace("../migrations", "migrations"));
    assert!(example.is_some_and(|example| readme.contains(&format!("```rust\n{example}```"))), "see README.md");
}

#[test]
fn the_readme_shows_the_adapter_that_takes_the_kit() {
    let (readme, ours) =
        (include_str!("../../README.md"), include_str!("../examples/foreign-repository/tests/conformance.rs"));
    let adapter =
        ours.split("// adapter\n").nth(1).and_then(|rest| rest.split("// end\n").next()).unwrap_or_default();
    assert!(readme.contains(&format!("```rust\n{adapter}```")), "see README.md");
    let lines = adapter.lines().filter(|line| !line.trim().is_empty()).count();
    assert!((1..60).contains(&lines), "{lines} lines");
}
