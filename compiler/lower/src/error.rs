//! Why a pipeline has no graph. Checking finds almost everything; what is left shows only when models are imported or calls are inlined.

/// Why a pipeline has no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// The pipeline takes something that only another pipeline can give.
    #[error(
        "{place}: `{pipeline}` cannot be compiled by itself, since it takes `{param}`; write a pipeline that calls it with a value for that"
    )]
    NoEntry {
        /// Where the pipeline is.
        place: String,
        /// The pipeline.
        pipeline: String,
        /// The parameter.
        param: String,
    },
    /// A model could not be imported.
    #[error("{place}: the model `{model}` cannot be used: {reason}")]
    Model {
        /// Where it is called.
        place: String,
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// The answer holds something that an application cannot receive.
    #[error("{place}: the answer's `{field}` is {what}; give a tensor, a label or a ranking")]
    Answer {
        /// Where the pipeline is.
        place: String,
        /// The field.
        field: String,
        /// What it is.
        what: String,
    },
    /// An operation that its operands do not allow.
    #[error("{place}: {reason}")]
    Operation {
        /// Where it is.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Inlining would make too much of it.
    #[error("{place}: `{pipeline}` calls more than {limit} pipelines and models when everything is inlined; call less")]
    TooLarge {
        /// Where the limit was met.
        place: String,
        /// The pipeline that was lowered.
        pipeline: String,
        /// The limit.
        limit: usize,
    },
    /// The graph breaks a rule of graphs: a mistake of the compiler, not of the program.
    #[error("the graph of `{pipeline}` is wrong at {place}: {reason}; please report this")]
    Internal {
        /// The pipeline.
        pipeline: String,
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
}
