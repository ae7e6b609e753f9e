use tokensieve_toy::{bands, images::DataSet};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let d = DataSet::load(&a[1], a[2].as_ref()).unwrap();
    let seeds = a.get(3).map_or(5, |s| s.parse().unwrap());
    let epochs = a.get(4).map_or(20, |s| s.parse().unwrap());
    let c = bands::Config { seeds, epochs, ..Default::default() };
    let t = std::time::Instant::now();
    let rows = bands::run(&c, &d).unwrap();
    let e = t.elapsed().as_secs_f64();
    println!("{e:.2} s, {:.4} s per network-epoch", e / (12 * seeds * u64::from(epochs)) as f64);
    for r in rows.iter().filter(|r| r.epoch == epochs) { println!("{} {} {:.4} {:.4}", r.seed, r.trained_on, r.test_accuracy, r.train_loss_nats); }
}
