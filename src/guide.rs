//! The guide: pages for users, and two for whoever works on this crate or beside it.
//!
//! | page | for the question |
//! |---|---|
//! | [`choosing`] | which type fits? |
//! | [`recovery`] | what happens when a process dies, and how is it repaired? |
//! | [`structs`] | how do I share a struct, and how do programs agree on it? |
//! | [`recipes`] | how do I run one instance only, elect a leader, count, cross users and containers? |
//! | [`async_code`] | how do tokio tasks, or an event loop, wait for shared memory? |
//! | [`limits`] | what can it not do, and whom does it trust? |
//! | [`systems`] | what is different on Windows, macOS and FreeBSD? |
//! | [`performance`] | what does it cost? |
//! | [`python`] | I know `multiprocessing`: what is what? |
//! | [`porting`] | I know POSIX threads, Boost.Interprocess or `raw_sync`: what is what? |
//! | [`command_line`] | I am at a shell: who holds my lock, what is left of a crash, how do I lock from a script? |
//! | [`errors`] | what does this message mean? |
//! | [`format`](mod@format) | which byte is where, for a program in another language? |
//! | [`internals`] | how does it work, and where do I change it? |

macro_rules! page {
    ($name:ident, $file:literal) => {
        pub mod $name {
            #![doc = include_str!($file)]

            #[cfg(doc)]
            use crate::*;
        }
    };
}

page!(choosing, "guide/choosing.md");
page!(recovery, "guide/recovery.md");
page!(structs, "guide/structs.md");
page!(recipes, "guide/recipes.md");
page!(async_code, "guide/async_code.md");
page!(limits, "guide/limits.md");
page!(systems, "guide/systems.md");
page!(performance, "guide/performance.md");
page!(python, "guide/python.md");
page!(porting, "guide/porting.md");
page!(command_line, "guide/command_line.md");
page!(errors, "guide/errors.md");
page!(format, "guide/format.md");
page!(internals, "guide/internals.md");
