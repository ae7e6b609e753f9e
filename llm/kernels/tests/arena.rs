//! Where large tensors live after `memory::keep`: one process of its own, for other tests' tensors would take the places.
//! Needs libtorch (`./just setup libtorch`).

use std::fs;

use tch::{Device, Kind, Tensor};
use tokensieve_kernels::memory;

const MIB: i64 = 1 << 20;

fn bytes(count: i64) -> Tensor {
    Tensor::empty([count], (Kind::Uint8, Device::Cpu))
}

fn place(tensor: &Tensor) -> usize {
    tensor.data_ptr() as usize
}

/// Bytes of memory and swap.
fn machine() -> i64 {
    let sizes = fs::read_to_string("/proc/meminfo").unwrap();
    let size = |name: &str| {
        let line = sizes.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<i64>().unwrap() * 1024
    };
    size("MemTotal:") + size("SwapTotal:")
}

#[test]
fn freed_places_are_taken_again_and_what_the_machine_has_not_is_refused() {
    if !memory::keep() {
        println!("skipped: freed places are taken again (needs a terabyte of addresses)");
        return;
    }
    let (first, second, third) = (bytes(MIB), bytes(MIB), bytes(MIB));
    let start = place(&first);
    assert_eq!([place(&second), place(&third)], [start + MIB as usize, start + 2 * MIB as usize]);
    // Neighbours that are free are one place, in either order; the lowest that has room is taken.
    drop(second);
    drop(first);
    let both = bytes(2 * MIB);
    assert_eq!(place(&both), start);
    drop(both);
    // A rest of a page is not shared.
    let odd = bytes(MIB + 1);
    assert_eq!(place(&odd), start);
    let next = bytes(MIB / 2);
    assert_eq!(place(&next), start + MIB as usize + 4096);
    drop((odd, next, third));
    let all = bytes(4 * MIB);
    assert_eq!(place(&all), start);
    // Small ones are the C library's.
    let small = bytes(60 << 10);
    assert!(!(start..start + (1 << 40)).contains(&place(&small)));

    // Nothing is written to: without the limit the system gives the addresses, and ends the process later.
    let refusal = |count: i64| {
        let tensor = Tensor::f_empty([count], (Kind::Uint8, Device::Cpu));
        tensor.err().map(|error| error.to_string())
    };
    let error = refusal(2 * machine()).unwrap();
    // What the program looks for, to say which settings need less.
    assert!(error.contains("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "{error}");
    assert!(refusal(i64::MAX).is_some());
    // Together they are too much, one by one they are not. What was refused is not counted.
    let part = machine() / 256;
    let mut held = Vec::new();
    let refused = (0..256).find_map(|_| {
        let tensor = Tensor::f_empty([part], (Kind::Uint8, Device::Cpu));
        tensor.map(|tensor| held.push(tensor)).err()
    });
    let error = refused.unwrap().to_string();
    assert!(error.contains(&format!("can't allocate memory: you tried to allocate {part} bytes")), "{error}");
    held.pop();
    assert!(refusal(part).is_none());
}
