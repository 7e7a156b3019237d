fn main() {
    let _ = robust_shm::SharedArray::<bool, 4>::open_or_create("name");
}
