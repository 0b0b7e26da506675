//! As much of HTTP/1.1 as one request and one answer on a local socket need. Pure: bytes in, values out.

use std::fmt::Write;

/// An answer as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body, with chunks joined.
    pub body: Vec<u8>,
}

/// Bytes that are not an answer to our request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The first line, or one of the lines after it.
    #[error("the head of the answer is not HTTP/1.1: {0:?}")]
    Head(String),
    /// A size of a chunk, or what stands between chunks.
    #[error("the answer's chunks do not add up")]
    Chunk,
    /// The connection ended before the answer did.
    #[error("the answer ends early")]
    Truncated,
}

/// A POST of JSON. No `Accept-Encoding`: the daemon of the Go release would compress.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let mut request = String::with_capacity(body.len() + 160);
    // Writing to a string cannot fail.
    let _ = write!(
        request,
        "POST {path} HTTP/1.1\r\nHost: dummy\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// How the body is delimited.
#[derive(Clone, Copy)]
enum Framing {
    Empty,
    Length(usize),
    Chunked,
    ToTheEnd,
}

/// The answer in `received`, if it is whole. `ended`: nothing more will come.
pub fn parse(received: &[u8], ended: bool) -> Result<Option<Response>, Malformed> {
    let mut rest = received;
    loop {
        let Some((head, body)) = split(rest, b"\r\n\r\n") else {
            return incomplete(ended);
        };
        let (status, framing) = parse_head(head)?;
        if (100..200).contains(&status) {
            // "Continue": the answer is still to come.
            rest = body;
            continue;
        }
        let body = match framing {
            Framing::Empty => Some(Vec::new()),
            Framing::Length(length) => body.get(..length).map(<[u8]>::to_vec),
            Framing::ToTheEnd => ended.then(|| body.to_vec()),
            Framing::Chunked => join_chunks(body)?,
        };
        return body.map_or_else(|| incomplete(ended), |body| Ok(Some(Response { status, body })));
    }
}

fn incomplete(ended: bool) -> Result<Option<Response>, Malformed> {
    if ended {
        Err(Malformed::Truncated)
    } else {
        Ok(None)
    }
}

fn parse_head(head: &[u8]) -> Result<(u16, Framing), Malformed> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let wrong = |line: &str| Malformed::Head(line.chars().take(80).collect());
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| first.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| wrong(first))?;

    let mut framing = Framing::ToTheEnd;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(line))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(wrong(line));
            }
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") && !matches!(framing, Framing::Chunked) {
            framing = Framing::Length(value.parse().map_err(|_| wrong(line))?);
        }
    }
    // These have no body whatever the head says (RFC 9112, 6.3).
    if status < 200 || status == 204 || status == 304 {
        framing = Framing::Empty;
    }
    Ok((status, framing))
}

/// The chunks' contents; nothing while the last chunk is still to come.
fn join_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut body = Vec::new();
    loop {
        let Some((line, after)) = split(rest, b"\r\n") else {
            return Ok(None);
        };
        let line = std::str::from_utf8(line).map_err(|_| Malformed::Chunk)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Malformed::Chunk)?;
        if size == 0 {
            // Trailers follow up to an empty line. We close the connection, so nobody misses them.
            return Ok(Some(body));
        }
        let Some((chunk, end)) = after.split_at_checked(size) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        rest = match end.strip_prefix(b"\r\n") {
            Some(rest) => rest,
            None if end.len() < 2 => return Ok(None),
            None => return Err(Malformed::Chunk),
        };
    }
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: [(&str, u16, &str); 5] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n{}",
            200,
            "{}",
        ),
        ("HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n", 204, ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\nx",
            400,
            "x",
        ),
        (
            "HTTP/1.1 500 Error\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            500,
            "abc0123456789",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""),
    ];

    #[test]
    fn an_answer_is_whole_only_with_its_last_byte_however_it_is_cut() {
        for (text, status, body) in ANSWERS {
            let bytes = text.as_bytes();
            // The last chunk's empty trailer may be missing.
            let needed = if text.contains("chunked") {
                bytes.len() - 2
            } else {
                bytes.len()
            };

            for end in 0..needed {
                assert_eq!(parse(&bytes[..end], false), Ok(None), "{text} cut at {end}");
                assert_eq!(
                    parse(&bytes[..end], true),
                    Err(Malformed::Truncated),
                    "{text} cut at {end}"
                );
            }
            for end in needed..=bytes.len() {
                let expected = Response {
                    status,
                    body: body.as_bytes().to_vec(),
                };
                assert_eq!(parse(&bytes[..end], false), Ok(Some(expected)), "{text}");
            }
        }
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let text = b"HTTP/1.0 200 OK\r\n\r\nall of it";

        assert_eq!(parse(text, false), Ok(None));
        assert_eq!(parse(text, true).unwrap().unwrap().body, b"all of it");
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(
                matches!(parse(text.as_bytes(), false), Err(Malformed::Head(_))),
                "{text}"
            );
        }
        for chunks in ["xyz\r\n", "1\r\nabc\r\n", "ffffffffffffffffff\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert_eq!(parse(text.as_bytes(), false), Err(Malformed::Chunk), "{text}");
        }
    }

    #[test]
    fn a_request_has_the_length_of_its_body() {
        let request = String::from_utf8(post("/api/v1/add", "{\"a\":\"ü\"}")).unwrap();

        assert!(request.starts_with("POST /api/v1/add HTTP/1.1\r\nHost: dummy\r\n"));
        assert!(request.contains("Content-Length: 10\r\n"));
        assert!(request.ends_with("\r\n\r\n{\"a\":\"ü\"}"));
    }
}
