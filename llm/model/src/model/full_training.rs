//! Training the weights themselves: f32 masters, of which the model computes with a copy in its own type.

use tch::Tensor;

use super::Model;
use crate::Parameters;
use crate::layers::Layer;
use crate::layers::Linear;
use crate::modules;

impl Model {
    /// All weights as f32 masters, by the names of Hugging Face's checkpoints, with room for their gradients.
    ///
    /// They start from what the model computes with: load it in f32 where the checkpoint has more than bf16's digits
    /// and they should count.
    pub fn parameters(&self) -> Parameters {
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

    /// Takes over the masters' present values.
    ///
    /// # Panics
    /// If they are not [`Model::parameters`] of a model of the same shape.
    pub fn refresh(&mut self, masters: &Parameters) {
        for Weight { name, mut tensor, added } in self.weights() {
            tensor.copy_(&masters.value(&name).expect("masters of this model"));
            tensor += added;
        }
    }

    /// Views of all weights.
    fn weights(&self) -> Vec<Weight> {
        let plain = |(name, tensor): (String, Tensor)| Weight { name, tensor, added: 0.0 };
        let mut all = vec![plain((modules::EMBEDDING.to_owned(), self.embedding.shallow_clone()))];
        let norms = self.layers.iter().flat_map(Layer::norms).chain([&self.norm]);
        all.extend(self.layers.iter().flat_map(Layer::linears).flat_map(Linear::named).map(plain));
        all.extend(norms.map(|norm| Weight {
            name: norm.name.clone(),
            tensor: norm.weight.shallow_clone(),
            added: norm.added,
        }));
        all.extend(self.head.iter().map(|head| plain((modules::HEAD.to_owned(), head.shallow_clone()))));
        all
    }
}

/// A weight as a view of what the model computes with.
struct Weight {
    name: String,
    tensor: Tensor,
    /// What the model's has more than the checkpoint's.
    added: f64,
}
