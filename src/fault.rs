//! Points between any two steps that another process could see, for tests that let a process die at each of them.
//!
//! Without `--cfg robust_shm_fault`, [`point!`] is nothing, and there is nothing else in this file. With it, a test has
//! every point in the source listed, and is called whenever one is passed: `tests/steps`.
#![cfg_attr(robust_shm_fault, allow(unsafe_code))]

/// Names what has just happened.
macro_rules! point {
    ($name:literal) => {
        #[cfg(robust_shm_fault)]
        {
            #[used]
            #[allow(unsafe_code, reason = "the section holds nothing but such statics")]
            #[unsafe(link_section = "robust_shm_points")]
            static POINT: &str = $name;
            $crate::fault::passed(&POINT);
        }
    };
}
pub(crate) use point;

#[cfg(robust_shm_fault)]
mod watched {
    use std::sync::OnceLock;

    static WATCHER: OnceLock<fn(&'static str)> = OnceLock::new();

    unsafe extern "C" {
        // The linker's names for the ends of the section.
        static __start_robust_shm_points: u8;
        static __stop_robust_shm_points: u8;
    }

    #[cold]
    pub(crate) fn passed(point: &'static &'static str) {
        if let Some(watcher) = WATCHER.get() {
            watcher(point);
        }
    }

    /// Has `watcher` called at every point that this process passes from now on. Once for a process.
    #[doc(hidden)]
    pub fn watch_points(watcher: fn(&'static str)) {
        WATCHER.set(watcher).expect("the points are being watched already");
    }

    /// Every point that stands in the source.
    #[doc(hidden)]
    #[must_use]
    pub fn declared_points() -> &'static [&'static str] {
        let start = &raw const __start_robust_shm_points;
        let end = &raw const __stop_robust_shm_points;
        let count = (end.addr() - start.addr()) / size_of::<&str>();
        // SAFETY: the section is an array of `&str` statics, which are never changed.
        unsafe { std::slice::from_raw_parts(start.cast(), count) }
    }
}
#[cfg(robust_shm_fault)]
pub(crate) use watched::passed;
#[cfg(robust_shm_fault)]
pub use watched::{declared_points, watch_points};
