//! From gradient to step, on the flat buffers: clipping by the global norm, `AdamW`, SGD with momentum.
//!
//! On the CPU a step is one pass over values, gradients and moments, each element read and written once; libtorch's own
//! operators would make nine. On CUDA they are used as they are.

use std::ops::Range;

use tch::{Device, Tensor};

use crate::config::{self, Train};
use crate::elementwise;
use tokensieve_model::{Error, Parameters, Result};

/// The optimizer's state and settings.
#[derive(Debug)]
pub struct Optimizer {
    rule: config::Optimizer,
    weight_decay: f64,
    clip: Option<f64>,
    /// Running means, each as long as the parameters: `AdamW`'s of the gradient and its square, SGD's of the gradient.
    moments: Vec<Tensor>,
    /// Stretches of matrices, which weight decay is for, and of the rest.
    runs: Vec<(Range<i64>, bool)>,
    /// Steps that the means are of, for `AdamW`'s bias correction.
    steps: u64,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(train: &Train, parameters: &Parameters) -> Self {
        let count = match train.optimizer {
            config::Optimizer::AdamW { .. } => 2,
            config::Optimizer::Sgd { .. } => 1,
        };
        Self {
            rule: train.optimizer,
            weight_decay: train.weight_decay,
            clip: train.clip,
            moments: (0..count).map(|_| parameters.values().zeros_like()).collect(),
            runs: elementwise::runs(parameters),
            steps: 0,
        }
    }

    /// Moves the parameters by their gradients at this learning rate; returns the gradient's length before clipping.
    ///
    /// A NaN or infinite gradient changes no parameter.
    pub fn step(&mut self, parameters: &Parameters, lr: f64) -> f64 {
        let norm = elementwise::norm(parameters.gradients());
        if !norm.is_finite() {
            return norm;
        }
        let scale = match self.clip {
            Some(clip) if norm > clip => clip / norm,
            _ => 1.0,
        };
        self.steps += 1;
        for (range, matrix) in &self.runs {
            let decay = if *matrix { lr * self.weight_decay } else { 0.0 };
            let (keep, scale) = ((1.0 - decay) as f32, scale as f32);
            let part = |tensor: &Tensor| tensor.narrow(0, range.start, range.end - range.start);
            let (values, gradients) = (part(parameters.values()), part(parameters.gradients()));
            let moments: Vec<Tensor> = self.moments.iter().map(part).collect();
            match (self.rule, moments.as_slice()) {
                (config::Optimizer::AdamW { betas: [beta1, beta2], eps }, [mean, square]) => {
                    let steps = self.steps.min(i32::MAX as u64) as i32;
                    let pass = AdamW {
                        keep,
                        scale,
                        beta1: beta1 as f32,
                        beta2: beta2 as f32,
                        size: (lr / (1.0 - beta1.powi(steps))) as f32,
                        correction: (1.0 / (1.0 - beta2.powi(steps)).sqrt()) as f32,
                        eps: eps as f32,
                    };
                    pass.run(&values, &gradients, mean, square);
                }
                (config::Optimizer::Sgd { momentum }, [mean]) => {
                    let pass = Sgd { keep, scale, momentum: momentum as f32, size: lr as f32 };
                    pass.run(&values, &gradients, mean);
                }
                _ => {}
            }
        }
        norm
    }

    /// Restarts with parameters of another layout. If the moments were carried over, the bias correction would treat new
    /// elements as if they were as old as the rest, and these would move several times as far as the learning rate says.
    pub fn restart(&mut self, parameters: &Parameters) {
        self.moments.iter_mut().for_each(|moment| *moment = parameters.values().zeros_like());
        self.runs = elementwise::runs(parameters);
        self.steps = 0;
    }

    /// The state by name, for a checkpoint.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        NAMES
            .iter()
            .zip(&self.moments)
            .map(|(name, moment)| ((*name).to_owned(), moment.shallow_clone()))
            .collect()
    }

    /// Continues from a checkpoint whose means are of so many steps.
    pub fn resume(&mut self, state: &[(String, Tensor)], steps: u64) -> Result<()> {
        for (name, moment) in NAMES.iter().zip(&mut self.moments) {
            let saved = state.iter().find(|(saved, _)| saved == name).map(|(_, tensor)| tensor);
            let fits = saved.filter(|saved| saved.size() == moment.size());
            let Some(saved) = fits else {
                let found = saved.map_or("none".to_owned(), |saved| format!("{:?}", saved.size()));
                let what = format!(
                    "the checkpoint's optimizer state `{name}` is {found}, expected {:?}",
                    moment.size()
                );
                return Err(Error::Run(what));
            };
            moment.copy_(saved);
        }
        self.steps = steps;
        Ok(())
    }
}

