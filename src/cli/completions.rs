//! `holdline completions` and `holdline man`: files for shells and for `man`.

use clap::CommandFactory;

use super::args::Cli;
use super::{Exit, Outcome, Shell};

/// `holdline completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the completion script. Made in memory first, as the generator would panic on a reader
/// that goes away.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "holdline", &mut script);
    shell.raw(&script)?;
    Ok(Exit::Ok)
}

/// Prints the manual page.
pub(crate) fn man(shell: &mut Shell) -> Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    shell.raw(&page)?;
    Ok(Exit::Ok)
}
