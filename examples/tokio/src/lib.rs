//! A value in shared memory as a [`tokio::sync::watch`] channel. A recipe to copy: `src/guide/async_code.md` says why it is a
//! thread that waits.

use std::io;
use std::thread;
use std::time::Duration;

use robust_shm::{LockError, Shareable, SharedValue};
use tokio::sync::watch;

/// How soon the thread notices that nobody listens any more.
const LOOKS_UP: Duration = Duration::from_secs(1);

/// The value as it is now, and each later one; of several that come quickly, the last. The thread that waits ends, and gives
/// the handle back to the segment's life, within a second after the last receiver is gone; or when it can wait no longer, and
/// then the receivers' `changed` is an error.
///
/// # Errors
///
/// If no thread can be made.
///
/// # Examples
///
/// ```
/// use robust_shm::{SharedValue, unique_name};
///
/// let settings = SharedValue::create(&unique_name("tokio"), 1u64)?;
/// let name = settings.name().to_owned();
/// let mut seen = robust_shm_tokio::changes_of(SharedValue::<u64>::open(&name)?)?;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     settings.set(2)?; // in another program
///     seen.changed().await?;
///     assert_eq!(*seen.borrow(), 2);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn changes_of<T: Shareable + Sync>(value: SharedValue<T>) -> io::Result<watch::Receiver<T>> {
    let mut seen = value.commits();
    let (sender, receiver) = watch::channel(value.get());
    thread::Builder::new().name("changes".to_owned()).spawn(move || {
        while !sender.is_closed() {
            match value.wait_newer_for(&mut seen, LOOKS_UP) {
                Ok(newer) => drop(sender.send_replace(newer)),
                Err(LockError::TimedOut { .. }) => {}
                Err(_) => return, // of the system; the receivers are told by the channel's end
            }
        }
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use robust_shm::{SegmentInfo, unique_name};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_guide_shows_this_very_function() {
        let source = include_str!("lib.rs");
        let start = source.find("pub fn changes_of").expect("the function");
        let len = source[start..].find("\n}\n").expect("its end") + 3;
        assert!(include_str!("../../../src/guide/async_code.md").contains(&source[start..start + len]));
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn each_change_wakes_who_awaits_it() -> Result<(), Box<dyn Error>> {
        let value = SharedValue::create(&unique_name("tokio"), 0u64)?;
        let mut seen = changes_of(SharedValue::<u64>::open(value.name())?)?;
        for next in 1..=100 {
            value.set(next)?;
            while *seen.borrow_and_update() != next {
                timeout(SOON, seen.changed()).await??;
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_change_before_the_thread_waits_is_not_missed() -> Result<(), Box<dyn Error>> {
        for _ in 0..50 {
            let value = SharedValue::create(&unique_name("tokio"), 0u64)?;
            let mut seen = changes_of(SharedValue::<u64>::open(value.name())?)?;
            value.set(1)?;
            timeout(SOON, seen.wait_for(|value| *value == 1)).await??;
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_thread_ends_when_nobody_listens() -> Result<(), Box<dyn Error>> {
        let value = SharedValue::create(&unique_name("tokio"), 0u64)?;
        let seen = changes_of(SharedValue::<u64>::open(value.name())?)?;
        assert_eq!(SegmentInfo::of(value.name())?.attached(), 2);
        drop(seen);
        let is_over = async {
            while SegmentInfo::of(value.name())?.attached() != 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<(), robust_shm::Error>(())
        };
        timeout(SOON, is_over).await??;
        Ok(())
    }
}
