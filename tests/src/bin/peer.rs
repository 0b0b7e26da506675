//! The program inside the test pods: it answers who it is and whom it sees, asks others, and keeps a stream going.
//!
//! ```text
//! peer serve [PORT]            answers on PORT (8080), TCP and UDP, IPv4 and IPv6: NAME ADDRESS-SEEN;
//!                              on PORT+1 it returns every byte
//! peer probe TARGET...         asks each of tcp://ADDRESS:PORT and udp://ADDRESS:PORT, all at once
//! peer stream ADDRESS:PORT SECONDS   sends numbered blocks to an echo, and checks each that returns
//! peer talk SOCKET             sends its input to a unix socket, and prints the answer
//! peer pause                   does nothing, for ever
//! ```
//! Standard library only: it is built by one call of rustc, and linked into an image without any library.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve"] => serve(PORT),
        ["serve", port] => port.parse().map_err(io::Error::other).and_then(serve),
        ["probe", targets @ ..] => Ok(probe(targets)),
        ["stream", address, time] => stream(address, time).map(|()| true),
        ["talk", socket] => talk(socket).map(|()| true),
        ["pause"] => loop {
            thread::park();
        },
        _ => Err(io::Error::other(
            "usage: peer serve|probe|stream|talk|pause (see the source)",
        )),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Both families on one socket: an IPv6 socket takes IPv4 as well, unless the machine was told otherwise.
fn serve(port: u16) -> io::Result<bool> {
    let answers = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let echo = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port + 1))?;
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    thread::spawn(move || {
        for client in echo.incoming().flatten() {
            thread::spawn(move || returned(&client));
        }
    });
    thread::spawn(move || {
        let mut request = [0; 64];
        while let Ok((_, from)) = datagrams.recv_from(&mut request) {
            let _ = datagrams.send_to(answer(from).as_bytes(), from);
        }
    });
    for mut client in answers.incoming().flatten() {
        thread::spawn(move || {
            let from = client.peer_addr()?;
            client.write_all(answer(from).as_bytes())
        });
    }
    Ok(true)
}

fn answer(from: SocketAddr) -> String {
    format!("{} {}\n", own_name(), from.ip().to_canonical())
}

fn returned(client: &TcpStream) -> io::Result<u64> {
    client.set_nodelay(true)?;
    io::copy(&mut &*client, &mut &*client)
}

/// One line a target, in their order: `TARGET ok NAME SEEN` or `TARGET failed REASON`.
fn probe(targets: &[&str]) -> bool {
    thread::scope(|scope| {
        let asked: Vec<_> = targets
            .iter()
            .map(|target| (target, scope.spawn(|| ask(target))))
            .collect();
        asked.into_iter().fold(true, |all, (target, answer)| {
            let answer = answer.join().unwrap_or_else(|_| Err(io::Error::other("panic")));
            match &answer {
                Ok(text) => println!("{target} ok {}", text.trim()),
                Err(error) => println!("{target} failed {error}"),
            }
            all && answer.is_ok()
        })
    })
}

fn ask(target: &str) -> io::Result<String> {
    if let Some(address) = target.strip_prefix("tcp://") {
        let stream = connect(address)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        return if line.is_empty() {
            Err(io::Error::other("closed without an answer"))
        } else {
            Ok(line)
        };
    }
    if let Some(address) = target.strip_prefix("udp://") {
        return ask_by_datagram(address);
    }
    Err(io::Error::other(
        "a target is tcp://ADDRESS:PORT or udp://ADDRESS:PORT",
    ))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A datagram may be lost by right, so it is sent three times.
fn ask_by_datagram(address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE / 3))?;
    let mut answer = [0; 256];
    let mut last = io::Error::other("not asked");
    for _ in 0..3 {
        match socket.send(b"who").and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => {
                return Ok(String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn talk(socket: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE * 3))?;
    io::copy(&mut io::stdin(), &mut stream)?;
    io::copy(&mut stream, &mut io::stdout()).map(drop)
}

/// Sends a block every ten milliseconds, each with its number, and wants the same back. Ends with one line:
/// `blocks N longest-wait-ms M`, or with the first block that is lost or changed.
fn stream(address: &str, time: &str) -> io::Result<()> {
    let time = Duration::from_secs(time.parse().map_err(io::Error::other)?);
    let mut out = connect(address)?;
    out.set_nodelay(true)?;
    let back = out.try_clone()?;
    // A restart may take a while; a stream is dead when it is silent for longer.
    back.set_read_timeout(Some(Duration::from_mins(1)))?;
    let checker = thread::spawn(move || check(back));
    let (start, mut number) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        out.write_all(&block(number))?;
        number += 1;
        thread::sleep(Duration::from_millis(10));
    }
    out.shutdown(std::net::Shutdown::Write)?;
    let (returned, longest) = checker.join().map_err(|_| io::Error::other("panic"))??;
    println!("blocks {returned} longest-wait-ms {}", longest.as_millis());
    if returned == number {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "sent {number} blocks, {returned} came back"
        )))
    }
}

fn check(mut back: TcpStream) -> io::Result<(u64, Duration)> {
    let (mut number, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    let mut got = [0; 1024];
    loop {
        match back.read_exact(&mut got) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((number, longest)),
            other => other.map_err(|error| io::Error::other(format!("after block {number}: {error}")))?,
        }
        if got != block(number) {
            return Err(io::Error::other(format!("block {number} came back changed")));
        }
        number += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
}

fn block(number: u64) -> [u8; 1024] {
    let mut block = [0; 1024];
    for (place, byte) in block.iter_mut().zip(number.to_be_bytes().iter().cycle()) {
        *place = *byte;
    }
    block
}
