//! What the user is told.

/// Says each sentence once, however often the reason for it comes back in a row.
pub(crate) struct Voice {
    last: String,
}

impl Voice {
    pub(crate) fn new() -> Self {
        Self { last: String::new() }
    }

    pub(crate) fn say(&mut self, sentence: String) {
        if sentence != self.last {
            eprintln!("zenoh-mirror: {sentence}");
            self.last = sentence;
        }
    }
}
