//! Products over weights that are kept in fewer bits.

use crate::products::Product;
use crate::support::{Random, check_beside};
use mlp_bundle::plan::{Place, Plan, verify};

#[test]
fn products_of_narrow_weights() {
    for (seed, product) in Product::all().into_iter().enumerate() {
        let text = product.text();
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        verify::verify(&plan).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(0x1234_5678_9abc_def1 + seed as u64);
        let mut weights = vec![0; plan.weights_bytes as usize];
        for buffer in plan.buffers.values() {
            if let Place::Weights { offset } = buffer.place {
                let bytes = random.elements(buffer.dtype, buffer.len as usize);
                weights[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                if buffer.name == "scales" {
                    product.scale(&mut weights, offset as usize, || random.unit());
                }
            }
        }
        let input = plan.inputs[0].buffer;
        let x = random.elements(plan.buffers[input].dtype, plan.buffers[input].len as usize);
        check_beside(&plan, &weights, &[&x], &[], 64.0);
    }
}
