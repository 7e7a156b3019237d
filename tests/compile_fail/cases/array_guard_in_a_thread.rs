fn main() -> Result<(), robust_shm::Error> {
    let array = robust_shm::SharedArray::<u64, 4>::create("name")?;
    let guard = array.lock()?;
    std::thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
    Ok(())
}
