//! A plain relay: bytes from one socket to another, one thread, no HTTP. The least that anything in between costs.

use tokio::net::{TcpListener, TcpStream};

/// Serves for ever on a free loopback port, which it prints first.
pub(crate) fn serve(upstream: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut origin = TcpStream::connect(upstream).await.unwrap();
            client.set_nodelay(true).unwrap();
            origin.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut origin).await;
            });
        }
    });
}
