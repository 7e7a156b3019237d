fn main() {
    let _ = robust_shm::SharedValue::create("name", [true; 8]);
}
