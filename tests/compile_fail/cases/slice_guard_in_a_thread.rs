fn main() -> Result<(), robust_shm::Error> {
    let slice = robust_shm::SharedSlice::<u64>::create("name", 4)?;
    let guard = slice.lock()?;
    std::thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
    Ok(())
}
