//! iceoryx2's blackboard: one writer for each entry.

use std::rc::Rc;

use iceoryx2::config::Config;
use iceoryx2::node::Node;
use iceoryx2::port::reader::EntryHandle;
use iceoryx2::port::writer::EntryHandleMut;
use iceoryx2::prelude::{NodeBuilder, ServiceName, ipc};

use super::Store;

/// The only key.
const KEY: u64 = 0;

type Service = iceoryx2::service::port_factory::blackboard::PortFactory<ipc::Service, u64>;

pub struct Blackboard<const N: usize> {
    name: Rc<ServiceName>,
    // In the order in which they must go.
    reader: Option<EntryHandle<ipc::Service, u64, [u64; N]>>,
    writer: Option<EntryHandleMut<ipc::Service, u64, [u64; N]>>,
    _service: Service,
    _node: Node<ipc::Service>,
}

impl<const N: usize> Blackboard<N> {
    fn open(&self) -> Self {
        let node = node();
        let service = node.service_builder(&self.name).blackboard_opener::<u64>().open().expect("the parent holds it");
        Self { name: Rc::clone(&self.name), reader: None, writer: None, _service: service, _node: node }
    }
}

impl<const N: usize> Store<N> for Blackboard<N> {
    const WRITERS: usize = 1;

    fn create() -> Self {
        iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Fatal);
        let name = ServiceName::new(&robust_shm::unique_name("peers-blackboard")).expect("a short name");
        let node = node();
        let builder = node.service_builder(&name).blackboard_creator::<u64>().add::<[u64; N]>(KEY, [0; N]);
        let service = builder.create().expect("a new name");
        Self { name: Rc::new(name), reader: None, writer: None, _service: service, _node: node }
    }

    fn attach(&self) -> Self {
        let new = self.open();
        let reader = new._service.reader_builder().create().expect("room for a reader");
        Self { reader: Some(reader.entry(&KEY).expect("added at creation")), ..new }
    }

    fn attach_writer(&self) -> Self {
        let new = self.open();
        let writer = new._service.writer_builder().create().expect("the only writer");
        Self { writer: Some(writer.entry(&KEY).expect("added at creation")), ..new }
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

fn node() -> Node<ipc::Service> {
    NodeBuilder::new().create::<ipc::Service>().expect("room for a node")
}
