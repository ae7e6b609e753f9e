//! Hidden states of the predicting rows, in every pass.

use tch::{Tensor, no_grad};

use super::pieces::{Item, Piece, by_pass, by_piece};
use tokensieve_documents::estimates::{DropoutSettings, MaskScope, PromptDropout};
use tokensieve_kernels::{Layout, upload};
use tokensieve_model::{Dropout, Model, Pack};

/// A group of pieces, whose rows are stored one after the other.
pub(super) struct Group<'g, 'd> {
    pub(super) model: &'g Model,
    pub(super) pieces: &'g [Piece<'d>],
    /// Maximum number of tokens in one forward pass.
    pub(super) tokens: usize,
}

impl Group<'_, '_> {
    /// Number of predicting rows.
    pub(super) fn rows(&self) -> usize {
        self.pieces.iter().map(|piece| piece.positions.len()).sum()
    }

    /// A buffer for the hidden states of `passes` passes, `[P, R, D]`.
    pub(super) fn buffer(&self, passes: usize) -> Tensor {
        let size = [passes as i64, self.rows() as i64, self.model.config().hidden_size];
        Tensor::empty(size, (self.model.kind(), self.model.device()))
    }

    /// Computes the hidden states without dropout into `[R, D]`.
    pub(super) fn without_dropout(&self, out_rd: &Tensor) {
        for batch in by_pass(self.pieces, 1, self.tokens) {
            self.batch(&batch, None, &out_rd.unsqueeze(0));
        }
    }

    /// Computes the hidden states of all passes with dropout into `[P, R, D]`.
    pub(super) fn with_dropout(&self, dropout: &DropoutSettings, out_prd: &Tensor) {
        let batches = match dropout.prompt {
            PromptDropout::Stochastic => by_pass(self.pieces, dropout.passes, self.tokens),
            PromptDropout::Deterministic => by_piece(self.pieces, dropout.passes, self.tokens),
        };
        for batch in batches {
            self.batch(&batch, Some(dropout), out_prd);
        }
    }

    /// Computes the hidden states of some passes of some pieces.
    fn batch(&self, items: &[Item], settings: Option<&DropoutSettings>, out_prd: &Tensor) {
        let prefix = self.prefix(items, settings);
        let of = |item: &Item| &self.pieces[item.piece];
        let layout =
            Layout { prefix, lengths: items.iter().map(|i| of(i).tokens().len() - prefix).collect() };
        let dropout = settings.map(|settings| {
            let first = if settings.prompt == PromptDropout::Deterministic { prefix } else { 0 };
            let keys = layout.rows(items.iter().map(|item| keys_of(of(item), item.pass, settings)));
            Dropout::new(&settings.places, settings.rate, first, keys)
        });
        let (mut tokens, mut positions) = (Vec::new(), Vec::new());
        for (number, item) in items.iter().enumerate() {
            let from = if number == 0 { 0 } else { prefix };
            tokens.extend(of(item).tokens()[from..].iter().map(|token| i64::from(*token)));
            positions.extend(from as i64..of(item).tokens().len() as i64);
        }
        let device = self.model.device();
        let (tokens, positions) = (upload(&tokens, device), upload(&positions, device));
        let rows = items.iter().zip(layout.ranges()).flat_map(|(item, range)| {
            of(item).positions.iter().map(move |position| (range.start + position - 1 - prefix) as i64)
        });
        let output_rows = Some(rows.collect());
        let pack = Pack { tokens, positions, layout, targets: Vec::new(), output_rows };
        no_grad(|| {
            let hidden_rd = self.model.forward_with_dropout(&pack, dropout);
            let mut done = 0;
            for item in items {
                let asked = of(item).positions.len() as i64;
                let offset: usize = self.pieces[..item.piece].iter().map(|piece| piece.positions.len()).sum();
                let out = out_prd.get(item.pass as i64).narrow(0, offset as i64, asked);
                out.shallow_clone().copy_(&hidden_rd.narrow(0, done, asked));
                done += asked;
            }
        });
    }

    /// Number of leading tokens that are computed once for all items: before the first predicting row, those with the same
    /// hidden states in all items.
    fn prefix(&self, items: &[Item], settings: Option<&DropoutSettings>) -> usize {
        let same_pass = items.iter().all(|item| item.pass == items[0].pass);
        let first = &self.pieces[items[0].piece];
        match settings {
            // All items are passes of one piece.
            Some(DropoutSettings { prompt: PromptDropout::Deterministic, .. }) => return first.start,
            Some(DropoutSettings { masks: MaskScope::Document, .. }) => return 0,
            _ if first.whole || !same_pass || !self.model.shares_prefixes() => return 0,
            _ => {}
        }
        // A single item shares nothing; a prefix would only split it.
        if items.len() == 1 {
            return 0;
        }
        let common = |item: &Item| {
            let piece = &self.pieces[item.piece];
            let same = piece.tokens().iter().zip(first.tokens()).take_while(|(a, b)| a == b).count();
            same.min(piece.start)
        };
        items.iter().map(common).min().unwrap_or(0)
    }
}

/// The mask keys of the rows of a piece.
fn keys_of(piece: &Piece, pass: usize, settings: &DropoutSettings) -> Vec<u64> {
    let mut keys = settings.keys(&piece.document.tokens, pass);
    keys.truncate(piece.tokens().len());
    keys
}
