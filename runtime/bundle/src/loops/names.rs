//! The names of operations in the text form.

use super::{BinaryOp, CompareOp, UnaryOp};

macro_rules! names {
    ($ty:ident { $($op:ident = $name:literal,)* }) => {
        impl $ty {
            /// Every operation.
            pub const ALL: &'static [$ty] = &[$($ty::$op),*];

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $($ty::$op => $name),* }
            }

            /// The operation of that name.
            pub fn from_name(name: &str) -> Option<$ty> {
                match name { $($name => Some($ty::$op),)* _ => None }
            }
        }
    };
}

names!(UnaryOp {
    Neg = "neg",
    Abs = "abs",
    Not = "not",
    Sqrt = "sqrt",
    RoundEven = "round_even",
    Floor = "floor",
    Ceil = "ceil",
    Trunc = "trunc",
    Exp = "exp",
    Log = "log",
    Tanh = "tanh",
    Erf = "erf",
    Sin = "sin",
    Cos = "cos",
});

names!(BinaryOp {
    Add = "add",
    Sub = "sub",
    Mul = "mul",
    Div = "div",
    Rem = "rem",
    Min = "min",
    Max = "max",
    Pow = "pow",
    And = "and",
    Or = "or",
    Xor = "xor",
    Shl = "shl",
    Shr = "shr",
});

names!(CompareOp {
    Eq = "eq",
    Ne = "ne",
    Lt = "lt",
    Le = "le",
});
