//! Drawing: a small grammar of panels, axes and marks, written out as SVG.
//!
//! A figure states data ([`Drawing`], [`Panel`], [`Series`]); the theme gives colours, the layout gives places,
//! and the same drawing gives the same bytes on every machine. Labels understand `*italic*`, `x^{2}` and
//! `x_{i}`. Series of the same label share one legend entry.
//!
//! ```
//! use tokensieve_paper::plot::{Axis, Drawing, Ink, Panel, Series, Theme};
//! let curve = (0..=50).map(|n| f64::from(n) / 50.0).map(|p| (p, p * (1.0 - p)));
//! let panel = Panel::new("Pull on the label", Axis::linear("probability *p*"), Axis::linear("*p*(1 − *p*)"))
//!     .with(Series::line(curve).ink(Ink::Category(0)).label("α = 1"));
//! let svg = Drawing::new([panel]).svg("Pull on the label", "A curve that peaks at one half", &Theme::LIGHT);
//! assert!(svg.starts_with("<svg") && svg.contains("α = 1"));
//! ```

mod diagram;
mod layout;
mod marks;
mod scale;
mod series;
mod svg;
mod theme;
mod words;

pub use diagram::Diagram;
pub use scale::{Axis, number};
pub use series::{Cell, Colours, Drawing, Panel, Series, Shape};
pub use svg::{Anchor, escape, html, unmarked};
pub use theme::{Ink, Palette, Theme};
pub use words::{Word, Words};
