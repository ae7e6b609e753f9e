//! Figure 12 here and in `PyTorch`, one after the other in the same run on two threads, and the ratio.
//! Run: `cargo bench -p tokensieve-toy --bench fig12_peer`; `PEER_PYTHON` names a Python that has torch 2.11
//! (default `python3`; `peers/fig12_torch.py` says how to install it). Without one only our time is printed.

use std::{collections::HashMap, env, path::Path, process::Command, time::Instant};

use tokensieve_data::Catalogue;
use tokensieve_toy::{
    bands::{self, BandsConfig},
    images::DataSet,
};

const THREADS: usize = 2;

/// What the peer prints.
#[derive(serde::Deserialize)]
struct Peer {
    torch: String,
    seconds_per_network_epoch: HashMap<String, f64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = Catalogue::load()?.fetch("mnist")?;
    let folder = files.path("train-images").parent().ok_or("a file lies in a folder")?;
    let data = DataSet::load(files.name(), folder)?;

    // Two seeds, so that both threads have work as in the whole figure.
    let config = BandsConfig { seeds: 2, epochs: 4, ..BandsConfig::default() };
    let network_epochs = 12.0 * config.seeds as f64 * f64::from(config.epochs);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build()?;
    let start = Instant::now();
    pool.install(|| bands::run(&config, &data))?;
    let ours = start.elapsed().as_secs_f64() / network_epochs;
    println!(
        "{}, {THREADS} threads, seconds per network-epoch (60,000 images trained on, 10,000 tested)",
        files.title()
    );
    println!("  ours             {ours:.4}   whole figure (1,100 network-epochs): {:.1} s", ours * 1_100.0);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/fig12_torch.py");
    let python = env::var("PEER_PYTHON").unwrap_or_else(|_| "python3".into());
    let output =
        Command::new(&python).arg(&script).arg(folder).args(["--epochs", "2", "--threads", "2"]).output();
    let output = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            println!("  PyTorch: not measured, {python}: {}", error.lines().last().unwrap_or("no message"));
            println!("  set PEER_PYTHON to a Python with torch; {} says how to install it", script.display());
            return Ok(());
        }
        Err(error) => {
            println!("  PyTorch: not measured, {python}: {error}");
            return Ok(());
        }
    };
    let peer: Peer = serde_json::from_slice(&output)?;
    let mut variants: Vec<(&String, &f64)> = peer.seconds_per_network_epoch.iter().collect();
    variants.sort_by(|a, b| a.1.total_cmp(b.1));
    for (name, seconds) in &variants {
        println!("  torch {} {name:8} {seconds:.4}   {:.1} times ours", peer.torch, *seconds / ours);
    }
    Ok(())
}
