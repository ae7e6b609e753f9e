//! Figures as data, and data as SVG: a small grammar of panels, axes and series.
//!
//! # The idea
//! A [`Drawing`] says *what* is shown: panels with two axes each, and series of marks between them. It names no colour
//! and no pixel. A [`Theme`] turns roles ([`Ink`]) into colours, the layout gives every panel room for exactly its own
//! tick labels, and [`Drawing::svg`] writes the document. Everything on the way is a pure function on `f64`, with
//! transcendental functions from `libm` and coordinates of fixed precision, so the same drawing gives the same bytes on
//! every machine.
//!
//! # One figure
//! ```
//! use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Theme};
//!
//! let curve = (0..=50).map(|n| f64::from(n) / 50.0).map(|p| (p, p * (1.0 - p)));
//! let panel = Panel::new("Pull on the label", Axis::linear("probability *p*"), Axis::linear("*p*(1 − *p*)"))
//!     .with(Series::line(curve).ink(Ink::Category(0)).label("α = 1"))
//!     .with(Series::vertical(0.5).dashed());
//! let drawing = Drawing::new([panel]).width(420.0);
//!
//! // The title and the description are for screen readers; the page around the figure shows its own.
//! let svg = drawing.svg("Pull on the label", "A curve that peaks at one half", &Theme::LIGHT);
//! assert!(svg.starts_with("<svg") && svg.contains("α = 1"));
//! assert_ne!(svg, drawing.svg("Pull on the label", "A curve that peaks at one half", &Theme::DARK));
//! ```
//!
//! # What there is
//! | | |
//! |---|---|
//! | [`Axis`] | linear, logarithmic, symmetric-logarithmic or named places; round ticks; percentages, points |
//! | [`Series`] | line, band, points, error bars, bars, cells of a heat map, tiles, reference lines, notes |
//! | [`Panel`], [`Drawing`] | panels in rows, lettered A, B, …; one legend, in which series of the same label share one entry |
//! | [`Colours`] | the colour scale of cells or of text, with its bar |
//! | [`Words`] | running text whose tokens are coloured by a quantity |
//! | [`Diagram`] | boxes and arrows at given places |
//! | `png` | the same drawing as a PNG, in the system's fonts (feature `png`) |
//!
//! Labels understand `*italic*`, `x^{2}` and `x_{i}`; [`html`] and [`unmarked`] read the same marks elsewhere.
//! A value that is NaN or infinite, or that a logarithmic axis cannot show, is left out and breaks its line.
//!
//! # What is not here
//! Interaction, animation, fonts (SVG names a sans-serif family, and widths are reserved for the widest of the usual
//! ones), and any knowledge of where the data come from.

mod colours;
mod diagram;
mod drawing;
mod layout;
mod marks;
#[cfg(feature = "png")]
pub mod png;
mod scale;
mod series;
mod svg;
mod theme;
mod words;

pub use colours::Colours;
pub use diagram::Diagram;
pub use drawing::{Drawing, Panel};
pub use scale::{Axis, number};
pub use series::{Cell, Series, Shape, Tile};
pub use svg::{Anchor, escape, html, unmarked};
pub use theme::{Ink, Palette, Theme};
pub use words::{Word, Words};
