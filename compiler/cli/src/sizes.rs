//! The sizes of a model's symbolic dims, as `--dim` says them: numbers, ranges, and what follows from others.

use crate::Failure;
use crate::args::assignment;
use crate::subject::recorded;
use mlp_driver::onnx::{self, Dims};
use mlp_driver::varying::Varying;
use mlp_graph::Tensor;
use mlp_import::onnx::{DimSignature, ModelSignature};
use std::collections::BTreeSet;
use std::path::Path;

/// The sizes of a model's symbolic dims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    /// Those that are one number.
    pub(crate) fixed: Dims,
    /// Those that vary from run to run.
    pub(crate) varying: Vec<Varying>,
    /// Those that follow from others, which are known before them.
    following: Vec<(String, Sum)>,
}

/// `past + 2*steps + 1`
#[derive(Clone, Debug, PartialEq)]
struct Sum(Vec<(i64, Option<String>)>);

impl Sum {
    /// Reads a sum of names, numbers, and numbers times names; none where it is anything else. A name may hold what names in models hold, but no sign of a sum.
    fn read(text: &str) -> Option<Sum> {
        let mut terms = Vec::new();
        for added in text.split('+') {
            for (index, term) in added.split(" - ").enumerate() {
                let sign = if index == 0 { 1 } else { -1 };
                let (factor, name) = match term.split_once('*') {
                    Some((factor, name)) => (factor.trim(), Some(name.trim())),
                    None if term.trim().bytes().all(|byte| byte.is_ascii_digit()) => (term.trim(), None),
                    None => ("1", Some(term.trim())),
                };
                let is_name =
                    |name: &str| name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains(['*', '/', '(', ')', '%']);
                let factor: i64 = factor.parse().ok().filter(|factor| (1..=1 << 32).contains(factor))?;
                if !name.is_none_or(is_name) {
                    return None;
                }
                terms.push((sign * factor, name.map(str::to_owned)));
            }
        }
        Some(Sum(terms))
    }

    /// The names in it.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, name)| name.as_deref())
    }

    /// Its value; none where a name has none, or where it is less than 1.
    fn at(&self, dims: &Dims) -> Option<u64> {
        let mut sum = 0i64;
        for (factor, name) in &self.0 {
            let size = name.as_ref().map_or(Some(1), |name| dims.get(name).copied())?;
            sum = sum.checked_add(factor.checked_mul(i64::try_from(size).ok()?)?)?;
        }
        u64::try_from(sum).ok().filter(|&sum| sum > 0)
    }
}

impl Sizes {
    /// Reads `NAME=SIZE`, `NAME=1..MOST`, `NAME=STEP..MOST` and `NAME=OTHER+...` options.
    pub(crate) fn read(texts: &[String]) -> Result<Sizes, Failure> {
        let mut sizes = Sizes::default();
        for text in texts {
            let (name, size) = assignment(text)?;
            let number = |digits: &str| {
                let number = digits.parse().ok().filter(|&number: &u64| number > 0);
                number.ok_or_else(|| {
                    Failure(format!("`{text}` is none of NAME=SIZE, NAME=STEP..MOST and NAME=OTHER+OTHER, with whole numbers from 1"))
                })
            };
            match (size.split_once(".."), Sum::read(size).filter(|sum| sum.names().next().is_some())) {
                (Some((least, most)), _) => {
                    let (step, max) = (number(least)?, number(most)?);
                    if max % step != 0 {
                        return Err(Failure(format!("`{text}`: sizes go from {step} in steps of {step}, and {max} is not one of them")));
                    }
                    sizes.varying.retain(|known| known.name != name);
                    sizes.varying.push(Varying { name: name.to_string(), max, step });
                }
                (None, Some(sum)) => sizes.following.push((name.to_string(), sum)),
                (None, None) => drop(sizes.fixed.insert(name.to_string(), number(size)?)),
            }
        }
        Ok(sizes)
    }

    /// The sizes of a model: those of recorded inputs, or those that are given. What varies, and what follows from others, is not among the fixed ones.
    pub(crate) fn of_model(signature: &ModelSignature, given: &[String], data: Option<&Path>) -> Result<Sizes, Failure> {
        let mut sizes = Sizes::read(given)?;
        if let Some(file) = data {
            let names: Vec<&str> = signature.inputs.iter().map(|input| input.name.as_str()).collect();
            let inputs = recorded(file, &names)?;
            let dims = onnx::dims_of(signature, &inputs.iter().map(Tensor::shape).collect::<Vec<_>>()).map_err(Failure)?;
            sizes.complete(signature, &dims)?;
            sizes.fixed = dims;
            return Ok(sizes);
        }
        sizes.complete(signature, &Dims::new())?;
        let most: Vec<u64> = sizes.varying.iter().map(|varying| varying.max).collect();
        let mut dims = onnx::default_dims(signature, &sizes.at(&most)).map_err(Failure)?;
        dims.retain(|name, _| !sizes.varying.iter().any(|varying| varying.name == *name) && sizes.sum_of(name).is_none());
        sizes.fixed = dims;
        Ok(sizes)
    }

