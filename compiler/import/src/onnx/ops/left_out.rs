//! Operators of ONNX that are not imported, each with its reason: what the importer says of a node of theirs, and what `mlpc coverage` lists.

/// One row of the table: domain, operator, reason.
type Row = (&'static str, &'static str, &'static str);

const STRINGS: &str = "values are numbers here, not strings; work with strings before the model, and give it numbers";
const RANDOM: &str = "it draws random numbers, and a compiled pipeline gives the same answer for the same input; draw them before the model, and give them as an input";
const SEQUENCES: &str = "its body would run once for each element of a sequence; write it out for each before exporting";
const TRAINING: &str = "it belongs to training; export the model for inference";
const NOT_YET: &str = "it is not imported yet; express it with other operators before exporting";
const MAPS: &str = "it makes or reads maps, which are no tensors; export the model without them (zipmap = False in skl2onnx)";

const TABLE: &[Row] = &[
    ("", "Bernoulli", RANDOM),
    ("", "ImageDecoder", "it takes a file of any size; photos are decoded before a pipeline, which takes their pixels"),
    ("", "Multinomial", RANDOM),
    ("", "RandomNormal", RANDOM),
    ("", "RandomNormalLike", RANDOM),
    ("", "RandomUniform", RANDOM),
    ("", "RandomUniformLike", RANDOM),
    ("", "RegexFullMatch", STRINGS),
    ("", "SequenceMap", SEQUENCES),
    ("", "StringConcat", STRINGS),
    ("", "StringNormalizer", STRINGS),
    ("", "StringSplit", STRINGS),
    ("", "TfIdfVectorizer", "it counts n-grams of sequences of any length; count them before the model, and give it the counts"),
    ("ai.onnx.ml", "CastMap", MAPS),
    ("ai.onnx.ml", "CategoryMapper", STRINGS),
    ("ai.onnx.ml", "DictVectorizer", MAPS),
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
