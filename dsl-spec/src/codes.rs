//! Every diagnostic code, in one table. A code never changes its meaning; `errors/<code>.md` explains it with an example.

use crate::diagnostic::Severity;
use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! codes {
    ($($code:ident $severity:ident $title:literal)*) => {
        /// A stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &[Code] = &[$(Code::$code,)*];

            /// The code as it is printed: `E0101`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$code => stringify!($code),)* }
            }

            /// How bad its findings are.
            pub fn severity(self) -> Severity {
                match self { $(Code::$code => Severity::$severity,)* }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title,)* }
            }

            /// Its page, in Markdown: what is wrong, an example that raises it, and the example put right.
            pub fn page(self) -> &'static str {
                match self { $(Code::$code => include_str!(concat!("../errors/", stringify!($code), ".md")),)* }
            }
        }
    };
}

codes! {
    E0001 Error "The file is too large"
    E0002 Error "A string is not closed"
    E0003 Error "A bracket is not closed"
    E0004 Error "A closing bracket has no opening one"
    E0005 Error "Something is nested too deeply"
    E0006 Error "Unexpected text"
    E0007 Error "Two entries stand on one line"
    E0008 Error "No block starts with this word"
    E0009 Error "Not supported by this version of the compiler"
    E0010 Error "A unit is unknown"
    E0011 Error "A number is out of range"
    E0012 Error "An escape in a string is unknown"
    E0101 Error "A name is unknown"
    E0102 Error "A name is defined twice"
    E0103 Error "A file or module cannot be read"
    E0104 Error "A module has no such name"
    E0105 Error "The edition is missing, repeated or unknown"
    E0106 Error "Pipelines call each other in a circle"
    E0107 Error "A key or attribute is unknown here"
    E0108 Error "A key is missing"
    E0109 Warning "A name is never used"
    E0110 Error "A constant or a type is made of itself"
    E0201 Error "A value has another type"
    E0202 Error "A shape does not fit"
    E0203 Error "A type is unknown"
    E0204 Error "An argument is missing"
    E0205 Error "An argument is too many"
    E0206 Error "A field is unknown"
    E0207 Error "This cannot be called"
    E0208 Error "An operator does not take these operands"
    E0209 Error "A pipeline returns nothing, or returns early"
    E0210 Error "A unit is missing or of another dimension"
    E0211 Error "A value is not known when compiling"
    E0212 Error "A size is bound by nothing"
    E0213 Error "Scores have no labels"
    E0214 Error "The arms of a choice have different types"
    E0215 Error "A size is over its bound"
    E0216 Error "A size cannot be computed"
    E0217 Warning "Pixels are normalized with numbers of another range"
    E0301 Error "A model cannot be read"
    E0302 Error "A model's file declares another input or output"
    E0303 Error "Labels cannot be read or do not fit"
    E0304 Error "A model's file has another digest"
    E0305 Error "A weight is not in the file"
    E0306 Error "A weight has another shape or type"
    E0307 Warning "Weights of a file are not used"
    E0308 Error "Layers and their file do not go together"
    E0309 Error "A tokenizer cannot be read or does not run everywhere"
    E0310 Error "A tokenizer is of another kind"
    E0311 Error "A state does not fit its model"
    E0312 Error "A model with state is called where it may not run exactly once"
    E0401 Error "An expectation has a form that a test cannot check"
    E0402 Error "A label does not exist"
    E0403 Error "A test's photo cannot be found"
    E0404 Error "A hook's name does not start with `use`"
    E0405 Error "A file that a block names cannot be found"
    E0406 Error "A limit points the wrong way"
    E0407 Error "Two parts of a block belong to different pipelines"
    E0408 Error "Shares are more than the whole"
    E0501 Error "A private value would leave the device unprotected"
    E0502 Error "No outlet spends a budget"
    E0503 Error "Nothing bounds how far one person can move a value"
    E0504 Error "A budget is overspent"
    E0505 Error "A mechanism does not fit the value"
    E0506 Error "A budget that renews bounds nothing in the long run"
    E0901 Warning "A build leaves this out"
}

impl Code {
    /// The code with that [`name`](Code::name).
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
