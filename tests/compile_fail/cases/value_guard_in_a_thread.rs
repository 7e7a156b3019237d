fn main() -> Result<(), robust_shm::Error> {
    let value = robust_shm::SharedValue::create("name", 1u64)?;
    let guard = value.lock()?;
    std::thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
    Ok(())
}
