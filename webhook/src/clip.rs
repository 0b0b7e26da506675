//! Texts that quote what users wrote, which may be as long as an object: the beginning says what is wrong and the
//! end what would do, so the middle goes.

/// More than anybody reads of a refusal.
pub const REFUSAL: usize = 1024;
/// The API server may cut a warning behind this, and the remedy with it.
pub const WARNING: usize = 256;

/// At most `limit` bytes of the text.
pub fn clipped(text: String, limit: usize) -> String {
    const GAP: &str = " [...] ";
    if text.len() <= limit {
        return text;
    }
    let half = limit.saturating_sub(GAP.len()) / 2;
    let head = text.split_at(text.floor_char_boundary(half)).0;
    let tail = text.split_at(text.ceil_char_boundary(text.len() - half)).1;
    format!("{head}{GAP}{tail}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn beginning_and_end_stay() {
        let text = format!("annotation {:?} is wrong: write a number", "x".repeat(300_000));
        let clipped = clipped(text, REFUSAL);
        assert!(clipped.len() <= REFUSAL);
        assert!(
            clipped.starts_with("annotation \"xxx") && clipped.ends_with("xxx\" is wrong: write a number")
        );
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(clipped("a".repeat(WARNING), WARNING), "a".repeat(WARNING));
    }

    proptest! {
        #[test]
        fn no_text_is_too_long_or_cut_inside_a_character(text in "\\PC{0,400}", limit in 0_usize..300) {
            let clipped = clipped(text.clone(), limit);
            prop_assert!(clipped.len() <= limit.max(7) || clipped == text);
        }
    }
}
