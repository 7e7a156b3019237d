fn main() {
    let _ = robust_shm::SharedValue::<String>::create("name", String::new());
}
