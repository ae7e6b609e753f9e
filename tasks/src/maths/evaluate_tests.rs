use num_complex::Complex64;

use super::*;

fn value(text: &str) -> Complex64 {
    let (value, _) = evaluate(text, &Point::first(), &Budget::new());
    value.and_then(|value| value.floating()).unwrap_or_else(|| panic!("{text}")).0
}

fn count(text: &str) -> usize {
    evaluate(text, &Point::first(), &Budget::new()).1.variables.len()
}

#[test]
fn constants() {
    for (text, expected) in [
        ("2\\sqrt{3}+1/2", 2.0 * 3f64.sqrt() + 0.5),
        ("\\frac43", 4.0 / 3.0),
        ("1\\frac{4}{5}", 1.8),
        ("-\\frac{\\pi}{6}", -std::f64::consts::PI / 6.0),
        ("\\sqrt[3]{-8}", -2.0),
        ("2^{10}-2^3", 1016.0),
        ("4.5e3", 4500.0),
        ("1.6\\times10^{-3}", 0.0016),
        (".5", 0.5),
        ("-1./2", -0.5),
        ("5!", 120.0),
        ("\\binom{5}{2}", 10.0),
        ("\\log_{2}8", 3.0),
        ("\\sin^2\\frac{\\pi}{6}", 0.25),
        ("\\sin^{-1}1", std::f64::consts::FRAC_PI_2),
        ("|2-5|", 3.0),
        ("-2^2", -4.0),
        ("i^2", -1.0),
        ("sqrt(2)sqrt(2)", 2.0),
        ("2pi", 2.0 * std::f64::consts::PI),
        ("\\lfloor2.5\\rfloor", 2.0),
        ("\\sin\\pi\\cos\\pi", 0.0),
    ] {
        assert!((value(text) - expected).norm() < 1e-12, "{text}: {}", value(text));
        assert_eq!(count(text), 0, "{text}");
    }
}

#[test]
fn variables() {
    for (one, other) in [
        ("(a+5)(b+2)", "ab+2a+5b+10"),
        ("\\cot x", "\\frac{\\cos x}{\\sin x}"),
        ("\\frac{11+9a}{20}", "0.05(9a+11)"),
        ("2x_{1}", "x_1+x_1"),
        ("y^{\\prime}", "y'"),
        ("e^{-2t}", "\\frac{1}{e^{2t}}"),
        ("\\frac{d!}{2k(d-k)!}", "\\frac{d!}{(d-k)!2k}"),
    ] {
        assert!((value(one) - value(other)).norm() < 1e-9, "{one} {other}");
        assert!(count(one) > 0 && count(other) > 0);
    }
    assert_ne!(value("x_1"), value("x_2"));
    assert_ne!(value("52_8"), value("52"));
    let of = |point: &Point| evaluate("x", point, &Budget::new()).0;
    let values: Vec<_> =
        Point::all(&evaluate("x", &Point::first(), &Budget::new()).1).iter().map(of).collect();
    assert!(values.windows(2).all(|pair| pair[0] != pair[1]), "{values:?}");
}

#[test]
fn what_is_no_expression_has_no_value() {
    for text in [
        "",
        "2 3",
        ".",
        "1.\\overline{}",
        // The least power of ten that can be read, and digits that lower it.
        "1.5e-9223372036854775808",
        "1.0\\overline{3}e-9223372036854775808",
        "(1",
        "1/0",
        "+",
        "a,b",
        "\\frac{1}",
        "\\infty",
        &"(".repeat(10_000),
        &"-".repeat(10_000),
        &"\\sin".repeat(10_000),
    ] {
        assert_eq!(
            evaluate(text, &Point::first(), &Budget::new()).0,
            None,
            "{}",
            &text[..text.len().min(20)]
        );
    }
}
