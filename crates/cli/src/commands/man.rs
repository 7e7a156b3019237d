//! `man`: the manual page, which is made of the help.

use clap::CommandFactory;
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
    Man::new(meant).render(&mut page)?;
    out.raw(&page)?;
    Ok(0)
}
