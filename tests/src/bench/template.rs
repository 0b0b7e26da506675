//! Copies of a stored object: the same bytes, with other names of the same length in the same places. So they are what
//! the API server would have stored, whatever the encoding: no length in it changes.

use anyhow::{Context, Result, ensure};

/// Bytes with places that each copy fills anew.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<Place>,
    lengths: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    word: usize,
}

impl Template {
    /// The places are wherever one of the words stands. No word may overlap another one.
    pub fn new(bytes: Vec<u8>, words: &[&str]) -> Result<Self> {
        let mut places = Vec::new();
        for (word, text) in words.iter().enumerate() {
            let length = text.len();
            ensure!(length > 0, "a word of a template is empty");
            let found = bytes.windows(length).enumerate();
            let found = found.filter(|(_, window)| *window == text.as_bytes());
            places.extend(found.map(|(at, _)| Place { at, word }));
        }
        places.sort_unstable_by_key(|place| place.at);
        let lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
        let mut end = 0;
        for place in &places {
            ensure!(
                place.at >= end,
                "words of a template overlap at byte {}",
                place.at
            );
            end = place.at + lengths.get(place.word).copied().unwrap_or_default();
        }
        Ok(Self {
            bytes,
            places,
            lengths,
        })
    }

    /// A copy with these words instead, in the order of the first ones.
    pub fn filled(&self, words: &[String]) -> Result<Vec<u8>> {
        let lengths: Vec<usize> = words.iter().map(String::len).collect();
        ensure!(
            lengths == self.lengths,
            "words {words:?} do not fit the template: their lengths must be {:?}",
            self.lengths
        );
        let mut copy = self.bytes.clone();
        for place in &self.places {
            let word = words.get(place.word).context("a word")?;
            let target = copy.get_mut(place.at..place.at + word.len());
            target.context("a place")?.copy_from_slice(word.as_bytes());
        }
        Ok(copy)
    }

    /// How often each word stands in it.
    pub fn occurrences(&self) -> Vec<usize> {
        let words = 0..self.lengths.len();
        let count = |word| self.places.iter().filter(|place| place.word == word).count();
        words.map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_place_is_filled_and_nothing_else_changes() {
        let template = Template::new(b"\x07pod-0 on n1, pod-0\xff".to_vec(), &["pod-0", "n1"]).unwrap();

        let copy = template.filled(&words(&["pod-7", "n2"])).unwrap();

        assert_eq!(copy, b"\x07pod-7 on n2, pod-7\xff");
        assert_eq!(template.occurrences(), [2, 1]);
        assert_eq!(template.filled(&words(&["pod-0", "n1"])).unwrap(), template.bytes);
    }

    #[test]
    fn a_word_of_another_length_is_refused() {
        let template = Template::new(b"pod-0".to_vec(), &["pod-0"]).unwrap();

        let error = template.filled(&words(&["pod-10"])).unwrap_err();

        assert!(error.to_string().contains("pod-10"), "{error}");
    }

    #[test]
    fn words_that_overlap_are_refused() {
        let error = Template::new(b"pod-0-1".to_vec(), &["pod-0", "0-1"]).unwrap_err();

        assert_eq!(error.to_string(), "words of a template overlap at byte 4");
    }
}
