fn main() {
    let lock = robust_shm::SharedLock::create("name").unwrap();
    let guard = lock.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(guard));
    });
}
