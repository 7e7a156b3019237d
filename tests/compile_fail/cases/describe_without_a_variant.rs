#[repr(u8)]
enum Light {
    Red,
    Green,
}
robust_shm::describe!(Light(u8) { Red });

fn main() {}
