//! Products over weights that are kept in fewer bits, in every variant.

use crate::harness::{Random, agree_on, parse, weights};
use crate::products::Product;
use mlp_bundle::plan::Place;

#[test]
fn products_of_narrow_weights() {
    for (seed, product) in Product::all().into_iter().enumerate() {
        let plan = parse(&product.text());
        let mut random = Random::new(seed as u64 + 77);
        let mut weights = weights(&plan, &mut random);
        let scales = plan.buffers.values().find(|buffer| buffer.name == "scales").expect("the plan has scales");
        let Place::Weights { offset } = scales.place else { panic!("scales lie in the weights") };
        product.scale(&mut weights, offset as usize, || random.next() as f32 / u32::MAX as f32 * 2.0 - 1.0);
        let input = &plan.buffers[plan.inputs[0].buffer];
        let x = random.fill(input.dtype, input.len);
        agree_on(&plan, &weights, &[x], &[]);
    }
}
