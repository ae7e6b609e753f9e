//! What is said and drawn of each model by itself.

use super::picture::distinct;
use super::study::short;

/// What its publishers call a model.
pub fn published(model: &str) -> &str {
    if model == "smollm2-135m" { "SmolLM2-135M-Instruct" } else { short(model) }
}

/// What `make` makes of every model's rows by themselves, in the table's order. Where there are several models, `named` puts
/// a model's name to what is its own.
pub fn each_model<R: Clone, T>(
    rows: &[R],
    model: impl Fn(&R) -> &str,
    make: impl Fn(&[R]) -> Vec<T>,
    named: impl Fn(T, &str) -> T,
) -> Vec<T> {
    let models = distinct(rows.iter().map(&model));
    if models.len() < 2 {
        return make(rows);
    }
    let of_model = |name: &String| {
        let own: Vec<R> = rows.iter().filter(|row| model(row) == name).cloned().collect();
        make(&own).into_iter().map(|one| named(one, name)).collect::<Vec<T>>()
    };
    models.iter().flat_map(of_model).collect()
}
