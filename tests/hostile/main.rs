//! Hostile files: bytes damaged in every way that comes to mind, and strange things under a segment's name. Nothing
//! crashes, hangs, or opens what is no segment of the type; and only what is an orphan of ours is removed.
//!
//! `ROBUST_SHM_HOSTILE_INPUTS=10000000 cargo test --release --test hostile bytes::` tries more, with other random numbers.
#![allow(unsafe_code)]

mod bytes;
mod contents;
mod faces;
mod files;
mod headers;
mod lockers;
mod model;
mod mutation;
mod owners;
mod plant;
#[path = "../support/mod.rs"]
mod support;
mod text;
mod trial;

#[test]
fn child() {
    support::play(&[
        #[cfg(target_os = "linux")]
        ("sticky", owners::look_into_a_sticky_directory),
        #[cfg(target_os = "linux")]
        ("another-mode", owners::look_at_modes),
        #[cfg(target_os = "linux")]
        ("shrinks", files::read_a_file_that_shrinks),
        #[cfg(target_os = "linux")]
        ("occupied", lockers::meet_a_lock_on_all_bytes),
    ]);
}
