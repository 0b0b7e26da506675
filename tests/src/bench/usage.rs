//! What a process has used: processor time and memory, as the kernel counts them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most, since it began.
    pub peak: u64,
}

/// Processor time of a process, all of its threads together, since it began.
pub fn processor_time(process: i32) -> Result<Duration> {
    let stat =
        fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process}"))?;
    let ticks = ticks(&stat).with_context(|| format!("times of process {process}"))?;
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("clock ticks")?;
    let second = u64::try_from(second).context("clock ticks")?;
    Ok(Duration::from_millis(ticks * 1000 / second.max(1)))
}

/// User and system time; the name in parentheses may hold anything, so counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory of a process.
pub fn memory(process: i32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("process {process}"))?;
    parsed(&status).with_context(|| format!("memory of process {process}"))
}

fn parsed(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_whatever_the_program_is_called() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 1 0 100";

        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";

        let expected = Memory {
            resident: 1 << 20,
            peak: 1 << 21,
        };
        assert_eq!(parsed(status), Some(expected));
    }

    #[test]
    fn our_own_process_has_used_something() {
        let own = i32::try_from(std::process::id()).unwrap();

        assert!(memory(own).unwrap().peak > 1 << 20);
        processor_time(own).unwrap();
    }
}
