//! Hidden states of the rows that predict, in every pass.

use tch::{Tensor, no_grad};

use super::pieces::{Item, Piece, by_pass, by_piece};
use super::{Chances, Masks, Prompt};
use tokensieve_kernels::Layout;
use tokensieve_kernels::upload;
use tokensieve_model::Pack;
use tokensieve_model::{Dropout, Model, chain, mixed};

/// What is computed for a group of pieces: their rows one after the other.
pub(super) struct Group<'g, 'd> {
    pub(super) model: &'g Model,
    pub(super) pieces: &'g [Piece<'d>],
    /// Tokens that go through the model together.
    pub(super) tokens: usize,
}

impl Group<'_, '_> {
    /// How many rows predict.
    pub(super) fn rows(&self) -> usize {
        self.pieces.iter().map(|piece| piece.places.len()).sum()
    }

    /// Room for `passes` times the hidden states, `[P, R, D]`.
    pub(super) fn room(&self, passes: usize) -> Tensor {
        let size = [passes as i64, self.rows() as i64, self.model.config().hidden_size];
        Tensor::empty(size, (self.model.kind(), self.model.device()))
    }

    /// Without dropout, into `[R, D]`.
    pub(super) fn once(&self, out_rd: &Tensor) {
        for batch in by_pass(self.pieces, 1, self.tokens) {
            self.batch(&batch, None, &out_rd.unsqueeze(0));
        }
    }

    /// With dropout, into `[P, R, D]`.
    pub(super) fn dropped(&self, chances: &Chances, out_prd: &Tensor) {
        let batches = match chances.prompt {
            Prompt::Stochastic => by_pass(self.pieces, chances.passes, self.tokens),
            Prompt::Deterministic => by_piece(self.pieces, chances.passes, self.tokens),
        };
        for batch in batches {
            self.batch(&batch, Some(chances), out_prd);
        }
    }

    fn batch(&self, items: &[Item], chances: Option<&Chances>, out_prd: &Tensor) {
        let prefix = self.prefix(items, chances);
        let of = |item: &Item| &self.pieces[item.piece];
        let layout =
            Layout { prefix, lengths: items.iter().map(|i| of(i).tokens().len() - prefix).collect() };
        let dropout = chances.map(|chances| {
            let first = if chances.prompt == Prompt::Deterministic { prefix } else { 0 };
            let keys = layout.rows(items.iter().map(|item| keys_of(of(item), item.pass, chances)));
            Dropout::new(&chances.places, chances.rate, first, keys)
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
            of(item).places.iter().map(move |place| (range.start + place - 1 - prefix) as i64)
        });
        let asked = Some(rows.collect());
        let pack = Pack { tokens, positions, layout, targets: Vec::new(), asked };
        no_grad(|| {
            let hidden_rd = self.model.forward_dropped(&pack, dropout);
            let mut done = 0;
            for item in items {
                let asked = of(item).places.len() as i64;
                let offset: usize = self.pieces[..item.piece].iter().map(|piece| piece.places.len()).sum();
                let out = out_prd.get(item.pass as i64).narrow(0, offset as i64, asked);
                out.shallow_clone().copy_(&hidden_rd.narrow(0, done, asked));
                done += asked;
            }
        });
    }

    /// How many leading tokens stand once for all: those that have the same hidden states in all items, before the
    /// first row that predicts.
    fn prefix(&self, items: &[Item], chances: Option<&Chances>) -> usize {
        let same_pass = items.iter().all(|item| item.pass == items[0].pass);
        let first = &self.pieces[items[0].piece];
        match chances {
            // All items are of one piece.
            Some(Chances { prompt: Prompt::Deterministic, .. }) => return first.start,
            Some(Chances { masks: Masks::Document, .. }) => return 0,
            _ if first.whole || !same_pass || !self.model.shares() => return 0,
            _ => {}
        }
        // One shares with nobody; a prefix would only split it.
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

/// The keys of a piece's rows.
fn keys_of(piece: &Piece, pass: usize, chances: &Chances) -> Vec<u64> {
    let mut keys = chances.keys(&piece.document.tokens, pass);
    keys.truncate(piece.tokens().len());
    keys
}

impl Chances {
    /// The keys of a document's rows, from which their masks in a pass follow. They themselves follow from seed, pass and
    /// the document's tokens, so that they are the same whatever stands beside it.
    pub fn keys(&self, tokens: &[u32], pass: usize) -> Vec<u64> {
        let chain = chain(mixed(self.seed).wrapping_add(pass as u64), tokens);
        match self.masks {
            Masks::Token => chain,
            Masks::Document => vec![chain.last().copied().unwrap_or_default(); tokens.len()],
        }
    }
}
