//! The report in a real browser: every page opens from disk, draws, sorts, filters, and fits a phone.
//!
//! Needs Chromium and chromedriver (`apt-get install chromium chromium-driver`); without them it is skipped, unless
//! `CI` is set. Run: `cargo test -p tokensieve-tests --test report`. With `TOKENSIEVE_SCREENSHOTS=folder` it also leaves pictures of
//! all pages there, which takes twice as long.

mod browser;

use browser::Browser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokensieve_base::testing::skipped;
use tokensieve_paper::recorded::Recorded;
use tokensieve_paper::{Made, engine, figures, report};

const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const ESCAPE: &str = "\u{e00c}";
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";

/// Every image that should be visible has loaded and is drawn.
const DRAWN: &str = "[...document.images].filter(i => getComputedStyle(i).display != 'none')\
    .every(i => i.complete && i.naturalWidth > 0) && document.images.length > 0";
/// What sticks out, for the message.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')].filter(e => \
     e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .drawing, pre')) \
     .slice(0, 4).map(e => e.outerHTML.slice(0, 200)).join(' | ')";
/// A drawing is not shrunk until nobody can read it.
const READABLE: &str =
    "(i => i.width >= 0.69 * i.naturalWidth)(document.querySelector('.drawing .on-light'))";
const NO_OVERFLOW: &str = "document.documentElement.scrollWidth <= innerWidth";

