//! Tests that do nothing: what processes cost alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    database_peers::main(|_| async { Ok(()) })
}
