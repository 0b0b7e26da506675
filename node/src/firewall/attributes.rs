//! Reads netlink attributes one by one. What the kernel answers is read with this, not with the types that
//! questions are made of: of another's rules we need the name and no more, whatever they say.

use netlink_packet_core::NlasIterator;

/// The attributes in these bytes with their kinds, up to the first that is cut off.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        // `value` of the buffer would borrow from the buffer.
        let len = usize::from(attribute.length());
        Some((attribute.kind(), attribute.into_inner().get(4..len)?))
    })
}

/// The first attribute of a kind.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

/// A name, without the zero at its end.
pub fn text(bytes: &[u8], kind: u16) -> Option<&str> {
    std::str::from_utf8(attribute(bytes, kind)?.split(|byte| *byte == 0).next()?).ok()
}

/// A number of four bytes.
pub fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(attribute(bytes, kind)?.try_into().ok()?))
}

/// A number of eight bytes.
pub fn long(bytes: &[u8], kind: u16) -> Option<u64> {
    Some(u64::from_be_bytes(attribute(bytes, kind)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_kind_behind_padding() {
        let bytes = [6, 0, 1, 0, b'a', 0, 9, 9, 8, 0, 2, 0, 0, 0, 1, 0];

        assert_eq!(text(&bytes, 1), Some("a"));
        assert_eq!(number(&bytes, 2), Some(256));
        assert_eq!(number(&bytes, 3), None);
    }

    #[test]
    fn what_is_cut_off_is_not_there() {
        let bytes = [6, 0, 1, 0, b'a', 0, 9, 9, 8, 0, 2, 0, 0, 0];

        assert_eq!(attributes(&bytes).count(), 1);
        assert_eq!(attributes(&[3, 0]).count(), 0);
    }
}
