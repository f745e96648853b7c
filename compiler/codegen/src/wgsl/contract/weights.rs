//! Weights of floats that are kept in fewer bits: a function makes a quad of floats of them where one is read.

use super::super::binding::Bindings;
use super::super::helpers::Helpers;
use mlp_bundle::loops::Contract;

/// Quads of weights in so many elements of their buffer.
pub(super) fn quads(contract: &Contract, elements: u64) -> u64 {
    // Bytes hold two weights of four bits.
    if contract.scales.is_some_and(|scales| scales.bits == 4) { elements / 2 } else { elements / 4 }
}

/// `W`, of the index of a quad.
pub(super) fn function(bindings: &Bindings, helpers: &mut Helpers, contract: &Contract) -> String {
    let value = match &contract.scales {
        None => bindings.read_quad(helpers, contract.weights, "j"),
        Some(scales) => {
            let numbers = if scales.bits == 4 {
                // A step of sixteen channels is two words: quads 0 and 1 lie in the low halves of bytes, 2 and 3 in the high ones.
                let word = bindings.read_word(contract.weights, "((j>>2u)*2+(j&1))");
                format!("{}({word}>>(u32(j&2)*2u))", helpers.need("n4"))
            } else {
                bindings.read_quad(helpers, contract.weights, "j")
            };
            let first = quads(contract, bindings.get(contract.weights).shift);
            let step = if first == 0 { "j".to_owned() } else { format!("(j-{first})") };
            let start = bindings.get(scales.buffer).shift / 4;
            let scale = bindings.read_quad(helpers, scales.buffer, &format!("(({step}>>2u)/{}*4+({step}&3)+{start})", scales.per));
            format!("vec4f({numbers})*{scale}")
        }
    };
    format!("fn W(j:i32)->vec4f{{return {value};}}\n")
}
