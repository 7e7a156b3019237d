//! The commands: each is a function that prints, and gives its exit code.

use crate::arguments::Command;
use crate::failure::Failure;
use crate::output::Out;

mod completions;
mod create;
mod event;
mod gc;
mod holders;
mod info;
pub(crate) mod lock;
mod ls;
mod man;
mod rm;
pub(crate) mod show;
mod value;
mod wait;

pub(crate) fn run(command: &Command, out: &mut Out) -> Result<u8, Failure> {
    match command {
        Command::Ls(ls) => ls::run(ls, out),
        Command::Show(show) => show::run(show, out),
        Command::Get(get) => value::get(get, out),
        Command::Set(set) => value::set(set),
        Command::Add(add) => value::add(add, out),
        Command::Info(name) => info::run(&name.name, out),
        Command::Holders(name) => holders::run(&name.name, out),
        Command::Create(create) => create::run(create),
        Command::Rm(rm) => rm::run(rm, out),
        Command::Gc(gc) => gc::run(gc, out),
        Command::Wait(wait) => wait::run(wait),
        Command::Lock(lock) => lock::run(lock, out),
        Command::Event(event) => event::run(event),
        Command::Completions(completions) => completions::run(completions.shell, out),
        Command::Man(man) => man::run(man.command.as_deref(), out),
        Command::Names => completions::names(out),
    }
}
