//! Values of flags, as Go writes them.

use std::time::Duration;

use hybridnet_api::network::UnknownWord;
use hybridnet_api::pod;
use ipnetwork::IpNetwork;

/// A flag that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not one of Go's boolean words.
    #[error("{0:?} is not a boolean: use true or false")]
    Boolean(String),
    /// Not a duration as Go writes it.
    #[error("{0:?} is not a duration: write for example 300ms, 5s or 1h30m")]
    Duration(String),
    /// Not a list of ranges.
    #[error("{0:?} is not a CIDR: write for example 10.2.0.0/16,fd00::/64")]
    Cidr(String),
    /// A duration that makes no sense.
    #[error("--{0} is 0: it must be longer")]
    Zero(&'static str),
    /// Tables that would be one.
    #[error(
        "--local-direct-table, --to-overlay-table and --overlay-mark-table are {0}, {1} and {2}: each needs its own \
         number, none of them 0, 253, 254 or 255"
    )]
    Tables(u32, u32, u32),
    /// A default for pods that is none of the known words.
    #[error("{name}: {error}")]
    Word {
        /// Flag and variable.
        name: &'static str,
        /// What was given, and what may be.
        error: UnknownWord,
    },
    /// The node has no name.
    #[error("env KUBE_NODE_NAME not exists: set it to the name of this node")]
    NoNode,
}

/// Words between commas, without the spaces around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl From<&str> for List {
    fn from(text: &str) -> Self {
        Self(words(text).map(ToOwned::to_owned).collect())
    }
}

/// Ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cidrs(pub Vec<IpNetwork>);

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

pub(super) fn go_bool(word: &str) -> Result<bool, FlagError> {
    pod::go_bool(word).ok_or_else(|| FlagError::Boolean(word.to_owned()))
}

pub(super) fn cidrs(text: &str) -> Result<Cidrs, FlagError> {
    let parse = |word: &str| word.parse().map_err(|_| FlagError::Cidr(word.to_owned()));
    words(text).map(parse).collect::<Result<_, _>>().map(Cidrs)
}

/// A duration as Go writes it: numbers with units, `1h30m`, `1.5s`.
pub(super) fn go_duration(text: &str) -> Result<Duration, FlagError> {
    let wrong = || FlagError::Duration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = tail;
    }
    let given = !text.is_empty();
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|_| given)
        .ok_or_else(wrong)
}
