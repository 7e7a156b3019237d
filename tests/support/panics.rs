//! Where something panics.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

enum Watch {
    /// Panics are told as ever.
    Off,
    On,
    Panicked(String, u32),
}

thread_local! {
    static WATCH: RefCell<Watch> = const { RefCell::new(Watch::Off) };
}

/// Where and with which words the action panics.
pub fn panic_of<R>(action: impl FnOnce() -> R) -> (String, u32, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let seen = WATCH.with_borrow_mut(|watch| match (&watch, info.location()) {
                (Watch::On, Some(at)) => {
                    *watch = Watch::Panicked(at.file().to_owned(), at.line());
                    true
                }
                _ => false,
            });
            if !seen {
                before(info);
            }
        }));
    });
    WATCH.set(Watch::On);
    let result = catch_unwind(AssertUnwindSafe(action));
    let (Err(payload), Watch::Panicked(file, line)) = (result, WATCH.replace(Watch::Off)) else { panic!("no panic") };
    let words =
        payload.downcast_ref::<String>().cloned().unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).into());
    (file, line, words)
}
