#[derive(Clone, Copy, bytemuck::NoUninit)]
#[repr(C)]
struct Gap {
    small: u8,
    large: u64,
}

fn main() {}
