//! Draws one panel of every kind, in both themes, and checks that the SVG is well formed, complete and the same
//! twice. The PNGs lie in the test's temporary folder (printed with `--nocapture`), to be looked at.

use std::fs;
use std::path::Path;
use tokensieve_plot::{Anchor, Axis, Cell, Colours, Drawing, Ink, Panel, Series, Shape, Theme, png};

fn curves() -> Panel {
    let x = || (0..=40).map(|n| f64::from(n) * 5.0);
    let curve = |rate: f64| x().map(move |x| (x, libm::exp(-rate * x)));
    let arms = [("all data", 0.01), ("top residual", 0.03), ("optimal", 0.035), ("random", 0.008)];
    Panel::new("Hold-out loss", Axis::linear("step"), Axis::log("loss (nats)")).with_all(
        arms.iter().enumerate().flat_map(|(index, (name, rate))| {
            let ink = Ink::Category(index);
            let band = curve(*rate).map(|(x, y)| (x, y * 0.7, y * 1.3));
            [Series::band(band).ink(ink), Series::line(curve(*rate)).ink(ink).label(name)]
        }),
    )
}

fn family() -> Panel {
    let curve = |k: f64| (1..=20).map(move |n| (f64::from(n), 1.0 - libm::exp(-f64::from(n) * k * 0.06)));
    let bands = (0..10).map(|k| Series::line(curve(f64::from(k + 1))).ink(Ink::Sequence(f64::from(k) / 9.0)));
    Panel::new("Accuracy by band", Axis::linear("epoch"), Axis::linear("test accuracy").percent())
        .with_all(bands)
        .with(Series::horizontal(0.9).dashed())
        .with(Series::text(1.0, 0.91, "all data", Anchor::Start))
}

fn categories() -> Panel {
    let names = ["MLE", "masked", "distill", "masked + distill"];
    let at = |n: usize| (n as f64, 0.5 + 0.1 * n as f64);
    Panel::new("Gain over MLE", Axis::categories("objective", names), Axis::symlog("gain", 0.1))
        .with(Series::error_bars((0..4).map(|n| (at(n).0, at(n).1 - 0.7, at(n).1 + 0.3))).ink(Ink::Strong))
        .with_all((0..4).map(|n| {
            Series::points([at(n)]).shape(Shape::of(n)).size(4.5).ink(Ink::Category(n)).label(names[n])
        }))
        .with(Series::horizontal(0.0))
}

fn histogram() -> Panel {
    let bars =
        (0..20).map(|n| (f64::from(n), f64::from(n) + 0.9, libm::exp(-0.05 * f64::from((n - 8) * (n - 8)))));
    Panel::new("Losses", Axis::linear("loss (nats)"), Axis::linear("density"))
        .with(Series::bars(bars).ink(Ink::Category(5)).label("tokens"))
        .with(Series::vertical(8.0).dotted().label("median"))
}

fn map(numbers: bool) -> Panel {
    let cells = (0..6).flat_map(|i| {
        (0..5).map(move |j| {
            let (x, y) = (f64::from(i), f64::from(j));
            Cell { x: (x, x + 1.0), y: (y, y + 1.0), value: (x - 2.5) * (y - 2.0) / 5.0 }
        })
    });
    let cells = Series::cells(cells);
    Panel::new("Who wins", Axis::linear("mass *a*").tight(), Axis::linear("noise *E*").tight())
        .with(if numbers { cells.numbers(2) } else { cells })
        .with(Series::line([(0.0, 5.0), (2.5, 2.0), (6.0, 0.0)]).ink(Ink::Strong).label("boundary"))
}

fn gallery() -> Vec<(&'static str, Drawing)> {
    vec![
        (
            "curves",
            Drawing::new([curves(), family(), categories(), histogram()])
                .columns(2)
                .notice("Drawn on something else"),
        ),
        (
            "own-bar",
            Drawing::new([map(true).colours(Colours::diverging("−log *p* minus −*p*", 1.0)), histogram()]),
        ),
        (
            "shared-bar",
            Drawing::new([map(false), map(true), map(false), map(false)])
                .columns(2)
                .colours(Colours::sequential("accuracy", -1.0, 1.0)),
        ),
        ("empty", Drawing::new([Panel::new("", Axis::log("x"), Axis::linear("y")).with(Series::line([]))])),
    ]
}

#[test]
fn every_kind_of_panel_draws_the_same_twice() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gallery");
    fs::create_dir_all(&folder).unwrap();
    for (name, drawing) in gallery() {
        for theme in [Theme::LIGHT, Theme::DARK] {
            let svg = drawing.svg("A & B", "Everything <at once>", &theme);
            assert_eq!(svg, drawing.svg("A & B", "Everything <at once>", &theme));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
            assert!(svg.contains("<title id=\"title\">A &amp; B</title>"));
            let path = folder.join(format!("{name}-{}.png", theme.name));
            fs::write(&path, png::render(&svg, 2.0).unwrap()).unwrap();
            println!("{}", path.display());
        }
    }
}
