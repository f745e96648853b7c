//! Operators of classical machine learning (`ai.onnx.ml`), as scikit-learn, XGBoost and LightGBM are exported.
//!
//! Where the standard is vague (which class a score belongs to, what is done with one score for two classes), ONNX Runtime's reading holds, since exporters are
//! tested against it. Class labels that are text become positions in the operator's list of labels: tensors hold numbers alone, and `@labels` names them.

mod encoders;
mod features;
mod linear;
mod scores;
mod svm;
mod trees;

use super::Row;
use crate::onnx::node::{Imported, NodeImport};

const DOMAIN: &str = "ai.onnx.ml";

pub(super) const TABLE: &[Row] = &[
    (DOMAIN, "ArrayFeatureExtractor", features::array_feature_extractor),
    (DOMAIN, "Binarizer", features::binarizer),
    (DOMAIN, "FeatureVectorizer", features::feature_vectorizer),
    (DOMAIN, "Imputer", features::imputer),
    (DOMAIN, "LabelEncoder", encoders::label_encoder),
    (DOMAIN, "LinearClassifier", linear::classifier),
    (DOMAIN, "LinearRegressor", linear::regressor),
    (DOMAIN, "Normalizer", features::normalizer),
    (DOMAIN, "OneHotEncoder", encoders::one_hot),
    (DOMAIN, "Scaler", features::scaler),
    (DOMAIN, "SVMClassifier", svm::classifier),
    (DOMAIN, "SVMRegressor", svm::regressor),
    (DOMAIN, "TreeEnsemble", trees::ensemble),
    (DOMAIN, "TreeEnsembleClassifier", trees::classifier),
    (DOMAIN, "TreeEnsembleRegressor", trees::regressor),
    (DOMAIN, "ZipMap", zip_map),
];

/// A map from class to score is the scores in the order of the classes: the tensor that went in.
fn zip_map(node: &mut NodeImport<'_>) -> Imported {
    let _ = (node.attributes.ints("classlabels_int64s")?, node.attributes.strings("classlabels_strings")?);
    Ok(vec![node.input(0)?])
}
