//! Where the API server of another cluster is: a URL with a scheme, a host, perhaps a port and a path.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// What a URL with that scheme means without a port.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

/// The parts of `spec.apiEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// Whether certificates are asked for and shown: the scheme is `https`.
    pub secure: bool,
    /// A name or an address; IPv6 ones without brackets.
    pub host: String,
    /// The given port, or that of the scheme.
    pub port: u16,
    /// Empty, or it begins with a slash.
    pub path: String,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// Nothing, or something unknown before the host.
    #[error("does not begin with https://")]
    Scheme,
    /// No host, or letters that no host has.
    #[error("has no host name or address behind the scheme (IPv6 addresses stand in brackets)")]
    Host,
    /// A number that is no port.
    #[error("has port {0:?}, which is not a number from 1 to 65535")]
    Port(String),
    /// More than a path.
    #[error("has more than a path behind the host")]
    Path,
}

impl FromStr for ApiEndpoint {
    type Err = EndpointFault;

    fn from_str(text: &str) -> Result<Self, EndpointFault> {
        let (scheme, rest) = text.split_once("://").ok_or(EndpointFault::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(EndpointFault::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !path.bytes().all(is_plain) {
            return Err(EndpointFault::Path);
        }
        let (host, port) = host_and_port(authority)?;
        let default = if secure { HTTPS } else { HTTP };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.map_or(Ok(default), number)?,
            path: path.to_owned(),
        })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), EndpointFault> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(EndpointFault::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| EndpointFault::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(EndpointFault::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(known)
    };
    if host.split('.').all(is_label) {
        Ok((host, port))
    } else {
        Err(EndpointFault::Host)
    }
}

fn number(port: &str) -> Result<u16, EndpointFault> {
    let fault = || EndpointFault::Port(port.to_owned());
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault());
    }
    port.parse().ok().filter(|port| *port > 0).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (bool, String, u16, String) {
        let ApiEndpoint {
            secure,
            host,
            port,
            path,
        } = text.parse().unwrap();
        (secure, host, port, path)
    }

    #[test]
    fn an_endpoint_has_a_scheme_a_host_a_port_and_a_path() {
        for (text, secure, host, port, path) in [
            ("https://1.2.3.4:6443", true, "1.2.3.4", 6443, ""),
            (
                "http://api.east_1.example:80",
                false,
                "api.east_1.example",
                80,
                "",
            ),
            ("https://master:6443", true, "master", 6443, ""),
            ("https://api.example", true, "api.example", 443, ""),
            ("http://api.example/", false, "api.example", 80, "/"),
            (
                "HTTPS://[fd00::1]:6443/k8s/clusters/c-1",
                true,
                "fd00::1",
                6443,
                "/k8s/clusters/c-1",
            ),
            ("https://[::ffff:10.0.0.1]", true, "::ffff:10.0.0.1", 443, ""),
            ("https://a.b:00443", true, "a.b", 443, ""),
        ] {
            assert_eq!(
                parts(text),
                (secure, host.to_owned(), port, path.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, fault) in [
            ("1.2.3.4:6443", EndpointFault::Scheme),
            ("ftp://a.b:1", EndpointFault::Scheme),
            ("", EndpointFault::Scheme),
            ("https://", EndpointFault::Host),
            ("https://:6443", EndpointFault::Host),
            ("https://a..b:6443", EndpointFault::Host),
            ("https://user@a.b:6443", EndpointFault::Host),
            ("https://a b:6443", EndpointFault::Host),
            ("https://fd00::1:6443", EndpointFault::Port(":1:6443".to_owned())),
            ("https://[fd00::1", EndpointFault::Host),
            ("https://[a.b]:6443", EndpointFault::Host),
            ("https://[fd00::1]6443", EndpointFault::Host),
            ("https://a.b:", EndpointFault::Port(String::new())),
            ("https://a.b:0", EndpointFault::Port("0".to_owned())),
            ("https://a.b:99999", EndpointFault::Port("99999".to_owned())),
            ("https://a.b:+1", EndpointFault::Port("+1".to_owned())),
            ("https://a.b:6443/x?y", EndpointFault::Path),
            ("https://a.b:6443/x y", EndpointFault::Path),
        ] {
            assert_eq!(text.parse::<ApiEndpoint>(), Err(fault), "{text}");
        }
    }

    proptest! {
        /// The pattern of the original, with a port that exists.
        #[test]
        fn what_the_original_takes_is_taken(text in "https?://[A-Za-z0-9_-]{1,9}(\\.[A-Za-z0-9_-]{1,9}){1,3}:[1-9][0-9]{0,3}") {
            prop_assert!(text.parse::<ApiEndpoint>().is_ok(), "{}", text);
        }

        #[test]
        fn no_text_brings_the_parser_down(text in "(https?://)?[\\[\\]a-f0-9.:/@?#-]{0,20}") {
            let _ = text.parse::<ApiEndpoint>();
        }
    }
}
