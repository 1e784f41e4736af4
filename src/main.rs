//! The `holdline` program: one call into the command line, its exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdline::cli::main()
}
