//! The trained parameters in one flat f32 buffer, so that optimizer, clipping and checkpoints each handle one tensor.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

/// Named tensors, stored as views of one flat f32 buffer, and their gradients in a second one.
#[derive(Debug)]
pub struct Parameters {
    values: Tensor,
    gradients: Tensor,
    /// Range in the buffers, and shape, by name.
    layout: BTreeMap<String, (Range<i64>, Vec<i64>)>,
}

impl Parameters {
    /// Zeros with the given names and shapes, in the given order.
    pub fn zeros(shapes: impl IntoIterator<Item = (String, Vec<i64>)>, device: Device) -> Self {
        let mut end = 0;
        let layout = shapes
            .into_iter()
            .map(|(name, shape)| {
                let start = end;
                end += shape.iter().product::<i64>();
                (name, (start..end, shape))
            })
            .collect();
        let zeros = || Tensor::zeros([end], (Kind::Float, device));
        Self { values: zeros(), gradients: zeros(), layout }
    }

    /// All values, f32 `[n]`.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// All gradients, f32 `[n]`.
    pub fn gradients(&self) -> &Tensor {
        &self.gradients
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.keys().map(String::as_str)
    }

    /// A parameter's range in the flat buffer; `None` if it is not trained.
    pub fn range(&self, name: &str) -> Option<Range<i64>> {
        Some(self.layout.get(name)?.0.clone())
    }

    /// A view of one parameter; writing into it changes the flat buffer.
    pub fn value(&self, name: &str) -> Option<Tensor> {
        self.view(&self.values, name)
    }

    /// A view of one parameter's gradient, to which a backward pass adds.
    pub fn gradient(&self, name: &str) -> Option<Tensor> {
        self.view(&self.gradients, name)
    }

    fn view(&self, flat: &Tensor, name: &str) -> Option<Tensor> {
        let (range, shape) = self.layout.get(name)?;
        Some(flat.narrow(0, range.start, range.end - range.start).view(shape.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_write_through() {
        let parameters =
            Parameters::zeros([("b".to_owned(), vec![2, 3]), ("a".to_owned(), vec![4])], Device::Cpu);
        let _ = parameters.value("a").unwrap().fill_(2.0);
        let _ = parameters.gradient("b").unwrap().fill_(1.0);
        assert_eq!(parameters.range("a"), Some(6..10));
        assert_eq!(parameters.values().sum(Kind::Float).double_value(&[]), 8.0);
        assert_eq!(parameters.gradients().narrow(0, 0, 6).sum(Kind::Float).double_value(&[]), 6.0);
        assert!(parameters.value("c").is_none());
    }
}
