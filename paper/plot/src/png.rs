//! PNG from a drawing's SVG, for slides and for looking at it.

use anyhow::{Context as _, Result, ensure};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Renders SVG text at `scale` pixels per unit. Labels are set in the system's sans-serif fonts.
pub fn render(svg: &str, scale: f32) -> Result<Vec<u8>> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_system_fonts();
    ensure!(
        fonts.faces().next().is_some(),
        "no font is installed, so a PNG would have no labels; install one, e.g. `apt-get install fonts-liberation`, \
         or use the SVG"
    );
    let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).context("reading the drawing's SVG")?;
    let size = tree.size().to_int_size().scale_by(scale).context("a PNG of no size")?;
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).context("a PNG too large for memory")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().context("encoding a PNG")
}
