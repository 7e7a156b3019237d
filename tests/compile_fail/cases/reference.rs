fn main() {
    let _ = robust_shm::SharedValue::<&str>::create("name", "text");
}