/// Names of the moments in a checkpoint.
const NAMES: [&str; 2] = ["mean", "square"];

/// v ← v·keep − size·m̂ / (√(square)·correction + eps)
struct AdamW {
    keep: f32,
    scale: f32,
    beta1: f32,
    beta2: f32,
    size: f32,
    correction: f32,
    eps: f32,
}

impl AdamW {
    fn run(&self, values: &Tensor, gradients: &Tensor, mean: &Tensor, square: &Tensor) {
        if values.device() != Device::Cpu {
            return self.by_operators(values, gradients, mean, square);
        }
        elementwise::zip([values, gradients, mean, square], |[values, gradients, means, squares]| {
            for (((v, g), m), s) in values.iter_mut().zip(gradients).zip(means).zip(squares) {
                let g = *g * self.scale;
                *m += (1.0 - self.beta1) * (g - *m);
                *s += (1.0 - self.beta2) * (g * g - *s);
                *v = *v * self.keep - self.size * *m / (s.sqrt() * self.correction + self.eps);
            }
        });
    }

    fn by_operators(&self, values: &Tensor, gradients: &Tensor, mean: &Tensor, square: &Tensor) {
        let gradients = gradients * f64::from(self.scale);
        let [mut values, mut mean, mut square] = [values, mean, square].map(Tensor::shallow_clone);
        let _ = mean.lerp_(&gradients, f64::from(1.0 - self.beta1));
        let _ = square.lerp_(&gradients.square(), f64::from(1.0 - self.beta2));
        let root = square.sqrt() * f64::from(self.correction) + f64::from(self.eps);
        let _ = values.g_mul_scalar_(f64::from(self.keep));
        values -= mean / root * f64::from(self.size);
    }
}

/// m ← momentum·m + g;  v ← v·keep − size·m
struct Sgd {
    keep: f32,
    scale: f32,
    momentum: f32,
    size: f32,
}

impl Sgd {
    fn run(&self, values: &Tensor, gradients: &Tensor, mean: &Tensor) {
        if values.device() != Device::Cpu {
            return self.by_operators(values, gradients, mean);
        }
        elementwise::zip([values, gradients, mean], |[values, gradients, means]| {
            for ((v, g), m) in values.iter_mut().zip(gradients).zip(means) {
                *m = self.momentum * *m + *g * self.scale;
                *v = *v * self.keep - self.size * *m;
            }
        });
    }

