//! Values and elements whose type is known when the program runs, beside programs that know it when they are compiled: one
//! segment, one lock, and nothing that the schema does not allow.
#![allow(unsafe_code)]

mod any;
mod both;
mod deaths;
mod guards;
mod slices;
#[path = "../support/mod.rs"]
mod support;
mod values;

use robust_shm::dynamic::Schema;
use support::play;

#[test]
fn child() {
    play(&[both::ROLES, deaths::ROLES, guards::ROLES].concat());
}

fn schema(text: &str) -> Schema {
    text.parse().unwrap()
}
