//! What a figure is.

use crate::tokens::{Conversation, TokenRow, conversations};
use crate::{Claim, Column, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// One figure: inputs → table → drawing → claims, all in one file of `figures/`.
///
/// The cache key of the figure's units has the fingerprint of `toy` and of what `fn table` names in the figure's file (see
/// `build.rs`), so editing a drawing or a caption recomputes nothing.
pub trait Figure: Sync {
    /// What it is, for the report.
    fn about(&self) -> About;

    /// Computes the data. Long work goes through [`Run::cached`] or [`Run::seeds`]; the arithmetic itself
    /// lives in `toy` or `objective`, whose sources are part of the cache key.
    fn table(&self, run: &Run) -> Result<Table>;

    /// States the drawing; a pure function of the table. Colours are named by role, the theme comes later.
    fn draw(&self, table: &Table) -> Result<Drawing>;

    /// Conversations in the table, for the report's token viewer: of a table of tokens.
    fn conversations(&self, table: &Table) -> Result<Vec<Conversation>> {
        if self.about().is_of_tokens() { Ok(conversations(table.rows()?)) } else { Ok(Vec::new()) }
    }

    /// What a reader must know about this table, shown above the drawing.
    fn subtitle(&self, _: &Table) -> Result<Option<&'static str>> {
        Ok(None)
    }

    /// Tests the paper's claims; a pure function of the table.
    fn claims(&self, _: &Table) -> Result<Vec<Claim>> {
        Ok(Vec::new())
    }
}

/// A figure's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Name in files and on the command line: `a-12`, `b-crossover`.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Paper and place: `A, figure 12 and appendix C.2`.
    pub source: &'static str,
    /// Below the drawing: what one sees, in two or three sentences.
    pub caption: &'static str,
    /// How the data were made, as paragraphs separated by empty lines.
    pub protocol: &'static str,
    /// Where the protocol departs from the paper, or fills a gap it leaves; one entry each.
    pub deviations: &'static [&'static str],
    /// Every column of the table.
    pub columns: Vec<Column>,
}

impl About {
    /// Whether the table has a row per token of a text, with the token's own text.
    pub fn is_of_tokens(&self) -> bool {
        self.columns == TokenRow::columns()
    }
}

/// A registered figure.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The figure.
    pub figure: &'static dyn Figure,
    /// Fingerprint of what computes its table: part of the cache key of its units.
    pub code: &'static str,
}
