//! Link-layer addresses as texts.

/// First three octets of the addresses that we make up: locally administered, unicast.
pub const PREFIX: [u8; 3] = [0x02, 0x12, 0x34];

/// The lower-case colon form of any form that Go's parser takes: 6, 8 or 20 octets, two digits each between
/// colons or dashes, or four digits each between dots. Nothing for other texts.
pub fn normalize(text: &str) -> Option<String> {
    parse(text).map(colons)
}

/// An address of ours. The caller brings the randomness and looks for collisions.
pub fn generate(random: [u8; 3]) -> String {
    colons(PREFIX.into_iter().chain(random))
}

fn colons(octets: impl IntoIterator<Item = u8>) -> String {
    let octets: Vec<_> = octets.into_iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

fn parse(text: &str) -> Option<Vec<u8>> {
    let separator = text.chars().find(|letter| matches!(letter, ':' | '-' | '.'))?;
    let digits = if separator == '.' { 4 } else { 2 };
    let mut octets = Vec::new();
    for group in text.split(separator) {
        let hexadecimal = group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = hexadecimal.then(|| u16::from_str_radix(group, 16).ok())??;
        let [high, low] = value.to_be_bytes();
        if digits == 4 {
            octets.push(high);
        }
        octets.push(low);
    }
    matches!(octets.len(), 6 | 8 | 20).then_some(octets)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Scenario 23: MACs in every form.
    #[test]
    fn every_form_that_go_takes_becomes_the_colon_form() {
        for (text, normal) in [
            ("00-16-EA-AE-3C-40", "00:16:ea:ae:3c:40"),
            ("08:00:20:0A:8C:6D", "08:00:20:0a:8c:6d"),
            ("0016.eaAE.3c40", "00:16:ea:ae:3c:40"),
            ("02-00-5e-10-00-00-00-01", "02:00:5e:10:00:00:00:01"),
            ("0200.5e10.0000.0001", "02:00:5e:10:00:00:00:01"),
        ] {
            assert_eq!(normalize(text).as_deref(), Some(normal), "{text}");
        }
        let infiniband = ["00"; 20].join(":");
        assert_eq!(normalize(&infiniband), Some(infiniband));
    }

    /// Scenario 23: texts that are no MAC.
    #[test]
    fn other_texts_are_no_address() {
        for text in [
            "1.2.3.4",
            "",
            "00:00:00:00",
            "zz",
            "00:16:ea-ae:3c:40",
            "00:16:ea:ae:3c:4",
            "00:16:ea:ae:3c:+4",
            "0016eaae3c40",
            ":::::",
        ] {
            assert_eq!(normalize(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_ours_have_our_prefix_and_are_normal() {
        let made = generate([0xAB, 0, 1]);
        assert_eq!(made, "02:12:34:ab:00:01");
        assert_eq!(normalize(&made), Some(made.clone()));
    }

    proptest! {
        /// Scenario 24: made MACs do not repeat.
        #[test]
        fn other_randomness_makes_another_address(all in proptest::collection::btree_set(any::<[u8; 3]>(), 100)) {
            let made: BTreeSet<_> = all.into_iter().map(generate).collect();
            prop_assert_eq!(made.len(), 100);
            prop_assert!(made.iter().all(|mac| mac.starts_with("02:12:34:")));
        }
    }
}
