//! Several processes that compute one result: how they find each other, exchange numbers, and end together.
//!
//! ```no_run
//! use tokensieve_processes::{Group, Timing, World};
//!
//! // As torchrun, srun and mpirun say it to whom they start.
//! if let Some(world) = World::from_environment()? {
//!     let group = Group::join(&world, None, Timing::default(), |lost| eprintln!("{lost}"))?;
//!     let mut values = vec![1.0; 1000];
//!     group.all_reduce_sum(&mut values)?;
//!     assert_eq!(values[0], group.size() as f32);
//! }
//! # Ok::<(), tokensieve_processes::Error>(())
//! ```
//!
//! # How they find each other
//! Through torch's `TCPStore` at `MASTER_ADDR` and `MASTER_PORT`, where each leaves the address that it listens at. With
//! torchrun its agent keeps the store, otherwise process 0 does. Then every process has a connection to every other.
//!
//! # What a sum is
//! Every process owns one part of the vector, receives the others' numbers of that part, adds them **in the order of the
//! processes**, and sends the sum to all. So a sum is the same, to the last bit, in every process and every run with this
//! number of processes. Each process sends and receives 2(n − 1)/n times the vector's size.
//!
//! # How they end together
//! Every second each process writes a beat on every connection. A process whose connection closes, or that was silent for
//! [`Timing::silence`], is lost: whatever the others wait for becomes an [`Error::Lost`] that names it, and in a process
//! that computes for longer than [`Timing::grace`] the callback of [`Group::join`] reports it.
//!
//! | module | holds |
//! |---|---|
//! | `world` | rank and size, from the environment |
//! | `store` | torch's `TCPStore` |
//! | `join` | from a store to connections |
//! | `link` | a connection: messages, beats, who is lost |
//! | `group` | sums, gathering, letters |
//! | `deal` | shares of equal length |
//! | `launch` | copies of this program |
//! | `timing`, `error` | how long processes wait; why they do not work together |

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod deal;
mod error;
mod group;
mod join;
mod launch;
mod link;
mod store;
mod timing;
mod world;

pub use deal::deal;
pub use error::Error;
pub use group::{Group, all_same};
pub use launch::Copies;
pub use link::{Letter, Lost};
pub use store::Store;
pub use timing::Timing;
pub use world::World;
