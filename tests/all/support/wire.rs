//! A wire to a NameNode that can break, and does things to calls: it swallows an answer, so that the call reaches the server, its answer does
//! not come back, and the connection breaks; or it refuses a call itself, and the server never hears of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir_base::task::Task;

/// What a client sends before its first call.
const PREAMBLE: usize = 7;
/// Before each call: its length.
const LENGTH: usize = 4;

/// The wire; it ends when it is dropped.
pub(crate) struct Wire {
    address: String,
    plans: Arc<Mutex<Vec<Plan>>>,
    breaks: watch::Sender<()>,
    _task: Task<()>,
}

/// What is to be done to calls of a name.
struct Plan {
    call: String,
    /// So many go through before.
    spared: u32,
    left: u32,
    what: What,
}

#[derive(Clone)]
enum What {
    LoseAnswer,
    /// With an exception of this class.
    Refuse(String),
}

impl Wire {
    /// A wire to `target`, a host and port.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plans: Arc<Mutex<Vec<Plan>>> = Arc::default();
        let (breaks, broken) = watch::channel(());
        let (target, of_task) = (target.to_owned(), Arc::clone(&plans));
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
        Self { address, plans, breaks, _task: weir_base::task::spawn("wires", accepting) }
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
        self.arrange(Plan { call: call.to_owned(), spared: 0, left: times, what: What::LoseAnswer });
    }

    /// Lets `spared` calls named `call` through, and refuses the `times` behind them with an exception of that class.
    pub(crate) fn refuse(&self, call: &str, spared: u32, times: u32, class: &str) {
        self.arrange(Plan { call: call.to_owned(), spared, left: times, what: What::Refuse(class.to_owned()) });
    }

    fn arrange(&self, plan: Plan) {
        let mut plans = self.plans.lock().unwrap();
        plans.retain(|other| other.left > 0);
        assert!(plans.iter().all(|other| other.call != plan.call), "what was arranged before has happened");
        plans.push(plan);
    }

    /// How many of the calls that something was to be done to have not come yet.
    pub(crate) fn left(&self) -> u32 {
        self.plans.lock().unwrap().iter().map(|plan| plan.left).sum()
    }
}

impl Plan {
    /// What is to be done to a call, if there is something.
    fn strikes(&mut self, call: &[u8]) -> Option<What> {
        // The name of the method stands in the header of the call, after its length.
        let named = [&[u8::try_from(self.call.len()).unwrap()], self.call.as_bytes()].concat();
        if self.left == 0 || !call.windows(named.len()).any(|part| part == named) {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        self.left -= 1;
        Some(self.what.clone())
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, plans: Arc<Mutex<Vec<Plan>>>, mut broken: watch::Receiver<()>) {
    let (mut up, mut down) = (Vec::new(), vec![0; 65536]);
    let mut preamble = [0; PREAMBLE];
    if client.read_exact(&mut preamble).await.is_err() || server.write_all(&preamble).await.is_err() {
        return;
    }
    let mut swallow = false;
    loop {
        tokio::select! {
            _ = broken.changed() => return,
            read = client.read_buf(&mut up) => {
                let Ok(1..) = read else { return };
                while let Some(call) = first_call(&mut up) {
                    let struck = plans.lock().unwrap().iter_mut().find_map(|plan| plan.strikes(&call));
                    swallow |= matches!(struck, Some(What::LoseAnswer));
                    let passed_on = match struck {
                        Some(What::Refuse(class)) => client.write_all(&refusal(&call, &class)).await,
                        _ => server.write_all(&call).await,
                    };
                    if passed_on.is_err() { return }
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                // The server has done it: now nobody hears of it.
                if swallow || client.write_all(&down[..length]).await.is_err() { return }
            }
        }
    }
}

/// Takes the first call out of what a client has sent, with its length before it, if all of it is there.
fn first_call(sent: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(sent.get(..LENGTH)?.try_into().unwrap()) as usize;
    (sent.len() >= LENGTH + length).then(|| sent.drain(..LENGTH + length).collect())
}

/// The answer to `call` that it failed (`RpcResponseHeaderProto` of Hadoop).
fn refusal(call: &[u8], class: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for (tag, words) in [(0x22, class), (0x2a, "refused by the test")] {
        text.extend([tag, u8::try_from(words.len()).unwrap()]);
        text.extend(words.as_bytes());
    }
    // The number of the call, an error, the version of the protocol.
    let header = [&[0x08][..], &number_of(call), &[0x10, 1, 0x18, 9], &text].concat();
    let length = u8::try_from(header.len()).unwrap();
    assert!(length < 0x80, "a length of one byte");
    [&u32::from(length + 1).to_be_bytes()[..], &[length], &header].concat()
}

/// The number of a call: the third field of its header (`RpcRequestHeaderProto`), where the last bit is the sign.
fn number_of(call: &[u8]) -> Vec<u8> {
    let mut rest = &call[LENGTH..];
    varint(&mut rest);
    loop {
        let (tag, mut value) = (varint(&mut rest), varint(&mut rest));
        if tag == 0x18 {
            value /= 2;
            let mut number = Vec::new();
            while value >= 0x80 {
                number.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
                value >>= 7;
            }
            number.push(u8::try_from(value).unwrap());
            return number;
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}
