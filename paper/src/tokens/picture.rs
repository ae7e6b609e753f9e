//! Conversations as coloured text, and the tables behind them.

use super::{Conversation, Document, Quantity, TokenRow, top_quarter};
use anyhow::{Context as _, Result};
use tokensieve_base::statistics::quantile;
use tokensieve_plot::{Colours, Drawing, Word, Words};

/// Response tokens of a document that makes a picture: more than a phrase, less than a page.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=110;

/// The rows of the first `count` documents of a source that suit a picture (of the first ones, if none does), scored after
/// so many steps of training.
pub fn rows(source: &str, step: u64, documents: &[Document], count: usize) -> Result<Vec<TokenRow>> {
    let selected = top_quarter(documents)?;
    let suits = |document: &Document| LENGTHS.contains(&document.response().count());
    let any = !documents.iter().any(suits);
    let chosen = documents.iter().zip(&selected).filter(|(document, _)| any || suits(document)).take(count);
    let mut rows = Vec::new();
    for (document, selected) in chosen {
        let name = format!("{source}, row {}", document.row);
        rows.extend(TokenRow::of(&name, step, document, selected)?);
    }
    Ok(rows)
}

/// The strong end of a quantity's colours: what 95 % of the tokens of all conversations, at all their steps, stay below.
/// A figure has one, so that equal colours are equal values throughout it.
pub fn strong_end(conversations: &[Conversation], quantity: Quantity) -> f64 {
    let rows = conversations.iter().flat_map(|conversation| &conversation.steps).flat_map(|(_, rows)| rows);
    let values: Vec<f64> = rows.filter_map(|row| row.value(quantity)).collect();
    quantile(&values, 0.95).filter(|high| *high > 0.0).unwrap_or(1.0)
}

/// Tokens coloured by a quantity, from zero to its [`strong_end`]; selected ones are framed where `framed`.
pub fn block(title: &str, rows: &[TokenRow], quantity: Quantity, high: f64, framed: bool) -> Words {
    let words = rows.iter().map(|row| Word {
        text: row.text.clone(),
        value: row.value(quantity),
        framed: framed && row.selected == Some(true),
    });
    Words::new(title, Colours::highlight("nats", 0.0, high), words)
}

/// The first conversation of a table by the four quantities of figures 2A and 7.
pub fn drawing(conversations: &[Conversation]) -> Result<Drawing> {
    let first = conversations.first().context("a table without conversations")?;
    let (_, rows) = first.steps.last().context("a conversation without steps")?;
    let blocks = [Quantity::Epistemic, Quantity::Aleatoric, Quantity::Loss, Quantity::Entropy]
        .map(|quantity| block(quantity.name(), rows, quantity, strong_end(conversations, quantity), false));
    Ok(Drawing::new([]).words(blocks).columns(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine, figures};

    #[test]
    fn equal_colours_are_equal_values_throughout_a_figure() -> Result<()> {
        for (id, quantity) in [("a-4-tokens", Quantity::Loss), ("a-8", Quantity::Loss)] {
            let made = engine::make_synthetic(&figures::named(id)?)?;
            let high = strong_end(&made.conversations, quantity);
            let ends = made.drawing.strong_ends();
            assert!(ends.len() > 1 && ends.iter().all(|end| (end - high).abs() < 1e-12), "{id}: {ends:?}");
        }
        Ok(())
    }
}
