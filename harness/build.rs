//! Compiles the committed schema snapshots and the pages about checks in, so that nothing needs a checkout at run time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let snapshots = root.join("snapshots");
    // A new file is a change of the directory.
    println!("cargo::rerun-if-changed={}", snapshots.display());
    println!("cargo::rerun-if-changed={}", root.join("migrations").display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&snapshots)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let version = name.strip_prefix("schema__").and_then(|name| name.strip_suffix(".snap"));
        if let Some(version) = version.and_then(|version| version.parse::<i64>().ok()) {
            let path = file.canonicalize()?;
            let _ = writeln!(code, "    ({version}, include_str!({:?})),", path.display().to_string());
        }
    }
    code.push_str("]\n");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("schema_snapshots.rs"), code)?;
    fs::write(Path::new(&out).join("check_pages.rs"), check_pages(&root.join("docs/checks"))?)
}

/// The pages about checks, by name.
fn check_pages(directory: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path().canonicalize()?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "md") && stem != "README" {
            pages.push((stem, path.display().to_string()));
        }
    }
    pages.sort();
    let mut code = String::from("static PAGES: &[(&str, &str)] = &[\n");
    for (name, path) in pages {
        let _ = writeln!(code, "    ({name:?}, include_str!({path:?})),");
    }
    code.push_str("];\n");
    Ok(code)
}
