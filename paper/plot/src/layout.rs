//! Layout: notice, legend, then rows of panels, each with room for exactly its own tick labels.

use crate::marks::{self, Area, SOLID};
use crate::scale::{Fitted, Scale};
use crate::series::Mark;
use crate::svg::{Anchor, Canvas, Type, escape, px, unmarked, width};
use crate::{Axis, Colours, Drawing, Panel, Series, Theme};

/// Sizes of text, in pixels: panel titles, axis labels, tick labels and legend.
const TITLE: f64 = 12.0;
const LABEL: f64 = 11.0;
const TICK: f64 = 10.5;
/// Room between a panel's neighbours.
const GAP: f64 = 18.0;
const LINE: f64 = 17.0;
/// The tallest colour bar.
const BAR: f64 = 320.0;
/// How far labels of the x axis reach below it, and by how many degrees they are turned at least if they are.
const STRAIGHT: f64 = 20.0;
const TURN: f64 = 35.0;
/// The layout has room for the wider of Helvetica and `DejaVu Sans` ([`width`]).
const FONTS: &str = "Helvetica, Arial, 'Liberation Sans', 'Nimbus Sans', 'DejaVu Sans', sans-serif";

impl Drawing {
    /// The drawing as an SVG document with an accessible title and description.
    pub fn svg(&self, title: &str, description: &str, theme: &Theme) -> String {
        let mut canvas = Canvas::default();
        let mut y = 8.0;
        if let Some(notice) = &self.notice {
            canvas.text(10.0, y + 12.0, notice, Type::new(LABEL, theme.text).bold());
            y += LINE + 6.0;
        }
        if let Some(subtitle) = &self.subtitle {
            canvas.text(10.0, y + 12.0, subtitle, Type::new(LABEL, theme.muted));
            y += LINE + 6.0;
        }
        if let Some(diagram) = &self.diagram {
            y = diagram.svg(&mut canvas, y, theme);
        }
        y = self.words_svg(&mut canvas, y, theme);
        y = self.legend(&mut canvas, y, theme);
        let bar_room = self.colours.as_ref().map_or(0.0, |colours| 14.0 + bar_width(colours, BAR));
        let cell_width = (self.width - bar_room - GAP * (self.columns - 1) as f64) / self.columns as f64;
        let top_of_panels = y;
        let mut bars = (f64::INFINITY, f64::NEG_INFINITY);
        for (row, panels) in self.panels.chunks(self.columns).enumerate() {
            let head = if panels.iter().any(|panel| !panel.title.is_empty()) || self.panels.len() > 1 {
                24.0
            } else {
                8.0
            };
            let frames: Vec<Frame> =
                panels.iter().map(|panel| Frame::of(panel, cell_width, self.panel_height)).collect();
            let foot =
                panels.iter().zip(&frames).map(|(panel, frame)| foot(panel, frame)).fold(0.0, f64::max);
            for (column, (panel, frame)) in panels.iter().zip(frames).enumerate() {
                let index = row * self.columns + column;
                let left = column as f64 * (cell_width + GAP);
                let letter = (self.panels.len() > 1).then(|| letter(index));
                let place = Place { index, left, top: y + head, height: self.panel_height };
                panel_svg(&mut canvas, panel, frame, &place, letter, self.colours.as_ref(), theme);
            }
            bars = (bars.0.min(y + head), bars.1.max(y + head + self.panel_height));
            y += head + self.panel_height + foot;
        }
        if let Some(colours) = self.colours.as_ref().filter(|_| y > top_of_panels) {
            // One bar for many panels: as tall as the rows, but never absurdly so.
            let height = (bars.1 - bars.0).min(BAR);
            colour_bar(&mut canvas, colours, self.width - bar_room + 14.0, bars.0, height, theme);
        }
        let (w, h) = (px(self.width), px(y + 4.0));
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" "#,
                r#"role="img" aria-labelledby="title desc" font-family="{fonts}">"#,
                "\n<title id=\"title\">{title}</title>\n<desc id=\"desc\">{description}</desc>\n",
                r#"<rect width="{w}" height="{h}" fill="{background}"/>"#,
                "\n{body}</svg>\n"
            ),
            w = w,
            h = h,
            fonts = FONTS,
            title = escape(&unmarked(title)),
            description = escape(&unmarked(description)),
            background = theme.background,
            body = canvas.into_body(),
        )
    }

    /// Draws the blocks of text from `y` down, in rows, and returns where they end.
    fn words_svg(&self, canvas: &mut Canvas, mut y: f64, theme: &Theme) -> f64 {
        let columns = self.columns.min(self.words.len()).max(1);
        let room = (self.width - GAP * (columns - 1) as f64) / columns as f64 - 10.0;
        for (row, blocks) in self.words.chunks(columns).enumerate() {
            for (column, block) in blocks.iter().enumerate() {
                let several = self.words.len() > 1;
                let letter = if several { letter(row * columns + column).to_string() } else { String::new() };
                block.svg(canvas, (column as f64 * (room + 10.0 + GAP), y), room, &letter, theme);
            }
            y += blocks.iter().map(|block| block.height(room)).fold(0.0, f64::max);
        }
        y
    }

    /// Draws the legend from `y` down and returns where the panels may begin.
    fn legend(&self, canvas: &mut Canvas, y: f64, theme: &Theme) -> f64 {
        let mut entries: Vec<(&str, Vec<&Series>)> = Vec::new();
        for panel in &self.panels {
            for series in &panel.series {
                let Some(label) = series.label.as_deref() else { continue };
                match entries.iter_mut().find(|entry| entry.0 == label) {
                    Some(entry) if entry.1.iter().any(|s| same_kind(s, series)) => {}
                    Some(entry) => entry.1.push(series),
                    None => entries.push((label, vec![series])),
                }
            }
        }
        if entries.is_empty() {
            return y;
        }
        let (mut x, mut y) = (10.0, y + 10.0);
        for (label, keys) in entries {
            let room = 26.0 + width(label, LABEL) + 18.0;
            if x > 10.0 && x + room > self.width {
                (x, y) = (10.0, y + LINE);
            }
            for series in keys {
                key(canvas, series, x, y - 4.0, theme);
            }
            canvas.text(x + 26.0, y, label, Type::new(LABEL, theme.text));
            x += room;
        }
        y + 12.0
    }
}

