//! iceoryx2's blackboard: one writer for each entry.

use iceoryx2::config::Config;
use iceoryx2::node::Node;
use iceoryx2::port::reader::EntryHandle;
use iceoryx2::port::writer::EntryHandleMut;
use iceoryx2::prelude::{FileName, NodeBuilder, Path, SemanticString, ServiceName, ipc};
use iceoryx2::service::port_factory::blackboard::PortFactory;

use super::Store;

/// The only key.
const KEY: u64 = 0;

pub struct Blackboard<const N: usize> {
    // In the order in which they must go.
    reader: Option<EntryHandle<ipc::Service, u64, [u64; N]>>,
    writer: Option<EntryHandleMut<ipc::Service, u64, [u64; N]>>,
    service: PortFactory<ipc::Service, u64>,
    _node: Node<ipc::Service>,
    files: Files,
}

impl<const N: usize> Blackboard<N> {
    fn open(&self) -> Self {
        let files = Files { name: self.files.name.clone(), creator: self.files.creator };
        let node = files.node();
        let service = node.service_builder(&files.service()).blackboard_opener::<u64>().open();
        Self { reader: None, writer: None, service: service.expect("the parent holds it"), _node: node, files }
    }
}

impl<const N: usize> Store<N> for Blackboard<N> {
    const WRITERS: usize = 1;

    fn create() -> Self {
        iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Fatal);
        let files = Files { name: robust_shm::unique_name("peers-blackboard"), creator: std::process::id() };
        let node = files.node();
        let builder = node.service_builder(&files.service()).blackboard_creator::<u64>().add::<[u64; N]>(KEY, [0; N]);
        let service = builder.create().expect("a new name");
        Self { reader: None, writer: None, service, _node: node, files }
    }

    fn attach(&self) -> Self {
        let mut new = self.open();
        let reader = new.service.reader_builder().create().expect("room for a reader");
        new.reader = Some(reader.entry(&KEY).expect("added at creation"));
        new
    }

    fn attach_writer(&self) -> Self {
        let mut new = self.open();
        let writer = new.service.writer_builder().create().expect("the only writer");
        new.writer = Some(writer.entry(&KEY).expect("added at creation"));
        new
    }

    #[inline]
    fn read(&mut self) -> [u64; N] {
        *self.reader.as_ref().expect("attached for reading").get()
    }

    #[inline]
    fn write(&mut self, value: &[u64; N]) {
        self.writer.as_mut().expect("attached for writing").update_with_copy(*value);
    }
}

/// Where all that it makes stands, so that the last of it can be removed.
struct Files {
    name: String,
    /// The process that removes them.
    creator: u32,
}

impl Files {
    fn service(&self) -> ServiceName {
        ServiceName::new(&self.name).expect("a short name")
    }

    fn node(&self) -> Node<ipc::Service> {
        let mut config = Config::default();
        config.global.prefix = FileName::new(self.name.as_bytes()).expect("a short name");
        config.global.set_root_path(&Path::new(self.root().to_string_lossy().as_bytes()).expect("a short path"));
        NodeBuilder::new().config(&config).create::<ipc::Service>().expect("room for a node")
    }

    fn root(&self) -> std::path::PathBuf {
        std::env::temp_dir().join(&self.name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if std::process::id() != self.creator {
            return;
        }
        let _ = std::fs::remove_dir_all(self.root());
        let left = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        for file in left.filter(|file| file.file_name().to_string_lossy().starts_with(&self.name)) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}
