//! A daemon that says what it was told to say.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Listens until the test ends; its thread ends with the process.
pub struct Scripted {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    _directory: Option<tempfile::TempDir>,
}

/// A complete response.
pub fn response(status: u16, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Text\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

impl Scripted {
    /// Answers every request alike.
    pub fn answering(status: u16, body: &str) -> Self {
        Self::sending(vec![response(status, body)])
    }

    /// The same on a socket of the test's choice.
    pub fn answering_on(socket: &Path, status: u16, body: &str) -> Self {
        Self::start(socket.to_owned(), vec![response(status, body)], None)
    }

    /// Sends these bytes, one item a connection and the last one from then on, and closes.
    pub fn sending(answers: Vec<Vec<u8>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start(directory.path().join("daemon.sock"), answers, Some(directory))
    }

    fn start(socket: PathBuf, answers: Vec<Vec<u8>>, directory: Option<tempfile::TempDir>) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let answer = answers.get(number).or(answers.last()).unwrap();
                serve(stream, answer, &seen);
            }
        });
        Self {
            socket,
            requests,
            _directory: directory,
        }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, answer: &[u8], seen: &Mutex<Vec<String>>) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_whole(&received) {
        match stream.read(&mut buffer) {
            // Somebody who only connects (STATUS).
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
    seen.lock().unwrap().push(String::from_utf8(received).unwrap());
    let _ = stream.write_all(answer);
}

fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}
