//! The rows that have a pull, and their pulls as tensors on the device.

use std::ops::Range;

use tch::Tensor;
use tokensieve_kernels::head_rows::plain::{DeviceTasks, DeviceTop};
use tokensieve_kernels::head_rows::{RowStats, Task};
use tokensieve_kernels::upload;
use tokensieve_objective::Pull;

use super::rows::{Rows, indices};
use super::wanted::{Distribution, Wanted};

/// The tasks among rows that begin with `first`, those with a pull onto the reference in front.
pub(super) fn list(first: usize, labels: &[u32], stats: &[RowStats], wanted: &Wanted) -> Vec<Task> {
    assert_eq!(labels.len(), wanted.pulls.len(), "one pull per row");
    let each = labels.iter().zip(stats).zip(wanted.pulls).enumerate();
    let mut tasks: Vec<Task> = each
        .filter(|(_, (_, pull))| !pull.is_zero())
        .map(|(i, ((label, stats), pull))| task(first + i, *label, stats, *pull, wanted.normaliser))
        .collect();
    tasks.sort_by_key(|task| task.reference_weight == 0.0);
    tasks
}

fn task(row: usize, label: u32, stats: &RowStats, pull: Pull, normaliser: f64) -> Task {
    Task {
        row,
        label,
        loss: stats.loss,
        log_sum_exp: stats.log_sum_exp,
        label_weight: pull.label / normaliser,
        reference_weight: pull.reference / normaliser,
    }
}

/// Whether they are those of the rows from this one on, one after the other.
pub(super) fn in_order(tasks: &[Task], first: usize) -> bool {
    tasks.iter().enumerate().all(|(i, task)| task.row == first + i)
}

/// Tasks, and the same on the device: uploaded for all chunks together.
pub(super) struct Tasks<'a> {
    pub(super) list: &'a [Task],
    /// Rows and labels, i64 `[2, n]`.
    places: Tensor,
    /// f32, see [`DeviceTasks`].
    numbers: Tensor,
    /// See [`DeviceTasks`].
    top: Option<DeviceTop>,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(list: &'a [Task], rows: &Rows, reference: &Distribution) -> Self {
        let (n, device) = (list.len() as i64, rows.hidden_rd.device());
        let places = list.iter().map(|task| task.row as u32).chain(list.iter().map(|task| task.label));
        let share = 1.0 / rows.vocabulary() as f64;
        // In the order of `DeviceTasks`, each rounded once.
        let columns: [&dyn Fn(&Task) -> f64; 7] = [
            &|task| task.log_sum_exp,
            &|task| task.loss,
            &|task| task.label_weight,
            &|task| task.reference_weight,
            &|task| task.label_weight + task.reference_weight,
            &|task| task.reference_weight * share,
            &|task| f64::from(u8::from(task.reference_weight != 0.0)),
        ];
        let numbers = columns.iter().flat_map(|column| list.iter().map(|task| column(task) as f32));
        let numbers = upload(&numbers.collect::<Vec<_>>(), device);
        let top = match reference {
            Distribution::Top(top) => {
                let ids: Vec<u32> = list.iter().flat_map(|task| top.ids(task.row)).copied().collect();
                let q: Vec<f32> = list.iter().flat_map(|task| top.probabilities(task.row)).copied().collect();
                let tails: Vec<f32> = list.iter().map(|task| top.tail(task.row)).collect();
                let shape = [n, top.k as i64];
                Some(DeviceTop {
                    ids: indices(&ids, device).view(shape),
                    probabilities: upload(&q, device).view(shape),
                    tail: upload(&tails, device).view([n, 1]),
                })
            }
            _ => None,
        };
        Self {
            list,
            places: indices(&places.collect::<Vec<_>>(), device).view([2, n]),
            numbers: numbers.view([columns.len() as i64, n, 1]),
            top,
        }
    }

    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let (start, n) = (range.start as i64, range.len() as i64);
        let of_rows = |tensor: &Tensor| tensor.narrow(0, start, n);
        Self {
            list: &self.list[range],
            places: self.places.narrow(1, start, n),
            numbers: self.numbers.narrow(1, start, n),
            top: self.top.as_ref().map(|top| top.map(of_rows)),
        }
    }

    /// Their rows, i64.
    pub(super) fn rows_n(&self) -> Tensor {
        self.places.get(0)
    }

    /// What libtorch's operators read of them.
    pub(super) fn device(&self) -> DeviceTasks {
        let column = |i| self.numbers.get(i);
        DeviceTasks {
            labels_n: self.places.get(1),
            log_sum_exp: column(0),
            loss: column(1),
            label_weight: column(2),
            reference_weight: column(3),
            weight: column(4),
            flat: column(5),
            has_reference: column(6),
            top: self.top.as_ref().map(|top| top.map(Tensor::shallow_clone)),
        }
    }
}
