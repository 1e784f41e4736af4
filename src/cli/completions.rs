//! `holdline completions` and `holdline man`: files for shells and for `man`.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::Cli;
use super::{Exit, Failed, Outcome, Shell};

/// In the footer of every manual page.
const SOURCE: &str = concat!("holdline ", env!("CARGO_PKG_VERSION"));

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
    // There is no page for `help`, so none may refer to it.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.dir else {
        let mut text = Vec::new();
        page(&command).render(&mut text)?;
        shell.raw(&text)?;
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
    write_pages(&command, folder).map_err(failed)?;
    Ok(Exit::Ok)
}

/// Of a command with commands of its own, theirs as well.
fn write_pages(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner, folder)?;
    }
    page(command).generate_to(folder)?;
    Ok(())
}

/// The generator would give each command the version that it shows itself, which only the first one does.
fn page(command: &clap::Command) -> Man {
    Man::new(command.clone()).source(SOURCE)
}
