//! The rows that have a pull, and what the device is told of them.

use std::ops::Range;

use tch::Tensor;
use tokensieve_objective::Pull;

use super::gradient::{Distribution, Wanted};
use super::rows::{RowStats, Rows, indices};
use tokensieve_kernels::upload;

/// One row to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Of all rows.
    pub(super) row: usize,
    pub(super) label: u32,
    pub(super) loss: f64,
    pub(super) log_sum_exp: f64,
    /// a and b, divided by the normaliser.
    pub(super) label_pull: f64,
    pub(super) reference_pull: f64,
}

impl Task {
    fn new(row: usize, label: u32, stats: &RowStats, pull: Pull, normaliser: f64) -> Self {
        Self {
            row,
            label,
            loss: stats.loss,
            log_sum_exp: stats.log_sum_exp,
            label_pull: pull.label / normaliser,
            reference_pull: pull.reference / normaliser,
        }
    }
}

/// The tasks among rows that begin with `first`, those with a pull onto the reference in front.
pub(super) fn list(first: usize, labels: &[u32], stats: &[RowStats], wanted: &Wanted) -> Vec<Task> {
    assert_eq!(labels.len(), wanted.pulls.len(), "one pull per row");
    let each = labels.iter().zip(stats).zip(wanted.pulls).enumerate();
    let mut tasks: Vec<Task> = each
        .filter(|(_, (_, pull))| !pull.is_zero())
        .map(|(i, ((label, stats), pull))| Task::new(first + i, *label, stats, *pull, wanted.normaliser))
        .collect();
    tasks.sort_by_key(|task| task.reference_pull == 0.0);
    tasks
}

/// Tasks, and the same on the device: uploaded for all chunks together.
pub(super) struct Tasks<'a> {
    pub(super) list: &'a [Task],
    /// Rows and labels, i64 `[2, n]`.
    places: Tensor,
    /// f32, see [`Columns`].
    numbers: Tensor,
    /// Ids, i64, and probabilities of the reference's most probable tokens, each `[n, k]`.
    top_nk: Option<[Tensor; 2]>,
}

/// Numbers of tasks, each f32 `[n, 1]`.
pub(super) struct Columns {
    pub(super) log_sum_exp: Tensor,
    pub(super) loss: Tensor,
    /// a.
    pub(super) label_pull: Tensor,
    /// b.
    pub(super) reference_pull: Tensor,
    /// a + b.
    pub(super) pull: Tensor,
    /// b/V.
    pub(super) flat: Tensor,
    /// 1 where b is not 0.
    pub(super) has_reference: Tensor,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(list: &'a [Task], rows: &Rows, reference: &Distribution) -> Self {
        let (n, device) = (list.len() as i64, rows.hidden_rd.device());
        let places = list.iter().map(|task| task.row as u32).chain(list.iter().map(|task| task.label));
        let share = 1.0 / rows.vocabulary() as f64;
        // In the order of `Columns`, each rounded once.
        let columns: [&dyn Fn(&Task) -> f64; 7] = [
            &|task| task.log_sum_exp,
            &|task| task.loss,
            &|task| task.label_pull,
            &|task| task.reference_pull,
            &|task| task.label_pull + task.reference_pull,
            &|task| task.reference_pull * share,
            &|task| f64::from(u8::from(task.reference_pull != 0.0)),
        ];
        let numbers = columns.iter().flat_map(|column| list.iter().map(|task| column(task) as f32));
        let numbers = upload(&numbers.collect::<Vec<_>>(), device);
        let top_nk = match reference {
            Distribution::Top(top) => {
                let ids: Vec<u32> = list.iter().flat_map(|task| top.ids(task.row)).copied().collect();
                let q: Vec<f32> = list.iter().flat_map(|task| top.probabilities(task.row)).copied().collect();
                let shape = [n, top.k as i64];
                Some([indices(&ids, device).view(shape), upload(&q, device).view(shape)])
            }
            _ => None,
        };
        Self {
            list,
            places: indices(&places.collect::<Vec<_>>(), device).view([2, n]),
            numbers: numbers.view([columns.len() as i64, n, 1]),
            top_nk,
        }
    }

    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let (start, n) = (range.start as i64, range.len() as i64);
        let of_rows = |tensor: &Tensor| tensor.narrow(0, start, n);
        Self {
            list: &self.list[range],
            places: self.places.narrow(1, start, n),
            numbers: self.numbers.narrow(1, start, n),
            top_nk: self.top_nk.as_ref().map(|top_nk| top_nk.each_ref().map(of_rows)),
        }
    }

    /// Their rows, i64.
    pub(super) fn rows_n(&self) -> Tensor {
        self.places.get(0)
    }

    /// Their labels, i64.
    pub(super) fn labels_n(&self) -> Tensor {
        self.places.get(1)
    }

    pub(super) fn columns(&self) -> Columns {
        let column = |i| self.numbers.get(i);
        Columns {
            log_sum_exp: column(0),
            loss: column(1),
            label_pull: column(2),
            reference_pull: column(3),
            pull: column(4),
            flat: column(5),
            has_reference: column(6),
        }
    }

    pub(super) fn top_nk(&self) -> Option<&[Tensor; 2]> {
        self.top_nk.as_ref()
    }
}
