//! A machine that is far away, until it is out of reach.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::pause;

/// A relay before a server. What clients send goes through it slowly: whatever they do is seen in the
/// middle.
#[derive(Debug)]
pub struct Narrow {
    /// On 127.0.0.1.
    pub port: u16,
    /// Both ends of all connections; `None` once they are cut.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Narrow {
    /// Before the server on `port`: all clients together send two megabytes a second.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let connections = Arc::new(Mutex::new(Some(Vec::new())));
        let all = connections.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(client, port, &all);
            }
        });
        Self { port: own, connections }
    }

    /// Ends all connections, and takes no more.
    pub fn cut(&self) {
        let cut = self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
        for connection in cut.into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(client: TcpStream, port: u16, all: &Mutex<Option<Vec<TcpStream>>>) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(all) = all.as_mut() else { return };
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a server");
    let again = |stream: &TcpStream| stream.try_clone().expect("a socket");
    all.extend([again(&client), again(&server)]);
    let (back_from, back_to) = (again(&server), again(&client));
    thread::spawn(move || pass(client, server, 50));
    thread::spawn(move || pass(back_from, back_to, 0));
}

/// Passes on what comes, with so many milliseconds after each piece, until one of them ends.
fn pass(mut from: TcpStream, mut to: TcpStream, wait: u64) {
    let mut piece = vec![0; 100 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
        pause(wait * length as u64 / piece.len() as u64);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
