//! `holdline completions` and `holdline man`: files for shells and for `man`.

use std::path::PathBuf;

use clap::CommandFactory;

use super::args::Cli;
use super::{Exit, Failed, Outcome, Shell};

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

/// `holdline man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder instead of printing the first one
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Prints the manual page, or writes all of them.
pub(crate) fn man(args: &ManArgs, shell: &mut Shell) -> Outcome {
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        shell.raw(&page)?;
        return Ok(Exit::Ok);
    };
    let failed = |error: std::io::Error| {
        Failed::new(
            Exit::Failure,
            format!("the manual pages cannot be written into {}: {error}", folder.display()),
        )
        .hint("name a folder in which you may write")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    Ok(Exit::Ok)
}
