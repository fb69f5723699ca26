//! Rebuilds the embedded migrations when one is added: the macro that embeds them sees only those it read.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
