use std::sync::atomic::AtomicU64;

fn main() {
    let _ = robust_shm::SharedArray::<AtomicU64, 4>::options().poison(false).create("name");
}
