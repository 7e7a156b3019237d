fn main() {
    let _ = robust_shm::SharedSlice::<bool>::open_or_create("name", 4);
}
