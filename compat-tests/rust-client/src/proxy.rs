//! A TCP proxy whose connections a test can cut, so that a client loses its connection only.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    address: String,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub async fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let (cuts, seen) = watch::channel(0);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = server.clone();
                let mut cut = seen.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    if let Ok(mut upstream) = TcpStream::connect(&server).await {
                        tokio::select! {
                            _ = copy_bidirectional(&mut client, &mut upstream) => {}
                            _ = cut.changed() => {}
                        }
                    }
                });
            }
        });
        Proxy { address, cuts }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Closes every connection that is open now; new ones are accepted.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}
