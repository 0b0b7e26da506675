//! The course of one check: what to send when, and what follows from what is heard. Time is what has gone by
//! since the start.
//!
//! RFC 5227 waits up to a second, sends three probes one to two seconds apart, and waits two more. A pod's
//! address is the manager's choice, so a duplicate is a mistake and not a race: we begin at once, send three
//! probes within half a [`WINDOW`], and decide at its end, which is what RFC 4862 (one `RetransTimer`) gives
//! IPv6. It is longer than the 0.8 s that a Linux router may take to answer on behalf of a pod of another node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{Heard, arp, ndp};
use crate::mac::Mac;

/// Time that the owner of the address has to say so.
pub const WINDOW: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;

/// Who asks about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    V4 {
        ip: Ipv4Addr,
        gateway: Ipv4Addr,
    },
    /// `source`: link-local address of the link.
    V6 {
        ip: Ipv6Addr,
        gateway: Ipv6Addr,
        source: Ipv6Addr,
    },
}

impl Question {
    pub fn ip(&self) -> IpAddr {
        match *self {
            Self::V4 { ip, .. } => ip.into(),
            Self::V6 { ip, .. } => ip.into(),
        }
    }

    pub fn gateway(&self) -> IpAddr {
        match *self {
            Self::V4 { gateway, .. } => gateway.into(),
            Self::V6 { gateway, .. } => gateway.into(),
        }
    }

    fn probe(&self, own: Mac) -> Vec<u8> {
        match *self {
            Self::V4 { ip, .. } => arp::request(own, Ipv4Addr::UNSPECIFIED, ip),
            Self::V6 { ip, .. } => ndp::solicitation(own, Ipv6Addr::UNSPECIFIED, ip),
        }
    }

    /// `known`: nobody else has the pod's address, so it may be shown. Before, an IPv4 gateway is asked by a
    /// probe; not every router answers one.
    fn ask_gateway(&self, own: Mac, known: bool) -> Vec<u8> {
        match *self {
            Self::V4 { ip, gateway } => {
                let sender = if known { ip } else { Ipv4Addr::UNSPECIFIED };
                arp::request(own, sender, gateway)
            }
            Self::V6 { gateway, source, .. } => ndp::solicitation(own, source, gateway),
        }
    }

