//! `mmap-sync`: two files that one writer fills in turn.

use std::path::PathBuf;
use std::time::Duration;

use mmap_sync::synchronizer::Synchronizer;

use super::Store;

pub struct MmapSync {
    synchronizer: Synchronizer,
    path: PathBuf,
    /// The process that removes the files.
    creator: u32,
}

/// How long a writer waits for a reader before it calls it dead.
const GRACE: Duration = Duration::from_secs(10);

impl MmapSync {
    fn at(path: PathBuf, creator: u32) -> Self {
        Self { synchronizer: Synchronizer::new(path.as_os_str()), path, creator }
    }
}

impl<const N: usize> Store<N> for MmapSync {
    const WRITERS: usize = 1;

    /// A reader looks which half is current, and only then says that it reads it: it does not notice two writes in
    /// between (2.0.4, `Synchronizer::read`).
    const MAY_TEAR: bool = true;

    fn create() -> Self {
        let path = PathBuf::from("/dev/shm").join(robust_shm::unique_name("peers-mmap-sync"));
        let mut new = Self::at(path, std::process::id());
        Store::<N>::write(&mut new, &[0; N]);
        new
    }

    fn attach(&self) -> Self {
        Self::at(self.path.clone(), self.creator)
    }

    #[inline]
    fn read(&mut self) -> [u64; N] {
        // SAFETY: the copy is made long before the grace time is over.
        *unsafe { self.synchronizer.read::<[u64; N]>(false) }.expect("written at creation")
    }

    #[inline]
    fn write(&mut self, value: &[u64; N]) {
        self.synchronizer.write(value, GRACE).expect("the only writer");
    }
}

impl Drop for MmapSync {
    fn drop(&mut self) {
        if std::process::id() != self.creator {
            return;
        }
        for end in ["_state", "_data_0", "_data_1"] {
            let mut file = self.path.clone().into_os_string();
            file.push(end);
            let _ = std::fs::remove_file(file);
        }
    }
}
