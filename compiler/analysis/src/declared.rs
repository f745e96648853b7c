//! Declarations of the checked program: budgets, outlets, monitors, explanations, experiments and devices.

use crate::privacy::Released;
use crate::program::{Backend, PipelineId};
use crate::types::Type;
use mlp_syntax::ast::Operator;
use mlp_syntax::{Location, Span};

/// The name of a declaration.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
}

macro_rules! ids {
    ($($name:ident $doc:literal)*) => {
        $(#[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);)*
    };
}

ids! {
    BudgetId "Index of a budget in [`Declarations::budgets`]."
    OutletId "Index of an outlet in [`Declarations::outlets`]."
    MonitorId "Index of a monitor in [`Declarations::monitors`]."
    ExplainId "Index of an explanation in [`Declarations::explains`]."
}

/// Every declaration of a package. What an error left has `None` where it is not known.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// What may be learned about one person.
    pub budgets: Vec<Budget>,
    /// How values leave the device.
    pub outlets: Vec<Outlet>,
    /// What is watched while pipelines run.
    pub monitors: Vec<Monitor>,
    /// How answers are explained.
    pub explains: Vec<Explain>,
    /// Variants that are compared in the field.
    pub experiments: Vec<Experiment>,
    /// Kinds of devices.
    pub devices: Vec<Device>,
}

/// What may be learned about one unit of privacy.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its name.
    pub declared: Declared,
    /// Whom it protects.
    pub unit: Option<PrivacyUnit>,
    /// After how many seconds it is whole again; none for never.
    pub window: Option<f64>,
    /// The privacy loss that all outlets together may cause.
    pub epsilon: Option<f64>,
    /// The chance that the loss is greater; 0 where it never is.
    pub delta: f64,
    /// The item.
    pub span: Span,
    /// The loss of everything that its outlets may release; none where that is too much or not known.
    pub spent: Option<f64>,
}

/// Whom a budget protects: two inputs that differ in this are told apart with the budget's loss at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivacyUnit {
    /// One call.
    Event,
    /// All calls between opening and closing the application.
    Session,
    /// All calls on one device.
    Device,
    /// All calls of one person.
    User,
}

impl PrivacyUnit {
    /// Every unit with its word in the language.
    pub const ALL: &[(&str, PrivacyUnit)] =
        &[("user", PrivacyUnit::User), ("device", PrivacyUnit::Device), ("session", PrivacyUnit::Session), ("event", PrivacyUnit::Event)];
}

/// How a value leaves the device.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// Its name.
    pub declared: Declared,
    /// The pipeline whose answer it takes from.
    pub pipeline: Option<PipelineId>,
    /// The fields that lead to the value.
    pub fields: Vec<String>,
    /// The value's type.
    pub ty: Type,
    /// Where the value is named.
    pub from: Location,
    /// The budget that pays for it.
    pub spend: Option<(BudgetId, Location)>,
    /// How the value is made harmless.
    pub mechanism: Option<(Mechanism, Location)>,
    /// How often it may be used in one window of the budget.
    pub at_most: Option<(u64, Location)>,
    /// True where an error hides a part of it.
    pub broken: bool,
    /// The item.
    pub span: Span,
    /// What the checker found out about it; none where it must not be used.
    pub released: Option<Released>,
}

/// How a value is made harmless before it leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mechanism {
    /// A label, or with some chance another one. Pure `epsilon`.
    RandomizedResponse {
        /// The loss of one release.
        epsilon: f64,
    },
    /// Discrete Laplace noise of scale `sensitivity / epsilon` on each number.
    Laplace {
        /// The loss of one release.
        epsilon: f64,
    },
    /// Discrete Gaussian noise, of as many standard deviations as `(epsilon, delta)` need for one release.
    Gaussian {
        /// The loss of one release.
        epsilon: f64,
        /// The chance of more.
        delta: f64,
    },
    /// Discrete Gaussian noise of a standard deviation of `noise` times the sensitivity.
    GaussianNoise {
        /// The standard deviation over the sensitivity.
        noise: f64,
    },
    /// The label of a score, chosen with chances that grow with the score.
    Exponential {
        /// The loss of one release.
        epsilon: f64,
    },
    /// As `Exponential`, and never worse: labels are tried in random order.
    PermuteAndFlip {
        /// The loss of one release.
        epsilon: f64,
    },
}

/// What is watched while a pipeline runs.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Its name.
    pub declared: Declared,
    /// The pipeline.
    pub pipeline: Option<PipelineId>,
    /// Bounds on what is measured.
    pub limits: Vec<Limit>,
    /// Answers that are compared with how they were.
    pub drifts: Vec<Drift>,
    /// Explanations that are kept beside answers.
    pub explanations: Vec<Explanation>,
}

/// A bound on what is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What is measured.
    pub measure: &'static str,
    /// Which statistic of it; none for every single value.
    pub statistic: Option<&'static str>,
    /// How it is compared.
    pub op: Operator,
    /// With what, in base units.
    pub bound: f64,
    /// In how many seconds; none for all of the lifetime.
    pub window: Option<f64>,
}

/// An answer that is compared with how it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The fields that lead to it.
    pub fields: Vec<String>,
    /// The test.
    pub test: &'static str,
    /// The file with what it was.
    pub reference: Option<String>,
    /// How often a false alarm is accepted.
    pub alpha: f64,
    /// In how many seconds; none for all of the lifetime.
    pub window: Option<f64>,
}

/// A method of explaining an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The method.
    pub method: &'static str,
    /// Its arguments as they are written.
    pub arguments: Vec<(&'static str, Argument)>,
}

/// An argument of a method.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A number, in base units where it has a unit.
    Number(f64),
    /// A text.
    Text(String),
}

/// How an answer is explained on request.
#[derive(Clone, Debug)]
pub struct Explain {
    /// Its name.
    pub declared: Declared,
    /// The pipeline.
    pub pipeline: Option<PipelineId>,
    /// The method.
    pub method: Option<Explanation>,
    /// Of how many labels, best first.
    pub top: u64,
}

/// Variants that are compared in the field.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name.
    pub declared: Declared,
    /// The pipeline that runs for everyone else.
    pub pipeline: Option<PipelineId>,
    /// The variants.
    pub variants: Vec<Variant>,
    /// What they are compared by.
    pub metric: Option<Metric>,
    /// After how many seconds it ends.
    pub until: Option<f64>,
}

/// A variant of an experiment.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What runs instead.
    pub pipeline: Option<PipelineId>,
    /// For which part of the devices, from 0 to 1.
    pub share: f64,
}

/// What variants are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The limits and drifts of a monitor.
    Monitor(MonitorId),
    /// What an outlet releases.
    Outlet(OutletId),
}

/// A kind of device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub declared: Declared,
    /// Its memory in bytes.
    pub memory: Option<f64>,
    /// The cores of its processor.
    pub cores: Option<u64>,
    /// What it can run on.
    pub backends: Vec<Backend>,
    /// Bytes a second that it can download.
    pub downlink: Option<f64>,
    /// Bytes that it can keep.
    pub storage: Option<f64>,
}
