#[repr(u8)]
enum Light {
    Red = 1,
    Green = 255,
}
robust_shm::describe!(Light(i8) { Red, Green });

#[repr(u8)]
enum Wide {
    Red,
}
robust_shm::describe!(Wide(u16) { Red });

fn main() {}