impl Drawing {
    /// Names whose marks look different from panel to panel, which the legend would hide.
    pub fn ambiguous(&self) -> Vec<&str> {
        let series = || self.panels.iter().flat_map(|panel| &panel.series);
        let differs = |one: &Series| {
            let same_name = |other: &&Series| other.label == one.label && same_kind(one, other);
            series().filter(same_name).any(|other| (other.ink, other.shape) != (one.ink, one.shape))
        };
        series().filter(|one| differs(one)).filter_map(|one| one.label.as_deref()).collect()
    }

    /// The strong ends of the colour scales of all blocks of text.
    pub fn strong_ends(&self) -> Vec<f64> {
        self.words.iter().map(|block| block.colours.high).collect()
    }
}

fn same_kind(one: &Series, other: &Series) -> bool {
    std::mem::discriminant(&one.mark) == std::mem::discriminant(&other.mark)
}

/// A series' entry in the legend: 20 pixels wide, centred on `y`.
fn key(canvas: &mut Canvas, series: &Series, x: f64, y: f64, theme: &Theme) {
    let ink = theme.colour(series.ink);
    match series.mark {
        Mark::Band(_) => canvas.rect(x, y - 5.0, 20.0, 10.0, &format!(r#"fill="{ink}" fill-opacity="0.18""#)),
        Mark::Bars(_) | Mark::Tiles(_) => {
            canvas.rect(x, y - 5.0, 20.0, 10.0, &format!(r#"fill="{ink}" fill-opacity="{SOLID}""#));
        }
        Mark::Points(_) => {
            marks::marker(canvas, (x + 10.0, y), series.shape, series.size.max(3.0), &ink, theme);
        }
        Mark::ErrorBars(_) => canvas.line((x + 10.0, y - 6.0), (x + 10.0, y + 6.0), &ink, series.stroke, ""),
        _ => canvas.line((x, y), (x + 20.0, y), &ink, series.stroke, series.dash),
    }
}

/// Where a panel goes: its outer box's left, its plotting area's top and height.
struct Place {
    index: usize,
    left: f64,
    top: f64,
    height: f64,
}

/// A panel's axes with their limits, and the room that their labels take.
struct Frame<'a> {
    x: Fitted<'a>,
    y: Fitted<'a>,
    /// What lies left of the plotting area, and its width.
    before: f64,
    width: f64,
    labels: Labels,
}

struct Labels {
    y_ticks: Vec<(f64, String)>,
    /// Width of those left of the y axis.
    tick_room: f64,
    /// Names below the x axis are turned if they would run into each other.
    turned: Option<Turned>,
}

struct Turned {
    degrees: f64,
    /// How far the names reach below the axis.
    reach: f64,
}

impl Labels {
    /// How far they reach below the x axis.
    fn reach(&self) -> f64 {
        self.turned.as_ref().map_or(STRAIGHT, |turned| turned.reach)
    }
}

impl Turned {
    /// Names that are `longest` wide, one in each slot: turned so far that neighbouring lines of text do not touch.
    fn of(longest: f64, slot: f64) -> Self {
        let degrees = (TICK / slot).min(1.0).asin().to_degrees().max(TURN);
        Self { degrees, reach: 17.0 + longest * degrees.to_radians().sin() }
    }
}

impl<'a> Frame<'a> {
    fn of(panel: &'a Panel, outer_width: f64, height: f64) -> Self {
        let (xs, ys): (Vec<_>, Vec<_>) = panel.series.iter().map(Series::extent).unzip();
        let (x, y) = (panel.x.fit(xs.concat().into_iter()), panel.y.fit(ys.concat().into_iter()));
        let y_ticks = y.ticks((height / 42.0) as usize);
        let tick_room = if panel.y.quiet { 0.0 } else { widest(y_ticks.iter().map(|tick| tick.1.as_str())) };
        let label_room = if panel.y.label.is_empty() || panel.y.quiet { 0.0 } else { LINE };
        let bar = panel.colours.as_ref().map_or(0.0, |colours| 12.0 + bar_width(colours, height));
        // The last tick's label may stand half beyond the axis.
        let beyond = |(at, label): &(f64, String)| if *at > 0.9 { width(label, TICK) / 2.0 } else { 0.0 };
        let tail = x.ticks(4).last().map_or(0.0, beyond);
        let mut before = 10.0 + tick_room + label_room + 7.0;
        let mut width = (outer_width - before - 4.0 - bar - tail).max(20.0);
        let mut turned = None;
        if let Scale::Categories(names) = &panel.x.scale {
            let (longest, slot) =
                (widest(names.iter().map(String::as_str)), width / names.len().max(1) as f64);
            if longest > slot - 4.0 {
                let turn = Turned::of(longest, slot);
                // The first name reaches furthest to the left of its place.
                let first = names.first().map_or(0.0, |name| self::width(name, TICK));
                let more = (first * turn.degrees.to_radians().cos() - slot / 2.0 - before).max(0.0);
                before += more;
                width = (width - more).max(20.0);
                turned = Some(turn);
            }
        }
        Self { x, y, before, width, labels: Labels { y_ticks, tick_room, turned } }
    }
}

/// Room below a panel's plotting area.
fn foot(panel: &Panel, frame: &Frame<'_>) -> f64 {
    let label = if panel.x.label.is_empty() || panel.x.quiet { 0.0 } else { LINE };
    if panel.x.quiet { 14.0 } else { frame.labels.reach() + 6.0 + label + 6.0 }
}

fn letter(index: usize) -> char {
    char::from(b'A' + (index % 26) as u8)
}

fn panel_svg(
    canvas: &mut Canvas,
    panel: &Panel,
    frame: Frame<'_>,
    place: &Place,
    letter: Option<char>,
    shared: Option<&Colours>,
    theme: &Theme,
) {
    let Frame { x, y, before, width, labels } = frame;
    let area = Area {
        left: place.left + before,
        top: place.top,
        width,
        height: place.height,
        over_cells: panel
            .series
            .iter()
            .any(|series| matches!(series.mark, Mark::Cells { .. } | Mark::Tiles(_))),
        x,
        y,
    };

    let mut heading = place.left + 10.0;
    if let Some(letter) = letter {
        canvas.text(heading, place.top - 9.0, &letter.to_string(), Type::new(TITLE, theme.text).bold());
        heading += 15.0;
    }
    canvas.text(heading, place.top - 9.0, &panel.title, Type::new(TITLE, theme.text));
    if !area.over_cells {
        for (at, _) in &labels.y_ticks {
            let y = area.bottom() - at * area.height;
            canvas.line((area.left, y), (area.right(), y), theme.grid, 1.0, "");
        }
    }
    let clip = format!("clip{}", place.index);
    canvas.raw(&format!(
        r#"<clipPath id="{clip}"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>"#,
        px(area.left - 1.0),
        px(area.top - 4.0),
        px(area.width + 2.0),
        px(area.height + 5.0)
    ));
    canvas.raw(&format!(r#"<g clip-path="url(#{clip})">"#));
    let colours = panel.colours.as_ref().or(shared);
    for series in &panel.series {
        marks::draw(canvas, &area, series, colours, theme);
    }
    canvas.raw("</g>");
    axes(canvas, panel, &area, &labels, theme);
    if let Some(colours) = &panel.colours {
        colour_bar(canvas, colours, area.right() + 12.0, area.top, area.height, theme);
    }
}

fn axes(canvas: &mut Canvas, panel: &Panel, area: &Area<'_>, labels: &Labels, theme: &Theme) {
    let (left, right, bottom) = (area.left, area.right(), area.bottom());
    let small = Type::new(TICK, theme.muted);
    canvas.line((left, area.top), (left, bottom), theme.muted, 1.0, "");
    canvas.line((left, bottom), (right, bottom), theme.muted, 1.0, "");
    for (at, label) in &labels.y_ticks {
        let y = bottom - at * area.height;
        canvas.line((left - 4.0, y), (left, y), theme.muted, 1.0, "");
        if !panel.y.quiet {
            canvas.text(left - 7.0, y + 3.7, label, small.anchor(Anchor::End));
        }
    }
    let x_ticks = area.x.ticks((area.width / 55.0) as usize);
    // Numbers that would run into each other are dropped from the right.
    let mut free_from = f64::NEG_INFINITY;
    for (at, label) in &x_ticks {
        let x = left + at * area.width;
        canvas.line((x, bottom), (x, bottom + 4.0), theme.muted, 1.0, "");
        let half = width(label, TICK) / 2.0;
        if panel.x.quiet || (labels.turned.is_none() && x - half < free_from) {
            continue;
        }
        if let Some(turned) = &labels.turned {
            // Upright, a name begins nearer to the axis.
            let y = bottom + 8.0 + 7.325 * turned.degrees.to_radians().cos();
            canvas.text(x + 3.0, y, label, small.anchor(Anchor::End).turned(-turned.degrees));
        } else {
            canvas.text(x, bottom + 17.0, label, small.anchor(Anchor::Middle));
            free_from = x + half + 4.0;
        }
    }
    let set = Type::new(LABEL, theme.text).anchor(Anchor::Middle);
    if !panel.x.quiet {
        let below = bottom + labels.reach() + 15.0;
        canvas.text(f64::midpoint(left, right), below, &panel.x.label, set);
    }
    if !panel.y.quiet {
        let x = left - 10.0 - labels.tick_room - 9.0;
        canvas.text(x, area.top + area.height / 2.0, &panel.y.label, set.turned(-90.0));
    }
}

fn colour_bar(canvas: &mut Canvas, colours: &Colours, x: f64, top: f64, height: f64, theme: &Theme) {
    const STEPS: usize = 64;
    let slice = height / STEPS as f64;
    for step in 0..STEPS {
        let colour = theme.cell(colours.palette, (step as f64 + 0.5) / STEPS as f64);
        let y = top + height - (step + 1) as f64 * slice;
        canvas.rect(x, y, 11.0, slice + 0.5, &format!(r#"fill="{colour}""#));
    }
    let ticks = bar_ticks(colours, height);
    for (at, label) in &ticks {
        let y = top + height * (1.0 - at);
        canvas.line((x + 11.0, y), (x + 14.0, y), theme.muted, 1.0, "");
        canvas.text(x + 17.0, y + 3.7, label, Type::new(TICK, theme.muted));
    }
    let room = widest(ticks.iter().map(|tick| tick.1.as_str()));
    let set = Type::new(LABEL, theme.text).anchor(Anchor::Middle).turned(-90.0);
    canvas.text(x + 17.0 + room + 14.0, top + height / 2.0, &colours.label, set);
}

/// Width of a colour bar with its numbers and its label, whose letters reach below their line.
fn bar_width(colours: &Colours, height: f64) -> f64 {
    let ticks = bar_ticks(colours, height);
    17.0 + widest(ticks.iter().map(|tick| tick.1.as_str())) + 14.0 + 4.0
}

fn bar_ticks(colours: &Colours, height: f64) -> Vec<(f64, String)> {
    let axis = Axis::linear("").range(colours.low, colours.high);
    axis.fit(std::iter::empty()).ticks((height / 42.0) as usize)
}

/// The width of the widest of some texts on ticks.
fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    texts.map(|text| width(text, TICK)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attribute `key` of the element that `text` begins with.
    fn number(text: &str, key: &str) -> f64 {
        let (_, after) = text.split_once(&format!(" {key}=\"")).unwrap();
        after.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn entries_of_the_legend_keep_apart() {
        // The letter m takes 0.974 of the size in DejaVu Sans, and no font of ours makes it wider.
        let labels: Vec<String> = (1..24).map(|length| "m".repeat(length)).collect();
        let bars = |label: &String| Series::bars([(0.0, 1.0, 1.0)]).label(label);
        let panel = Panel::new("", Axis::linear(""), Axis::linear("")).with_all(labels.iter().map(bars));
        let svg = Drawing::new([panel]).svg("", "", &Theme::LIGHT);
        let swatches: Vec<&str> = svg.split("<rect").filter(|rect| rect.starts_with(" x=")).collect();
        let mut entries = Vec::new();
        for (swatch, label) in swatches.iter().zip(&labels) {
            let text = swatch.split("<text").nth(1).unwrap();
            assert!(text.contains(&format!(">{label}<")), "{text}");
            let end = number(text, "x") + 0.974 * LABEL * label.len() as f64;
            entries.push((number(swatch, "y"), number(swatch, "x"), end));
        }
        for pair in entries.windows(2) {
            let ((y, _, end), (next_y, next, _)) = (pair[0], pair[1]);
            assert!(if (y - next_y).abs() < 1.0 { end + 8.0 < next } else { y + 12.0 < next_y }, "{pair:?}");
        }
        assert!(entries.iter().all(|entry| entry.2 < 760.0) && entries[0].0 < entries.last().unwrap().0);
    }

    #[test]
    fn many_names_are_turned_until_their_lines_do_not_touch() {
        let degrees = |slot: f64| Turned::of(80.0, slot).degrees;
        let apart = |slot: f64| slot * degrees(slot).to_radians().sin();
        assert!(apart(12.0) > TICK - 1e-9 && apart(60.0) > TICK);
        assert!((degrees(60.0) - TURN).abs() < 1e-9 && (degrees(8.0) - 90.0).abs() < 1e-9);
    }

    #[test]
    fn turned_names_have_room() {
        let names = ["plain", "the quarter of the documents with the largest loss", "x", "y"];
        let panel = Panel::new("", Axis::categories("ways", names), Axis::linear("loss"));
        let svg =
            Drawing::new([panel.with(Series::points([(0.0, 1.0), (3.0, 2.0)]))]).svg("", "", &Theme::LIGHT);
        let height = number(&svg, "height");
        let texts: Vec<&str> = svg.split("<text").skip(1).collect();
        let turned: Vec<&&str> = texts.iter().filter(|text| text.contains("rotate(-35")).collect();
        assert_eq!(turned.len(), names.len());
        for (text, name) in turned.iter().zip(names) {
            let reach = width(name, TICK) * TURN.to_radians().sin();
            assert!(number(text, "y") + reach < height - LINE, "{name}");
        }
        let axis = texts.iter().find(|text| text.contains(">ways<")).unwrap();
        assert!(number(axis, "y") < height);
    }
}