#[test]
fn the_report_works_in_a_browser() {
    let Some(browser) = Browser::start() else {
        assert!(std::env::var_os("CI").is_none(), "chromedriver is not installed");
        return skipped("chromedriver is not installed: apt-get install chromium chromium-driver");
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let mut made = engine::make_all_synthetic(&figures::registry()).unwrap();
    as_if_trained(&mut made);
    report::write(&made, &Recorded::load().unwrap(), &folder).unwrap();
    let page = |name: &str| format!("file://{}", folder.join(name).display());

    browser.screen(1280, 900);
    browser.prefer("light");
    browser.open(&page("index.html"));
    index_is_complete(&browser, &made);
    photograph(&browser, "index-light");
    for made in &made {
        browser.open(&page(&format!("{}.html", made.about.id)));
        figure_page_works(&browser, made, &folder);
    }
    viewer_works(&browser, &page("viewer.html"));
    keyboard_leads_through(&browser, &page("index.html"), &made);
    themes_switch(&browser, &page(&format!("{}.html", made[0].about.id)));
    for width in [360, 768] {
        browser.screen(width, 740);
        browser.open(&page("index.html"));
        fits(&browser, &format!("index at {width}"));
        photograph(&browser, &format!("index-{width}"));
        // What a choice leaves out is gone, where rows are blocks too.
        browser.eval(
            "(c => { c.value = 'undecided'; c.dispatchEvent(new Event('change', { bubbles: true })) })\
             (document.querySelector('[data-choice=verdict]'))",
        );
        let left_over = "[...document.querySelectorAll('.ledger tbody tr')]\
                         .filter(row => row.hidden && getComputedStyle(row).display != 'none').length";
        assert_eq!(browser.eval(left_over), json!(0), "index at {width}");
        assert_ne!(browser.eval("document.querySelectorAll('.ledger tbody tr[hidden]').length"), json!(0));
        browser.open(&page("viewer.html"));
        browser.eval("document.querySelector('.conversation:not([hidden]) .t').focus()");
        fits(&browser, &format!("viewer at {width}"));
        photograph(&browser, &format!("viewer-{width}"));
        for made in &made {
            browser.open(&page(&format!("{}.html", made.about.id)));
            fits(&browser, &format!("{} at {width}", made.about.id));
            assert_eq!(browser.eval(READABLE), json!(true), "{} at {width}", made.about.id);
            photograph(&browser, &format!("{}-{width}", made.about.id));
        }
    }
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

/// Nothing sticks out of the window. While a machine is busy, a page may for a moment.
fn fits(browser: &Browser, page: &str) {
    assert!(browser.becomes(NO_OVERFLOW), "{page}: {} sticks out", browser.eval(TOO_WIDE));
}

fn index_is_complete(browser: &Browser, made: &[Made]) {
    let claims: usize = made.iter().map(|made| made.claims.len()).sum();
    assert_eq!(browser.eval("document.querySelectorAll('.ledger tbody tr').length"), json!(claims));
    assert_eq!(browser.eval("document.querySelectorAll('.cards li').length"), json!(made.len()));
    // Thumbnails load as they come into view.
    browser.eval("document.querySelectorAll('img').forEach(i => i.loading = 'eager')");
    browser.wait_for(DRAWN);
    let links = browser.eval("[...document.querySelectorAll('main a')].map(a => a.href)");
    for link in links.as_array().unwrap() {
        assert_leads_somewhere(link.as_str().unwrap());
    }
}

fn figure_page_works(browser: &Browser, made: &Made, folder: &Path) {
    let id = made.about.id;
    browser.wait_for(DRAWN);
    assert_eq!(browser.eval("document.querySelectorAll('h1').length"), json!(1), "{id}");
    assert_eq!(browser.eval("document.querySelectorAll('.claim').length"), json!(made.claims.len()), "{id}");
    let shown = browser.eval("document.querySelectorAll('#data tbody tr').length");
    assert_eq!(shown, json!(made.table.len().min(400)), "{id}");
    let downloads = browser.eval("[...document.querySelectorAll('a[download]')].map(a => a.href)");
    for link in downloads.as_array().unwrap() {
        assert_leads_somewhere(link.as_str().unwrap());
    }
    let csv = std::fs::read_to_string(folder.join(format!("{id}.csv"))).unwrap();
    assert_eq!(csv, made.table.to_csv().unwrap());
    // Sorting by the last column, twice, gives the values from the largest down.
    browser.eval("[0, 0].forEach(() => document.querySelector('#data th:last-child button').click())");
    let sorted = browser.eval(
        "[...document.querySelectorAll('#data td:last-child')].map(c => Number(c.textContent || NaN))\
         .filter(x => !isNaN(x)).every((x, i, all) => i == 0 || all[i - 1] >= x)",
    );
    assert_eq!(sorted, Value::Bool(true), "{id}: sorting");
    assert_eq!(browser.eval("document.querySelector('#data th:last-child').ariaSort"), json!("descending"));
    browser.press("/");
    assert_eq!(browser.eval("document.activeElement.type"), json!("search"), "{id}: / focuses the filter");
    browser.press("\u{2603}");
    assert_eq!(
        browser.eval("document.querySelectorAll('#data tbody tr:not([hidden])').length"),
        json!(0),
        "{id}"
    );
    browser
        .eval("document.activeElement.value = '', document.activeElement.dispatchEvent(new Event('input'))");
    photograph(browser, &format!("{id}-light"));
}

/// A name longer than a phone is wide and two more steps for the first conversation of figure 2A, at which every loss has
/// halved, and then halved again.
fn as_if_trained(made: &mut [Made]) {
    let figure = made.iter_mut().find(|made| made.about.id == "a-2a").unwrap();
    figure.conversations[0].name.push_str(&" and some more words".repeat(3));
    let steps = &mut figure.conversations[0].steps;
    for step in [50, 100] {
        let mut rows = steps.last().unwrap().1.clone();
        for row in &mut rows {
            row.loss_nats = row.loss_nats.map(|loss| loss / 2.0);
            row.selected = row.selected.map(|selected| !selected);
        }
        steps.push((step, rows));
    }
}

fn viewer_works(browser: &Browser, page: &str) {
    const SHOWN: &str = "document.querySelector('.conversation:not([hidden])')";
    const NOW: &str = "document.activeElement";
    let eval = |expression: &str| browser.eval(&expression.replace("SHOWN", SHOWN).replace("NOW", NOW));
    let at = |index: usize| {
        let at = eval(&format!("SHOWN.querySelectorAll('.t')[{index}].style.getPropertyValue('--at')"));
        at.as_str().unwrap().parse::<f64>().unwrap()
    };
    // Without script: everything is there, coloured, with numbers.
    let source = std::fs::read_to_string(page.strip_prefix("file://").unwrap()).unwrap();
    assert!(source.contains("<noscript>") && source.matches("title=\"epistemic ").count() > 50);

    // A link to a conversation, a step, a quantity and a token.
    browser.open(page);
    let slug = eval("SHOWN.id").as_str().unwrap().to_owned();
    assert!(slug.starts_with("a-2a-"), "{slug}");
    browser.open(&format!("{page}#{slug}/50/aleatoric/9"));
    browser.wait_for("document.activeElement.dataset.at == '9'");
    assert_eq!(eval("document.getElementById('step-name').textContent"), json!("50"));
    assert_eq!(eval("document.querySelector('[name=quantity]:checked').value"), json!("aleatoric"));
    assert_eq!(eval("document.getElementById('tip').hidden"), json!(false));
    let tip = eval("document.getElementById('tip').textContent");
    assert!(
        tip.as_str().unwrap().contains("epistemic") && tip.as_str().unwrap().contains("probability"),
        "{tip}"
    );
    assert_eq!(eval("document.querySelectorAll('#tip li').length"), json!(5), "alternatives");

    // The arrow keys walk over tokens, and lead to no other page.
    browser.press(RIGHT);
    assert_eq!(eval("NOW.dataset.at"), json!("10"));
    browser.press(LEFT);
    browser.press(LEFT);
    assert_eq!(eval("NOW.dataset.at"), json!("8"));
    assert!(eval("location.hash").as_str().unwrap().ends_with("/50/aleatoric/8"));
    browser.press(END);
    assert_eq!(eval("NOW === [...SHOWN.querySelectorAll('.t')].at(-1)"), json!(true));
    browser.press(HOME);
    assert_eq!(eval("NOW === SHOWN.querySelector('.t')"), json!(true));

    // A key switches the quantity, another the step; the colours follow, on one scale for all steps.
    browser.press("4");
    assert_eq!(eval("document.querySelector('[name=quantity]:checked').value"), json!("loss"));
    let darkest = |step: &str| {
        browser.eval(&format!(
            "(document.getElementById('step').value = {step}, \
             document.getElementById('step').dispatchEvent(new Event('input')), document.getElementById('step-name').textContent)"
        ));
        (0..5).map(at).fold(0.0, f64::max)
    };
    let [first, second, third] = ["0", "1", "2"].map(darkest);
    assert!(first > second && second > third && third > 0.0, "{first} {second} {third}");
    assert_eq!(eval("document.getElementById('step-name').textContent"), json!("100"));
    browser.eval("document.getElementById('step').focus()");
    browser.press(LEFT);
    assert_eq!(
        eval("document.getElementById('step-name').textContent"),
        json!("50"),
        "the slider by keyboard"
    );
    browser.press(",");
    assert_eq!(eval("document.getElementById('step-name').textContent"), json!("0"));
    photograph(browser, "viewer-light");
    browser.press("6");
    let chosen = "[...SHOWN.querySelectorAll('.t')].filter(t => t.style.getPropertyValue('--at') > 0).length";
    let before = eval(chosen).as_u64().unwrap();
    browser.press(".");
    let all = eval("SHOWN.querySelectorAll('.t').length").as_u64().unwrap();
    assert_eq!(eval(chosen).as_u64().unwrap(), all - before, "selected or not");

    // The pointer, the list of conversations, and a link that is followed on the page.
    eval("SHOWN.querySelectorAll('.t')[3].dispatchEvent(new MouseEvent('mouseover', { bubbles: true }))");
    let link = eval("document.querySelector('#tip a').hash").as_str().unwrap().to_owned();
    assert!(link.ends_with("/50/selected/10"), "{link}");
    browser.eval("document.querySelector('#tip a').click()");
    browser.wait_for("document.activeElement.dataset.at == '10'");
    // The tooltip stays with the token pointed at, not the one with the focus, and its numbers follow the step.
    browser.press("4");
    eval("SHOWN.querySelectorAll('.t')[0].dispatchEvent(new MouseEvent('mouseover', { bubbles: true }))");
    let told = || {
        ["textContent", "querySelector('a').hash"]
            .map(|part| eval(&format!("document.getElementById('tip').{part}")).as_str().unwrap().to_owned())
    };
    let [at_50, _] = told();
    browser.press(".");
    let [at_100, link] = told();
    assert_ne!(at_50, at_100, "numbers of the step");
    assert!(link.ends_with("/100/loss/7"), "{link}");
    browser.press(",");
    assert_eq!(told()[0], at_50);
    browser.eval("(s => (s.selectedIndex = 1, s.dispatchEvent(new Event('change'))))(document.getElementById('conversation'))");
    assert_ne!(eval("SHOWN.id"), json!(slug));
    assert_eq!(eval("document.querySelectorAll('.conversation:not([hidden])').length"), json!(1));
    assert_eq!(eval("document.querySelector('.steps').hidden"), json!(true), "one step needs no slider");
    browser.press("1");
    browser.eval("document.querySelector('.conversation:not([hidden]) .t').focus()");
    browser.press("t");
    photograph(browser, "viewer-dark");
    browser.press("t");

    // An address that names nothing, or that cannot be read, shows the first conversation.
    for address in ["nothing/7/colour/1000", "%"] {
        browser.open("about:blank");
        browser.open(&format!("{page}#{address}"));
        browser.wait_for("document.readyState == 'complete'");
        assert_eq!(eval("SHOWN.id"), json!(slug), "{address}");
        let scale = eval("document.getElementById('scale-high').textContent");
        assert!(scale.as_str().unwrap().ends_with("nats or more"), "{address}: the controls are at work");
    }
}

fn keyboard_leads_through(browser: &Browser, index: &str, made: &[Made]) {
    browser.open(index);
    let here = |made: &Made| format!("location.pathname.endsWith('/{}.html')", made.about.id);
    for made in made {
        browser.press(RIGHT);
        browser.wait_for(&here(made));
    }
    for made in made.iter().rev().skip(1) {
        browser.press(LEFT);
        browser.wait_for(&here(made));
    }
    browser.press("?");
    assert_eq!(browser.eval("document.querySelector('dialog').open"), Value::Bool(true));
    browser.press(ESCAPE);
    assert_eq!(browser.eval("document.querySelector('dialog').open"), Value::Bool(false));
    browser.press("i");
    browser.wait_for("location.pathname.endsWith('/index.html')");
}

fn themes_switch(browser: &Browser, page: &str) {
    let background = || browser.eval("getComputedStyle(document.body).backgroundColor");
    browser.open(page);
    let light = background();
    browser.press("t");
    let dark = background();
    assert_ne!(light, dark);
    browser.wait_for(DRAWN);
    assert_eq!(
        browser.eval("getComputedStyle(document.querySelector('.drawing .on-light')).display"),
        json!("none")
    );
    photograph(browser, "figure-dark");
    browser.open(&page.replace(page.rsplit('/').next().unwrap(), "index.html"));
    assert_eq!(background(), dark, "the choice lasts");
    photograph(browser, "index-dark");
    browser.press("t");
    assert_eq!(background(), light);
    // Without a choice, the page follows the system.
    browser.eval("localStorage.clear()");
    browser.prefer("dark");
    browser.open(page);
    assert_eq!(background(), dark);
    browser.prefer("light");
}

fn photograph(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("TOKENSIEVE_SCREENSHOTS") {
        browser.screenshot(&Path::new(&folder).join(format!("{name}.png")));
    }
}

fn assert_leads_somewhere(address: &str) {
    if address.starts_with("https://arxiv.org/abs/") {
        return;
    }
    let path = address.strip_prefix("file://").unwrap_or(address).split('#').next().unwrap_or_default();
    assert!(PathBuf::from(path).exists(), "{address} leads nowhere");
}
