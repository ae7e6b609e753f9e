//! Which documents are packed together.

use crate::Document;

/// Splits documents, in order, into packs of at most `max_tokens` tokens; a longer document is a pack of its own.
/// Returns the indices of each pack's documents.
pub fn packs(documents: &[&Document], max_tokens: usize) -> Vec<Vec<usize>> {
    chunks_by_length(0..documents.len(), |index| documents[*index].tokens.len(), max_tokens)
}

/// Splits items, in order, into chunks with a total length of at most `room`; a longer item is a chunk of its own.
pub fn chunks_by_length<T>(
    items: impl IntoIterator<Item = T>,
    length: impl Fn(&T) -> usize,
    room: usize,
) -> Vec<Vec<T>> {
    let mut together: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for item in items {
        let length = length(&item);
        if let Some(last) = together.last_mut().filter(|_| length <= left) {
            last.push(item);
        } else {
            together.push(vec![item]);
            left = room;
        }
        left = left.saturating_sub(length);
    }
    together
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Precomputed;

    proptest! {
        #[test]
        fn packs_hold_every_document_in_order_and_no_more_than_fits(
            lengths in proptest::collection::vec(1_usize..50, 0..20),
            max in 1_usize..100,
        ) {
            let document = |length: &usize| Document {
                row: 0,
                index_in_row: 0,
                tokens: vec![0; *length],
                weights: vec![0.0; *length],
                precomputed: Precomputed::default(),
            };
            let documents: Vec<Document> = lengths.iter().map(document).collect();
            let documents: Vec<&Document> = documents.iter().collect();
            let packs = packs(&documents, max);
            prop_assert!(packs.iter().flatten().copied().eq(0..lengths.len()));
            for pack in &packs {
                let tokens: usize = pack.iter().map(|i| lengths[*i]).sum();
                prop_assert!(tokens <= max || pack.len() == 1);
            }
            // None could have taken the next one's first document.
            for pair in packs.windows(2) {
                let tokens: usize = pair[0].iter().map(|i| lengths[*i]).sum();
                prop_assert!(tokens + lengths[pair[1][0]] > max);
            }
        }
    }
}
