//! Events: who waits goes on when somebody sets them, and nobody else; whoever is killed.
//!
//! ```sh
//! cargo test --test event                                                              # 3 s of storm
//! ROBUST_SHM_STORM_SECONDS=120 cargo test --release --test event storm -- --nocapture  # thousands of kills
//! ```
#![allow(unsafe_code)]

mod claims;
#[path = "../support/deaths.rs"]
mod deaths;
mod neighbours;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use robust_shm::SharedEvent;
use support::{pause, play, say};

#[test]
fn child() {
    let roles = [
        claims::ROLES,
        #[cfg(target_os = "linux")]
        neighbours::ROLES,
        #[cfg(target_os = "linux")]
        storm::ROLES,
    ];
    play(&roles.concat());
}

/// Waits for the event; how often it was set since, is for others to say.
fn waits(name: &str) {
    let event = SharedEvent::open(name).unwrap();
    say("waits");
    event.wait().unwrap();
    say("goes on");
    pause();
}