    /// Refuses names that no input of the model has, and notes which of its dims follow from others: those whose names are sums of what is known, as exporters write
    /// `past_sequence_length + sequence_length`. What recorded inputs have is known as well.
    pub(crate) fn complete(&mut self, signature: &ModelSignature, recorded: &Dims) -> Result<(), Failure> {
        let dims = signature.inputs.iter().flat_map(|input| input.dims.iter().flatten());
        let open: BTreeSet<&str> =
            dims.filter_map(|dim| if let DimSignature::Symbol(name) = dim { Some(name.as_str()) } else { None }).collect();
        let named = |known: &BTreeSet<&str>| {
            if known.is_empty() { "none".to_string() } else { known.iter().copied().collect::<Vec<_>>().join(", ") }
        };
        let used: BTreeSet<&str> = self.following.iter().flat_map(|(_, sum)| sum.names()).collect();
        let mut given =
            self.varying.iter().map(|varying| varying.name.as_str()).chain(self.following.iter().map(|(name, _)| name.as_str()));
        if let Some(unknown) = given.find(|name| !open.contains(name) && !used.contains(name)) {
            return Err(Failure(format!("there is no open size named `{unknown}`; the model has {}", named(&open))));
        }
        let mut said: BTreeSet<String> =
            self.fixed.keys().cloned().chain(self.varying.iter().map(|varying| varying.name.clone())).collect();
        let mut known: BTreeSet<String> = said.iter().chain(recorded.keys()).cloned().collect();
        for (name, sum) in &self.following {
            if let Some(unknown) = sum.names().find(|name| !known.contains(*name)) {
                return Err(Failure(format!(
                    "`{name}` follows from `{unknown}`, which has no size: say it before, with --dim {unknown}=SIZE"
                )));
            }
            known.insert(name.clone());
            said.insert(name.clone());
        }
        for name in open {
            let sum = Sum::read(name).filter(|sum| sum.names().next().is_some() && sum.names().all(|name| known.contains(name)));
            // A name alone is its own sum.
            if let Some(sum) = sum.filter(|sum| !said.contains(name) && !matches!(sum.0.as_slice(), [(1, Some(_))])) {
                self.following.push((name.to_owned(), sum));
            }
        }
        Ok(())
    }

    /// Forgets sizes that vary of which no other follows, and that are not among these.
    pub(crate) fn keep(&mut self, dims: &Dims) {
        let used: BTreeSet<String> = self.following.iter().flat_map(|(_, sum)| sum.names()).map(str::to_owned).collect();
        self.varying.retain(|varying| dims.contains_key(&varying.name) || used.contains(&varying.name));
    }

    fn sum_of(&self, name: &str) -> Option<&Sum> {
        self.following.iter().find(|(known, _)| known == name).map(|(_, sum)| sum)
    }

    /// All sizes at a point: one number for each that varies, in their order.
    pub(crate) fn at(&self, point: &[u64]) -> Dims {
        let varying = self.varying.iter().zip(point).map(|(varying, &size)| (varying.name.clone(), size));
        let mut dims: Dims = self.fixed.clone().into_iter().chain(varying).collect();
        for (name, sum) in &self.following {
            dims.extend(sum.at(&dims).map(|size| (name.clone(), size)));
        }
        dims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Sizes {
        Sizes::read(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).map_err(|failure| failure.0).unwrap()
    }

    #[test]
    fn sizes_are_numbers_ranges_and_sums() {
        let sizes = read(&["batch=2", "past=1..24", "steps=1..4", "total=past+steps", "twice=2*total - 1"]);
        let dims = sizes.at(&[20, 3]);
        assert_eq!(dims["batch"], 2);
        assert_eq!(dims["total"], 23);
        assert_eq!(dims["twice"], 45);
        for wrong in ["a=0", "a=-1", "a=x/2", "a=1..0", "a=", "a=2*", "a=3*4", "a=+"] {
            assert!(Sizes::read(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_exporters_are_read_as_sums() {
        let sum = Sum::read("past_sequence_length + 1").unwrap();
        assert_eq!(sum.at(&[("past_sequence_length".to_owned(), 7)].into()), Some(8));
        assert_eq!(Sum::read("n - 3").unwrap().at(&[("n".to_owned(), 3)].into()), None);
        assert_eq!(Sum::read("p2o.DynamicDimension.0").unwrap().0.len(), 1);
        assert_eq!(Sum::read("floor(n/2) + 1"), None);
        assert_eq!(Sum::read("batch-size").unwrap().names().collect::<Vec<_>>(), ["batch-size"]);
    }

    #[test]
    fn dims_of_a_model_follow_from_those_that_are_said() {
        use mlp_bundle::DType;
        use mlp_import::onnx::PortSignature;
        let symbol = |name: &str| DimSignature::Symbol(name.to_owned());
        let dims = vec![symbol("batch"), symbol("past + 1"), symbol("2*batch")];
        let input = PortSignature { name: "mask".into(), dtype: Some(DType::I64), dims: Some(dims) };
        let signature = ModelSignature { inputs: vec![input], outputs: Vec::new() };
        let given = |texts: &[&str]| Sizes::of_model(&signature, &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), None);
        let sizes = given(&["past=1..4", "batch=3"]).map_err(|failure| failure.0);
        // No input has `past` itself.
        assert_eq!(sizes.unwrap_err(), "there is no open size named `past`; the model has 2*batch, batch, past + 1");
        let sizes = given(&["batch=1..3", "past + 1=9"]).map_err(|failure| failure.0).unwrap();
        assert_eq!(sizes.at(&[2]), [("batch".to_owned(), 2), ("past + 1".to_owned(), 9), ("2*batch".to_owned(), 4)].into());
        let mut helper = given(&["k=1..3", "batch=2*k", "past + 1=9"]).map_err(|failure| failure.0).unwrap();
        helper.keep(&[("batch".to_owned(), 2)].into());
        assert_eq!(helper.at(&[3])["batch"], 6);
    }
}
