//! `man`: the manual pages, which are made of the help.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::{Failure, USAGE};
use crate::output::Out;

pub(crate) fn run(command: Option<&str>, out: &mut Out) -> Result<u8, Failure> {
    let mut all = Arguments::command();
    all.build();
    let meant = match command {
        None => Some(all),
        Some(name) => all.find_subcommand(name).cloned().map(|command| {
            let page = format!("robust-shm-{name}");
            command.display_name(page)
        }),
    };
    let Some(meant) = meant else {
        return Err(Failure::new(USAGE, "there is no such command"));
    };
    let mut page = Vec::new();
    render(meant, &mut page)?;
    out.raw(&page)?;
    Ok(0)
}

fn render(mut command: Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.render_usage().to_string();
    let has_commands = command.has_subcommands();
    let man = Man::new(command).source(concat!("robust-shm ", env!("CARGO_PKG_VERSION")));
    man.render_title(page)?;
    man.render_name_section(page)?;
    // As the help says it: clap_mangen leaves out the "--" in front of what is run.
    writeln!(page, ".SH SYNOPSIS\n{}", usage.trim_start_matches("Usage: ").replace('-', "\\-"))?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if has_commands {
        man.render_subcommands_section(page)?;
    }
    let mut notes = Vec::new();
    man.render_extra_section(&mut notes)?;
    page.extend(String::from_utf8_lossy(&notes).replacen(".SH EXTRA", ".SH NOTES", 1).into_bytes());
    Ok(())
}
