fn main() -> Result<(), robust_shm::Error> {
    let lock: &'static _ = Box::leak(Box::new(robust_shm::SharedLock::create("name")?));
    let guard = lock.lock()?;
    std::thread::spawn(move || drop(guard));
    Ok(())
}
