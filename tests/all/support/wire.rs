//! A wire to a NameNode that can break, and swallow answers: then the call reaches the server, its answer does not come back, and the
//! connection breaks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir_base::task::Task;

/// The wire; it ends when it is dropped.
pub(crate) struct Wire {
    address: String,
    plan: Arc<Plan>,
    breaks: watch::Sender<()>,
    _task: Task<()>,
}

#[derive(Default)]
struct Plan {
    call: Mutex<Vec<u8>>,
    left: AtomicU32,
}

impl Wire {
    /// A wire to `target`, a host and port.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan: Arc<Plan> = Arc::default();
        let (breaks, broken) = watch::channel(());
        let (target, of_task) = (target.to_owned(), Arc::clone(&plan));
        let accepting = async move {
            let mut wires = Vec::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&target).await.unwrap();
                // It has seen the breaks of before.
                let mut broken = broken.clone();
                broken.mark_unchanged();
                wires.push(weir_base::task::spawn("wire", carry(client, server, Arc::clone(&of_task), broken)));
            }
        };
        Self { address, plan, breaks, _task: weir_base::task::spawn("wires", accepting) }
    }

    /// The host and port to give to clients instead of the server's.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Breaks the connections there are; new ones may be made.
    pub(crate) fn cut(&self) {
        self.breaks.send_replace(());
    }

    /// Swallows the answers of the next `times` calls named `call`.
    pub(crate) fn lose(&self, call: &str, times: u32) {
        assert_eq!(self.left(), 0, "the answers before were lost");
        *self.plan.call.lock().unwrap() = call.as_bytes().to_vec();
        self.plan.left.store(times, Ordering::SeqCst);
    }

    /// How many of the answers that were to be lost have not been yet.
    pub(crate) fn left(&self) -> u32 {
        self.plan.left.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, plan: Arc<Plan>, mut broken: watch::Receiver<()>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut swallow = false;
    loop {
        tokio::select! {
            _ = broken.changed() => return,
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let call = plan.call.lock().unwrap().clone();
                // The name of the method stands in the header of the call, after its length.
                let named = [&[u8::try_from(call.len()).unwrap()], call.as_slice()].concat();
                if plan.left.load(Ordering::SeqCst) > 0 && up[..length].windows(named.len()).any(|part| part == named) {
                    plan.left.fetch_sub(1, Ordering::SeqCst);
                    swallow = true;
                }
                if server.write_all(&up[..length]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                // The server has done it: now nobody hears of it.
                if swallow || client.write_all(&down[..length]).await.is_err() { return }
            }
        }
    }
}
