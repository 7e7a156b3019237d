//! A file of fuzzed bytes, opened, created, inspected and removed as every type, judged by the model of tests/hostile.
//!
//! With `cargo install cargo-fuzz` and a nightly toolchain (or `RUSTC_BOOTSTRAP=1`), from the top of the repository:
//!
//! ```sh
//! cargo fuzz run --fuzz-dir tests/fuzz open tests/fuzz/corpus/open tests/fuzz/seeds -- -max_len=8192
//! cargo fuzz run --fuzz-dir tests/fuzz info tests/fuzz/corpus/info tests/fuzz/seeds -- -max_len=8192
//! cargo fuzz run --fuzz-dir tests/fuzz names -- -max_len=300
//! cargo fuzz run --fuzz-dir tests/fuzz schema -- -max_len=600
//! ```
//!
//! Better with a `/dev/shm` of its own, because orphans are looked for among all that is there:
//! `unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm; cargo fuzz ..'`.
#![no_main]

#[path = "../../hostile/faces.rs"]
mod faces;
#[path = "../../hostile/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "../../hostile/mutation.rs"]
#[allow(dead_code)]
mod mutation;
#[path = "../../support/mod.rs"]
mod support;
#[path = "../../hostile/text.rs"]
mod text;
#[path = "../../hostile/trial.rs"]
#[allow(dead_code)]
mod trial;

use std::sync::LazyLock;

static GROUND: LazyLock<trial::Ground> = LazyLock::new(trial::Ground::new);

/// What is being made anew, or was when its maker was killed, is for tests/steps.
const UNFINISHED: [u8; 4] = 0xfe5e_7ed0u32.to_le_bytes();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if bytes.get(model::FLAGS) == Some(&UNFINISHED[..]) {
        return;
    }
    // One of the nine types, in one of two ways of creation. Never 0: orphans are the other target's business.
    let which = bytes.iter().fold(0usize, |sum, byte| sum + usize::from(*byte)) % 18;
    GROUND.try_as(18 + which, &mutation::Image::new(bytes.to_vec()));
});