    fn by_operators(&self, values: &Tensor, gradients: &Tensor, mean: &Tensor) {
        let [mut values, mut mean] = [values, mean].map(Tensor::shallow_clone);
        let _ = mean.g_mul_scalar_(f64::from(self.momentum));
        mean += gradients * f64::from(self.scale);
        let _ = values.g_mul_scalar_(f64::from(self.keep));
        values -= mean * f64::from(self.size);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
    use tch::Kind;

    use super::*;

    fn parameters() -> Parameters {
        let shapes = [("norm".to_owned(), vec![7]), ("matrix".to_owned(), vec![300, 111])];
        let parameters = Parameters::zeros(shapes, Device::Cpu);
        fill(parameters.values(), 1);
        parameters
    }

    fn draw(parameters: &Parameters, seed: i64) {
        fill(parameters.gradients(), seed);
    }

    /// Numbers of variance 1; libtorch's own generator is shared with the tests beside.
    fn fill(flat: &Tensor, seed: i64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed.unsigned_abs());
        let mut number = || (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 12_f32.sqrt();
        let numbers: Vec<f32> = (0..flat.numel()).map(|_| number()).collect();
        flat.shallow_clone().copy_(&Tensor::from_slice(&numbers));
    }

    fn optimizer(rule: config::Optimizer, clip: Option<f64>, parameters: &Parameters) -> Optimizer {
        let count = if matches!(rule, config::Optimizer::AdamW { .. }) { 2 } else { 1 };
        Optimizer {
            rule,
            weight_decay: 0.1,
            clip,
            moments: (0..count).map(|_| parameters.values().zeros_like()).collect(),
            runs: elementwise::runs(parameters),
            steps: 0,
        }
    }

    /// The rules as their papers write them, in f64.
    fn twin(rule: config::Optimizer, clip: f64, steps: i64) -> (Tensor, Parameters) {
        let parameters = parameters();
        let decay = Tensor::cat(
            &[
                Tensor::zeros([7], (Kind::Double, Device::Cpu)),
                Tensor::ones([33_300], (Kind::Double, Device::Cpu)),
            ],
            0,
        ) * 0.1;
        let mut v = parameters.values().to_kind(Kind::Double);
        let (mut m, mut s) = (v.zeros_like(), v.zeros_like());
        for step in 1..=steps {
            draw(&parameters, step);
            let g = parameters.gradients().to_kind(Kind::Double);
            let norm = g.norm().double_value(&[]);
            let g = &g * (clip / norm).min(1.0);
            let lr = 0.01 / step as f64;
            v *= 1.0 - &decay * lr;
            match rule {
                config::Optimizer::AdamW { betas: [b1, b2], eps } => {
                    m = &m * b1 + &g * (1.0 - b1);
                    s = &s * b2 + g.square() * (1.0 - b2);
                    let m_hat = &m / (1.0 - b1.powi(step as i32));
                    let s_hat = &s / (1.0 - b2.powi(step as i32));
                    v -= m_hat / (s_hat.sqrt() + eps) * lr;
                }
                config::Optimizer::Sgd { momentum } => {
                    m = &m * momentum + &g;
                    v -= &m * lr;
                }
            }
        }
        (v, self::parameters())
    }

    #[test]
    fn rules_are_those_of_their_papers() {
        for rule in [
            config::Optimizer::AdamW { betas: [0.9, 0.95], eps: 1e-8 },
            config::Optimizer::Sgd { momentum: 0.9 },
        ] {
            for clip in [1.0, 1e6] {
                let (wanted, parameters) = twin(rule, clip, 4);
                let mut optimizer = optimizer(rule, Some(clip), &parameters);
                for step in 1..=4 {
                    draw(&parameters, step);
                    let length = parameters.gradients().norm().double_value(&[]);
                    let norm = optimizer.step(&parameters, 0.01 / step as f64);
                    assert!((norm - length).abs() < 1e-3 * length);
                }
                let error =
                    (parameters.values().to_kind(Kind::Double) - wanted).abs().max().double_value(&[]);
                assert!(error < 2e-6, "{rule:?} {error}");
            }
        }
    }

    /// What CUDA does, done here.
    #[test]
    fn operators_do_the_same_as_one_pass() {
        let draw = |seed| {
            let flat = Tensor::empty([1000], (Kind::Float, Device::Cpu));
            fill(&flat, seed);
            flat
        };
        let fresh = || [draw(1), draw(2), draw(3) * 0.1, draw(4).square()];
        let near = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-6;
        let (keep, scale) = (0.99, 0.5);
        let adamw = AdamW { keep, scale, beta1: 0.9, beta2: 0.99, size: 0.01, correction: 1.2, eps: 1e-8 };
        let ([v, g, m, s], [w, _, n, t]) = (fresh(), fresh());
        adamw.run(&v, &g, &m, &s);
        adamw.by_operators(&w, &g, &n, &t);
        assert!(near(&v, &w) && near(&m, &n) && near(&s, &t));
        let sgd = Sgd { keep, scale, momentum: 0.9, size: 0.01 };
        let ([v, g, m, _], [w, _, n, _]) = (fresh(), fresh());
        sgd.run(&v, &g, &m);
        sgd.by_operators(&w, &g, &n);
        assert!(near(&v, &w) && near(&m, &n));
    }

    #[test]
    fn a_restarted_optimizer_moves_as_far_as_a_new_one() {
        let parameters = parameters();
        let mut optimizer =
            optimizer(config::Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8 }, None, &parameters);
        for step in 1..=40 {
            draw(&parameters, step);
            optimizer.step(&parameters, 0.01);
        }
        let grown = Parameters::zeros([("matrix".to_owned(), vec![400, 111])], Device::Cpu);
        optimizer.restart(&grown);
        draw(&grown, 1);
        optimizer.step(&grown, 0.01);
        let moved = grown.values().abs();
        let ends = [moved.min(), moved.max()].map(|end| end.double_value(&[]));
        assert!(ends.iter().all(|end| (end - 0.01).abs() < 1e-4), "{ends:?}");
    }

    #[test]
    fn a_nan_gradient_changes_no_parameter() {
        let parameters = parameters();
        let mut optimizer = optimizer(config::Optimizer::Sgd { momentum: 0.9 }, None, &parameters);
        draw(&parameters, 1);
        let before = parameters.values().copy();
        let _ = parameters.gradients().narrow(0, 5, 1).fill_(f64::NAN);
        assert!(optimizer.step(&parameters, 0.1).is_nan());
        assert!(parameters.values().equal(&before));
    }

    #[test]
    fn a_state_of_another_shape_is_refused() {
        let parameters = parameters();
        let mut optimizer = optimizer(config::Optimizer::Sgd { momentum: 0.9 }, None, &parameters);
        let wrong = [("mean".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))];
        let error = optimizer.resume(&wrong, 3).unwrap_err().to_string();
        assert!(error.contains("`mean` is [3], expected [33307]"), "{error}");
    }
}