    /// What tells the segment where the address is now. The gateway is asked again, from the pod's address: that
    /// makes an entry where a gratuitous frame only renews one.
    pub fn announcement(&self, own: Mac) -> Vec<Vec<u8>> {
        match *self {
            Self::V4 { ip, .. } => {
                let mut frames = vec![self.ask_gateway(own, true)];
                frames.extend(arp::announcement(own, ip));
                frames
            }
            Self::V6 { ip, source, .. } => vec![ndp::announcement(own, source, ip)],
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Clear,
    Duplicate(Mac),
    SilentGateway,
}

/// One address, from the first frame to the verdict.
#[derive(Debug)]
pub(super) struct Check {
    question: Question,
    own: Mac,
    window: Duration,
    limit: Duration,
    rounds: u32,
    gateway_answered: bool,
    duplicate: Option<Mac>,
}

impl Check {
    /// `limit`: flag `--vlan-check-timeout`. A shorter one than [`WINDOW`] shortens that too.
    pub fn new(question: Question, own: Mac, limit: Duration) -> Self {
        Self {
            question,
            own,
            window: WINDOW.min(limit),
            limit,
            rounds: 0,
            gateway_answered: false,
            duplicate: None,
        }
    }

    /// Frames that are due; each is given once.
    pub fn send(&mut self, elapsed: Duration) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        if elapsed < self.round(self.rounds) {
            return frames;
        }
        if self.rounds < PROBES {
            frames.push(self.question.probe(self.own));
        }
        if !self.gateway_answered {
            frames.push(self.question.ask_gateway(self.own, elapsed >= self.window));
        }
        // Rounds that were slept through are not made up for.
        self.rounds += 1;
        while self.rounds >= PROBES && self.round(self.rounds) <= elapsed {
            self.rounds += 1;
        }
        frames
    }

    /// Takes in what somebody said.
    pub fn hear(&mut self, heard: &Heard) {
        let (Heard::Claims { mac, .. } | Heard::Probes { mac, .. }) = *heard;
        if mac == self.own {
            return;
        }
        match *heard {
            Heard::Claims { ip, .. } | Heard::Probes { ip, .. } if ip == self.question.ip() => {
                self.duplicate = Some(mac);
            }
            Heard::Claims {
                ip, answers: true, ..
            } if ip == self.question.gateway() => {
                self.gateway_answered = true;
            }
            _ => {}
        }
    }

    /// The end, when it has come.
    pub fn verdict(&self, elapsed: Duration) -> Option<Verdict> {
        match self.duplicate {
            Some(mac) => Some(Verdict::Duplicate(mac)),
            None if elapsed < self.window => None,
            None if self.gateway_answered => Some(Verdict::Clear),
            None => (elapsed >= self.limit).then_some(Verdict::SilentGateway),
        }
    }

    /// When to look again, if nothing is heard before.
    pub fn wake(&self, elapsed: Duration) -> Duration {
        let end = if elapsed < self.window {
            self.window
        } else {
            self.limit
        };
        self.round(self.rounds).min(end)
    }

    fn round(&self, number: u32) -> Duration {
        self.window / 4 * number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const LIMIT: Duration = Duration::from_secs(3);

    fn v4() -> Question {
        Question::V4 {
            ip: [10, 0, 0, 5].into(),
            gateway: [10, 0, 0, 1].into(),
        }
    }

    fn v6() -> Question {
        let ip = |text: &str| text.parse().unwrap();
        Question::V6 {
            ip: ip("fd00::5"),
            gateway: ip("fd00::1"),
            source: ip("fe80::1"),
        }
    }

    fn says(ip: IpAddr, mac: Mac) -> Heard {
        Heard::Claims {
            ip,
            mac,
            answers: true,
        }
    }

    /// Lets time pass until the verdict, from one wake-up to the next: what was sent, and when.
    fn run(check: &mut Check) -> (Vec<(Duration, Vec<u8>)>, Verdict, Duration) {
        let (mut sent, mut now) = (vec![], Duration::ZERO);
        for _ in 0..100 {
            if let Some(verdict) = check.verdict(now) {
                return (sent, verdict, now);
            }
            sent.extend(check.send(now).into_iter().map(|frame| (now, frame)));
            now = check.wake(now);
        }
        panic!("no end after a hundred steps");
    }

    #[test]
    fn an_address_that_nobody_has_is_clear_after_three_probes_and_one_window() {
        for question in [v4(), v6()] {
            let mut check = Check::new(question, OWN, LIMIT);
            check.hear(&says(question.gateway(), OTHER));

            let (sent, verdict, end) = run(&mut check);

            assert_eq!((verdict, end), (Verdict::Clear, WINDOW));
            assert_eq!(sent.len(), 3);
            assert!(sent.iter().all(|(_, frame)| *frame == question.probe(OWN)));
        }
    }

    #[test]
    fn a_silent_gateway_is_asked_until_the_limit_and_from_the_pods_address_only_after_the_window() {
        let mut check = Check::new(v4(), OWN, LIMIT);

        let (sent, verdict, end) = run(&mut check);

        assert_eq!((verdict, end), (Verdict::SilentGateway, LIMIT));
        let shows_pod = arp::request(OWN, [10, 0, 0, 5].into(), [10, 0, 0, 1].into());
        let shown: Vec<_> = sent.iter().filter(|(_, frame)| *frame == shows_pod).collect();
        assert_eq!(shown.len(), 8, "every quarter of a second for two seconds");
        assert!(shown.iter().all(|(when, _)| *when >= WINDOW));
    }

    #[test]
    fn whoever_claims_or_probes_the_address_ends_the_check_at_once() {
        let ip = v4().ip();
        for heard in [says(ip, OTHER), Heard::Probes { ip, mac: OTHER }] {
            let mut check = Check::new(v4(), OWN, LIMIT);
            check.send(Duration::ZERO);

            check.hear(&heard);

            assert_eq!(
                check.verdict(Duration::from_millis(1)),
                Some(Verdict::Duplicate(OTHER))
            );
        }
    }

    #[test]
    fn our_own_frames_and_those_about_others_mean_nothing() {
        let mut check = Check::new(v4(), OWN, LIMIT);

        check.hear(&says(v4().ip(), OWN));
        check.hear(&says(v4().gateway(), OWN));
        check.hear(&says([10, 0, 0, 9].into(), OTHER));
        check.hear(&Heard::Probes {
            ip: v4().gateway(),
            mac: OTHER,
        });
        check.hear(&Heard::Claims {
            ip: v4().gateway(),
            mac: OTHER,
            answers: false,
        });

        assert_eq!(check.verdict(WINDOW), None);
        assert_eq!(check.verdict(LIMIT), Some(Verdict::SilentGateway));
    }

    #[test]
    fn a_limit_below_the_window_is_kept() {
        let limit = Duration::from_millis(200);
        let mut check = Check::new(v6(), OWN, limit);

        let (sent, verdict, end) = run(&mut check);

        assert_eq!((verdict, end), (Verdict::SilentGateway, limit));
        assert_eq!(
            sent.iter().filter(|(_, frame)| *frame == v6().probe(OWN)).count(),
            3
        );
    }

    #[test]
    fn no_limit_at_all_ends_at_once() {
        let mut check = Check::new(v4(), OWN, Duration::ZERO);

        assert_eq!(run(&mut check).1, Verdict::SilentGateway);
    }
}
