//! Waiting for a condition, with a limit, and a message that says what was still missing.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a look at the world found: the thing, or why not yet.
pub type Look<T> = Result<T, String>;

/// Looks again and again until there is an answer. An error of the look itself counts as "not yet".
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let missing = match look().await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(missing)) => missing,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() >= limit {
            bail!("{what}: not after {} s: {missing}", limit.as_secs());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(400));
    }
}

/// The same for a plain thread.
pub fn until_blocking<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Look<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(missing) if start.elapsed() >= limit => {
                bail!("{what}: not after {} s: {missing}", limit.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_reason_is_told() {
        let mut looks = 0;

        let outcome = until("nodes ready", Duration::from_millis(100), async || {
            looks += 1;
            Ok(Err::<(), _>(format!("look {looks}")))
        })
        .await;

        let text = outcome.unwrap_err().to_string();
        assert!(text.starts_with("nodes ready: not after 0 s: look "), "{text}");
    }

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let mut looks = 0;

        let found = until("x", Duration::from_mins(1), async || {
            looks += 1;
            Ok(if looks == 3 {
                Ok(looks)
            } else {
                Err("no".to_owned())
            })
        })
        .await;

        assert_eq!(found.unwrap(), 3);
    }
}
