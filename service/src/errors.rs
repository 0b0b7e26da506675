//! Errors in log lines and answers.

use std::error::Error;

/// An error and what it comes from, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("socket /run/a")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_their_effects() {
        let error = Outer(io::Error::other("taken"));

        assert_eq!(chain(&error), "socket /run/a: taken");
        assert_eq!(chain(&error.0), "taken");
    }
}
