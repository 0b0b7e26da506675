mod counting;
mod reading;
mod sharing;

use super::*;

fn range(version: &str, cidr: &str) -> AddressRange {
    AddressRange {
        version: version.to_owned(),
        cidr: cidr.to_owned(),
        ..AddressRange::default()
    }
}

fn between(cidr: &str, start: &str, end: &str) -> AddressRange {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let version = if cidr.contains(':') { "6" } else { "4" };
    AddressRange {
        start: given(start),
        end: given(end),
        ..range(version, cidr)
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn excluding(mut range: AddressRange, excluded: &[&str]) -> AddressRange {
    range.exclude_ips = texts(excluded);
    range
}

fn excluding_ranges(mut range: AddressRange, excluded: &[&str]) -> AddressRange {
    range.exclude_ip_ranges = texts(excluded);
    range
}

fn reserving_ranges(mut range: AddressRange, reserved: &[&str]) -> AddressRange {
    range.reserved_ip_ranges = texts(reserved);
    range
}

fn parsed(range: &AddressRange) -> ParsedRange {
    ParsedRange::parse(range).unwrap()
}

fn fault(range: &AddressRange) -> String {
    ParsedRange::parse(range).unwrap_err().to_string()
}

fn at(text: &str) -> u128 {
    number(parse_ip(text).unwrap())
}
