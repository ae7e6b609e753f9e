//! Divides documents into groups that fit into memory, and groups into batches for the model.

use tokensieve_model::{Document, chunks_by_length};

/// A document, or a part of a long one, with the tokens that are to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece<'d> {
    pub(super) document: &'d Document,
    /// Index of the document.
    pub(super) index: usize,
    /// Positions of the predicted tokens in the document, at least one.
    pub(super) positions: Vec<usize>,
    /// Position of the row that predicts the first token of the response.
    pub(super) start: usize,
    /// Whether this is the last piece of the document.
    pub(super) last: bool,
    /// Whether hidden states depend on the length of the document (longrope), so that it has to be computed as a whole.
    pub(super) whole: bool,
}

impl<'d> Piece<'d> {
    /// The tokens on which the predictions depend.
    pub(super) fn tokens(&self) -> &'d [u32] {
        if self.whole {
            return &self.document.tokens;
        }
        &self.document.tokens[..self.positions.last().map_or(0, |position| *position)]
    }
}

/// Documents in order, in groups of at most `rows` predicted tokens. Longer documents are split into pieces; documents
/// without a response are skipped.
pub(super) fn groups<'d>(documents: &[&'d Document], rows: usize, whole: bool) -> Vec<Vec<Piece<'d>>> {
    let rows = rows.max(1);
    let mut pieces = Vec::new();
    for (index, document) in documents.iter().copied().enumerate() {
        let positions: Vec<usize> =
            (1..document.tokens.len()).filter(|position| document.weights[*position] != 0.0).collect();
        let count = positions.len().div_ceil(rows);
        for (part, of_part) in (1..).zip(positions.chunks(rows)) {
            let (start, last) = (positions[0] - 1, part == count);
            pieces.push(Piece { document, index, positions: of_part.to_vec(), start, last, whole });
        }
    }
    chunks_by_length(pieces, |piece| piece.positions.len(), rows)
}

/// One pass of one piece of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) pass: usize,
    pub(super) piece: usize,
}

/// All passes of all pieces, in batches of at most `tokens` tokens. The pieces of a pass are adjacent; small groups have
/// several passes in a batch.
pub(super) fn by_pass(pieces: &[Piece], passes: usize, tokens: usize) -> Vec<Vec<Item>> {
    let all: usize = pieces.iter().map(|piece| piece.tokens().len()).sum();
    let together = (tokens / all.max(1)).max(1);
    let passes: Vec<usize> = (0..passes).collect();
    let items = |pass: usize| (0..pieces.len()).map(move |piece| Item { pass, piece });
    let batches = passes.chunks(together).map(|passes| passes.iter().copied().flat_map(items).collect());
    batches.flat_map(|items: Vec<Item>| cut(pieces, items, 0, tokens)).collect()
}

/// All passes of all pieces, in batches of at most `tokens` tokens, with the passes of a piece adjacent, so that its prompt
/// is computed once for all of them.
pub(super) fn by_piece(pieces: &[Piece], passes: usize, tokens: usize) -> Vec<Vec<Item>> {
    let batches = (0..pieces.len()).flat_map(|piece| {
        let items = (0..passes).map(|pass| Item { pass, piece }).collect();
        cut(pieces, items, pieces[piece].start, tokens.saturating_sub(pieces[piece].start))
    });
    batches.collect()
}

/// Items in order, as many as fit into each batch. The `shared` leading tokens of each item are not counted.
fn cut(pieces: &[Piece], items: Vec<Item>, shared: usize, tokens: usize) -> Vec<Vec<Item>> {
    chunks_by_length(items, |item| pieces[item.piece].tokens().len() - shared, tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tokensieve_model::Precomputed;

    fn documents(lengths: &[(usize, usize)]) -> Vec<Document> {
        let document = |(row, (prompt, response)): (usize, &(usize, usize))| Document {
            row,
            index_in_row: 0,
            tokens: (0..prompt + response).map(|token| token as u32).collect(),
            weights: (0..prompt + response).map(|i| if i < *prompt { 0.0 } else { 1.0 }).collect(),
            precomputed: Precomputed::default(),
        };
        lengths.iter().enumerate().map(document).collect()
    }

    proptest! {
        #[test]
        fn every_token_is_predicted_once_in_every_pass(
            lengths in proptest::collection::vec((1_usize..9, 0_usize..12), 1..9),
            rows in 1_usize..20,
            passes in 1_usize..6,
            tokens in 1_usize..40,
        ) {
            let documents = documents(&lengths);
            let documents: Vec<&Document> = documents.iter().collect();
            let groups = groups(&documents, rows, false);
            let wanted: Vec<(usize, usize)> = groups
                .iter()
                .flatten()
                .flat_map(|piece| piece.positions.iter().map(|place| (piece.index, *place)))
                .collect();
            let all = lengths.iter().enumerate().flat_map(|(i, (prompt, response))| {
                (*prompt..prompt + response).map(move |place| (i, place))
            });
            prop_assert!(wanted.into_iter().eq(all));
            for group in &groups {
                prop_assert!(group.iter().map(|piece| piece.positions.len()).sum::<usize>() <= rows);
                for batches in [by_pass(group, passes, tokens), by_piece(group, passes, tokens)] {
                    let mut items: Vec<_> = batches.iter().flatten().map(|item| (item.pass, item.piece)).collect();
                    items.sort_unstable();
                    let all = (0..passes).flat_map(|pass| (0..group.len()).map(move |piece| (pass, piece)));
                    prop_assert!(items.into_iter().eq(all));
                }
                for batch in by_pass(group, passes, tokens) {
                    let length: usize = batch.iter().map(|item| group[item.piece].tokens().len()).sum();
                    prop_assert!(length <= tokens || batch.len() == 1);
                }
            }
        }
    }
}
