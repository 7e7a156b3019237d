//! The program as a script meets it: its output, its exit codes, and what it leaves, with other processes that are killed,
//! stopped, or hostile.

#[path = "../../../../tests/support/mod.rs"]
mod support;

mod codes;
mod contents;
mod foreign;
mod guide;
mod holding;
mod hostile;
mod listing;
mod locking;
mod pages;
mod signals;
mod steps;
mod tool;
mod waiting;
mod watching;

#[test]
fn child() {
    support::play(&[&holding::ROLES[..], &hostile::ROLES].concat());
}
