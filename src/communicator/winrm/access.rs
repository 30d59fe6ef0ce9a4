//! How another program of this machine gets to one that only a builder's way leads to.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::communicator::Way;
use crate::communicator::listening::listen;

/// The port of loopback from which `way` leads to the machine, as long as the handle lives.
pub(super) async fn lead_over(way: Arc<dyn Way>) -> anyhow::Result<(u16, AbortOnDropHandle<()>)> {
    listen(way, 0, lead).await
}

async fn lead(way: Arc<dyn Way>, mut local: TcpStream) -> anyhow::Result<()> {
    local.set_nodelay(true)?;
    let mut remote = way.dial().await?;
    copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_trait::async_trait;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::communicator::Transport;

    /// Leads to a machine that says hello to whoever comes.
    #[derive(Debug)]
    struct Greeting;

    #[async_trait]
    impl Way for Greeting {
        async fn open(&self) -> anyhow::Result<()> {
            Ok(())
        }
        fn is_open(&self) -> bool {
            true
        }
        fn trouble(&self) -> Option<String> {
            None
        }
        async fn dial(&self) -> io::Result<Transport> {
            let (near, mut far) = duplex(64);
            far.write_all(b"hello").await?;
            Ok(Box::new(near))
        }
    }

    #[tokio::test]
    async fn a_port_of_this_machine_leads_over_the_way() {
        let (port, leads) = lead_over(Arc::new(Greeting)).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        drop(leads);
    }
}
