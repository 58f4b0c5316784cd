//! Writes the manual pages and the shell completions of the commands into a folder:
//! `cargo run --example manual -- FOLDER`. They come from the definitions that `--help` prints.

use std::io::Result;
use std::path::PathBuf;

use clap_complete::Shell;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| std::io::Error::other("give the folder to write to"))?;
    let (pages, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&pages)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(greenapi_bridge::cli::command(), &pages)?;
    let mut command = greenapi_bridge::cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "greenapi-bridge", &completions)?;
    }
    Ok(())
}
