//! Training all weights: f32 master weights, of which the model computes with a copy in its own type.

use tch::Tensor;

use super::Model;
use crate::Parameters;
use crate::layers::Layer;
use crate::layers::Linear;
use crate::modules;

impl Model {
    /// All weights as f32 master weights, under their names in Hugging Face checkpoints, with their gradients.
    ///
    /// Their values are those that the model computes with. Load the model in f32 first if the checkpoint is more
    /// precise than bf16.
    ///
    /// # Panics
    /// If matrices are held in four bits, of which no training makes others.
    pub fn parameters(&self) -> Parameters {
        assert!(!self.nf4, "weights in four bits are frozen");
        let weights = self.weights();
        let shapes = weights.iter().map(|weight| (weight.name.clone(), weight.tensor.size()));
        let parameters = Parameters::zeros(shapes, self.device);
        for Weight { name, tensor, added } in &weights {
            if let Some(mut master) = parameters.value(name) {
                master.copy_(tensor);
                master -= *added;
            }
        }
        parameters
    }

    /// Copies the present values of the master weights into the model.
    ///
    /// # Panics
    /// If `masters` do not come from [`Model::parameters`] of a model of the same shape.
    pub fn refresh(&mut self, masters: &Parameters) {
        for Weight { name, mut tensor, added } in self.weights() {
            tensor.copy_(&masters.value(&name).expect("masters of this model"));
            tensor += added;
        }
    }

    /// The names of all weights.
    pub(super) fn names(&self) -> impl Iterator<Item = String> + '_ {
        // Those of the layers' matrices may be without a view.
        let linears =
            self.layers.iter().flat_map(Layer::linears).flat_map(Linear::named).map(|(name, _)| name);
        self.weights().into_iter().map(|weight| weight.name).chain(linears)
    }

    /// Views of all weights, with their names, as far as there are any.
    fn weights(&self) -> Vec<Weight> {
        let plain = |(name, tensor): (String, Tensor)| Weight { name, tensor, added: 0.0 };
        let mut all = vec![plain((modules::EMBEDDING.to_owned(), self.embedding.shallow_clone()))];
        let norms = self.layers.iter().flat_map(Layer::norms).chain([&self.norm]);
        let linears = self.layers.iter().flat_map(Layer::linears).flat_map(Linear::named);
        all.extend(linears.filter_map(|(name, tensor)| Some(plain((name, tensor?)))));
        all.extend(norms.map(|norm| Weight {
            name: norm.name.clone(),
            tensor: norm.weight.shallow_clone(),
            added: norm.added,
        }));
        all.extend(self.head.iter().map(|head| plain((modules::HEAD.to_owned(), head.shallow_clone()))));
        all
    }
}

/// A view of a weight that the model computes with.
struct Weight {
    name: String,
    tensor: Tensor,
    /// The model's value minus the checkpoint's: 1 for Gemma's norms, else 0.
    added: f64,
}
