//! Writes the names of the tests, as a macro cannot count; rebuilds the embedded migrations when one is added.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

/// How many tests with `#[sqlx::test]` there are: a thousand of them take minutes to compile, so that only a bench that
/// runs them asks for so many.
const TESTS_VARIABLE: &str = "DATABASE_PEERS_SQLX_TESTS";

/// Enough to see that they compile and pass.
const TESTS_DEFAULT: u32 = 20;

/// The names have four digits.
const TESTS_MAX: u32 = 10_000;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={TESTS_VARIABLE}");
    let tests = match env::var(TESTS_VARIABLE) {
        Ok(text) => text.parse().map_err(|error| io::Error::other(format!("in {TESTS_VARIABLE}: {error}")))?,
        Err(_) => TESTS_DEFAULT,
    };
    let mut code = String::from("tests! {\n");
    for number in 0..tests.min(TESTS_MAX) {
        let _ = writeln!(code, "    test_{number:04}");
    }
    code.push_str("}\n");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("tests.rs"), code)
}
