//! Operators of ONNX that are not imported, each with its reason: what the importer says of a node of theirs, and what `mlpc coverage` lists.

/// One row of the table: domain, operator, reason.
type Row = (&'static str, &'static str, &'static str);

const STRINGS: &str = "values are numbers here, not strings; work with strings before the model, and give it numbers";
const RANDOM: &str = "it draws random numbers, and a compiled pipeline gives the same answer for the same input; draw them before the model, and give them as an input";
const SEQUENCES: &str = "sequences of tensors have no fixed shape; export the model with one tensor, or one output an element";
const OPTIONALS: &str = "whether an optional value is there is known only when the model runs; export the model without optional inputs";
const TRAINING: &str = "it belongs to training; export the model for inference";
const DATA_SIZES: &str =
    "the size of its result depends on the data, and every size is known when compiling; leave this step to what uses the model";
const NOT_YET: &str = "it is not imported yet; express it with other operators before exporting";
const MAPS: &str = "it makes or reads maps, which are no tensors; export the model without them (zipmap = False in skl2onnx)";

const TABLE: &[Row] = &[
    ("", "AffineGrid", NOT_YET),
    ("", "Acos", NOT_YET),
    ("", "Acosh", NOT_YET),
    ("", "Asin", NOT_YET),
    ("", "Asinh", NOT_YET),
    ("", "Atan", NOT_YET),
    ("", "Atanh", NOT_YET),
    ("", "Attention", NOT_YET),
    ("", "Bernoulli", RANDOM),
    ("", "BitCast", NOT_YET),
    ("", "BlackmanWindow", NOT_YET),
    ("", "CausalConvWithState", NOT_YET),
    ("", "CenterCropPad", NOT_YET),
    ("", "Col2Im", NOT_YET),
    ("", "Compress", DATA_SIZES),
    ("", "ConcatFromSequence", SEQUENCES),
    ("", "Cosh", NOT_YET),
    ("", "CumProd", NOT_YET),
    ("", "CumSum", NOT_YET),
    ("", "DFT", NOT_YET),
    ("", "DeformConv", NOT_YET),
    ("", "Det", NOT_YET),
    ("", "Einsum", NOT_YET),
    ("", "GlobalLpPool", NOT_YET),
    ("", "GridSample", NOT_YET),
    ("", "GroupNormalization", NOT_YET),
    ("", "HammingWindow", NOT_YET),
    ("", "HannWindow", NOT_YET),
    ("", "Hardmax", NOT_YET),
    ("", "ImageDecoder", "it takes a file of any size; photos are decoded before a pipeline, which takes their pixels"),
    ("", "IsInf", NOT_YET),
    ("", "LinearAttention", NOT_YET),
    ("", "LpPool", NOT_YET),
    ("", "MaxRoiPool", NOT_YET),
    ("", "MaxUnpool", NOT_YET),
    ("", "MelWeightMatrix", NOT_YET),
    ("", "Multinomial", RANDOM),
    ("", "NegativeLogLikelihoodLoss", NOT_YET),
    ("", "NonMaxSuppression", DATA_SIZES),
    ("", "NonZero", DATA_SIZES),
    ("", "OneHot", NOT_YET),
    ("", "Optional", OPTIONALS),
    ("", "OptionalGetElement", OPTIONALS),
    ("", "OptionalHasElement", OPTIONALS),
    ("", "RandomNormal", RANDOM),
    ("", "RandomNormalLike", RANDOM),
    ("", "RandomUniform", RANDOM),
    ("", "RandomUniformLike", RANDOM),
    ("", "RegexFullMatch", STRINGS),
    ("", "ReverseSequence", NOT_YET),
    ("", "RoiAlign", NOT_YET),
    ("", "RotaryEmbedding", NOT_YET),
    ("", "STFT", NOT_YET),
    ("", "Scatter", NOT_YET),
    ("", "ScatterElements", NOT_YET),
    ("", "ScatterND", NOT_YET),
    ("", "SequenceAt", SEQUENCES),
    ("", "SequenceConstruct", SEQUENCES),
    ("", "SequenceEmpty", SEQUENCES),
    ("", "SequenceErase", SEQUENCES),
    ("", "SequenceInsert", SEQUENCES),
    ("", "SequenceLength", SEQUENCES),
    ("", "SequenceMap", SEQUENCES),
    ("", "Shrink", NOT_YET),
    ("", "Sign", NOT_YET),
    ("", "Sinh", NOT_YET),
    ("", "SoftmaxCrossEntropyLoss", NOT_YET),
    ("", "SplitToSequence", SEQUENCES),
    ("", "StringConcat", STRINGS),
    ("", "StringNormalizer", STRINGS),
    ("", "StringSplit", STRINGS),
    ("", "SwiGLU", NOT_YET),
    ("", "Tan", NOT_YET),
    ("", "TensorScatter", NOT_YET),
    ("", "TfIdfVectorizer", "it counts n-grams of sequences of any length; count them before the model, and give it the counts"),
    ("", "Trilu", NOT_YET),
    ("", "Unique", DATA_SIZES),
    ("ai.onnx.ml", "CastMap", MAPS),
    ("ai.onnx.ml", "CategoryMapper", STRINGS),
    ("ai.onnx.ml", "DictVectorizer", MAPS),
    ("ai.onnx.ml", "FeatureVectorizer", NOT_YET),
    ("ai.onnx.ml", "Imputer", NOT_YET),
    ("ai.onnx.ml", "LabelEncoder", NOT_YET),
    ("ai.onnx.ml", "LinearClassifier", NOT_YET),
    ("ai.onnx.ml", "LinearRegressor", NOT_YET),
    ("ai.onnx.ml", "Normalizer", NOT_YET),
    ("ai.onnx.ml", "OneHotEncoder", NOT_YET),
    ("ai.onnx.ml", "SVMClassifier", NOT_YET),
    ("ai.onnx.ml", "SVMRegressor", NOT_YET),
    ("ai.onnx.ml", "TreeEnsemble", NOT_YET),
    ("ai.onnx.ml", "TreeEnsembleClassifier", NOT_YET),
    ("ai.onnx.ml", "TreeEnsembleRegressor", NOT_YET),
    ("ai.onnx.ml", "ZipMap", MAPS),
    ("ai.onnx.preview", "FlexAttention", NOT_YET),
    ("ai.onnx.preview.training", "Adagrad", TRAINING),
    ("ai.onnx.preview.training", "Adam", TRAINING),
    ("ai.onnx.preview.training", "Gradient", TRAINING),
    ("ai.onnx.preview.training", "Momentum", TRAINING),
];

/// Why an operator is not imported, where a row says it; the empty domain is ONNX's own.
pub(crate) fn reason(domain: &str, op: &str) -> Option<&'static str> {
    TABLE.iter().find(|row| row.0 == domain && row.1 == op).map(|row| row.2)
}

/// Every operator that a row of the table leaves out: domain and name.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|row| (row.0, row.1))
}
