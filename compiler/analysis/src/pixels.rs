//! The range of pixels, and whether they are normalized with a mean and a deviation of that range.
//!
//! Models are published with means such as `0.485`, which are meant for pixels from 0 to 1, or `123.675`, for pixels from 0 to 255. Whoever mixes the two gets a program
//! that runs, and answers that are wrong.

use crate::expressions::BodyChecker;
use crate::program::{Callee, Expr, ExprKind, Value};
use mlp_syntax::ast::Operator;
use mlp_syntax::{Code, Diagnostic, Location, Span};

/// The module.
const VISION: &str = "std.vision";

/// The numbers that pixels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelRange {
    /// From 0 to 255, as photos are.
    Bytes,
    /// From 0 to 1.
    Unit,
}

impl BodyChecker<'_, '_> {
    /// The range of a value, where it is known to be pixels of one.
    pub(crate) fn pixel_range(&self, value: &Expr) -> Option<PixelRange> {
        match &value.kind {
            ExprKind::Local(index) => self.range_of_local(*index),
            ExprKind::Arithmetic { op: Operator::Div, left, right } => match right.kind {
                ExprKind::Value(Value::Number(by, None)) if (255.0..=256.0).contains(&by) => {
                    self.pixel_range(left).filter(|range| *range == PixelRange::Bytes).map(|_| PixelRange::Unit)
                }
                _ => None,
            },
            ExprKind::Call { callee, args, .. } => match self.of_vision(*callee)? {
                "resize" | "letterbox" => Some(PixelRange::Bytes),
                "resize_pixels" | "crop" | "center_crop" | "flip_horizontal" | "flip_vertical" | "grayscale" | "rgb_to_bgr" | "to_nchw"
                | "to_nhwc" | "from_nchw" => self.pixel_range(args.first()?),
                _ => None,
            },
            _ => None,
        }
    }

    /// The name of a pipeline of `std.vision`.
    fn of_vision(&self, callee: Callee) -> Option<&str> {
        let Callee::Pipeline(id) = callee else { return None };
        let pipeline = self.checker.pipelines.get(id.0 as usize)?;
        let file = self.checker.files.get(pipeline.at.file.0 as usize)?;
        (file.path == VISION).then_some(pipeline.name.as_str())
    }

    /// Warns of a call of `normalize` or `normalize_channels` with numbers of the other range.
    pub(crate) fn check_range(&mut self, callee: Callee, args: &[Expr]) {
        let Some("normalize" | "normalize_channels") = self.of_vision(callee) else { return };
        let [pixels, mean, std] = args else { return };
        let (Some(range), Some(means), Some(stds)) = (self.pixel_range(pixels), numbers(mean), numbers(std)) else { return };
        let (is, are, scale) = match range {
            // A deviation of one moves nothing to another scale.
            PixelRange::Bytes if means.iter().all(|mean| mean.abs() <= 1.0) && stds.iter().all(|std| *std < 1.0) => (255, 1, 255.0),
            PixelRange::Unit if means.iter().any(|mean| mean.abs() > 1.0) && stds.iter().all(|std| *std > 1.0) => (1, 255, 1.0 / 255.0),
            _ => return,
        };
        let diagnostic =
            Diagnostic::new(Code::E0217, format!("pixels from 0 to {is} are normalized with numbers for pixels from 0 to {are}"))
                .label(mean.at, format!("meant for pixels from 0 to {are}"));
        let diagnostic = match self.maker(pixels) {
            Some((maker, place)) if range == PixelRange::Bytes => diagnostic.label(place, format!("`{maker}` gives pixels from 0 to {is}")),
            _ => diagnostic.label(pixels.at, format!("these are from 0 to {is}")),
        };
        let word = if scale > 1.0 { "multiply" } else { "divide" };
        let diagnostic = diagnostic.help(format!("{word} the mean and the deviation by 255"));
        self.checker.report(match self.scaled(mean, std, scale) {
            Some((place, text)) => diagnostic.fix(place, text),
            None => diagnostic,
        });
    }

    /// The text from the mean to the deviation with all of their numbers scaled, where all of them are written there.
    fn scaled(&self, mean: &Expr, std: &Expr, scale: f64) -> Option<(Location, String)> {
        let whole = Location { span: Span { start: mean.at.span.start, end: std.at.span.end }, ..mean.at };
        if mean.at.file != std.at.file || mean.at.span.end > std.at.span.start {
            return None;
        }
        let between = self.checker.text(Location { span: Span { start: mean.at.span.end, end: std.at.span.start }, ..mean.at });
        let part = |value: &Expr| scaled_numbers(self.checker.text(value.at), scale);
        Some((whole, format!("{}{between}{}", part(mean)?, part(std)?)))
    }
}

/// The numbers of a constant.
fn numbers(value: &Expr) -> Option<Vec<f64>> {
    match &value.kind {
        ExprKind::Value(Value::Number(number, None)) => Some(vec![*number]),
        ExprKind::Value(Value::Tensor(numbers)) => Some(numbers.clone()),
        _ => None,
    }
}

/// A number or a list of numbers with each of them scaled, to six digits; none where anything else is written.
fn scaled_numbers(text: &str, scale: f64) -> Option<String> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut scaled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_of_number) {
        let (before, from) = rest.split_at(start);
        if !before.chars().all(|c| "[],-".contains(c) || c.is_whitespace()) {
            return None;
        }
        let (number, after) = from.split_at(from.find(|c| !is_of_number(c)).unwrap_or(from.len()));
        let value = number.parse::<f64>().ok()? * scale;
        let digits = (5 - value.abs().log10().floor().clamp(-6.0, 5.0) as i32).clamp(0, 9) as usize;
        let shown = format!("{value:.digits$}");
        let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
        scaled += before;
        scaled += shown;
        rest = after;
    }
    rest.chars().all(|c| "[],".contains(c) || c.is_whitespace()).then(|| scaled + rest)
}

#[cfg(test)]
mod tests {
    use super::scaled_numbers;

    #[test]
    fn numbers_are_scaled_where_only_numbers_are_written() {
        assert_eq!(scaled_numbers("0.485", 255.0).as_deref(), Some("123.675"));
        assert_eq!(scaled_numbers("[0.229, 0.224,\r\n\t0.225]", 255.0).as_deref(), Some("[58.395, 57.12,\r\n\t57.375]"));
        assert_eq!(scaled_numbers("127.5", 1.0 / 255.0).as_deref(), Some("0.5"));
        assert_eq!(scaled_numbers("0", 255.0).as_deref(), Some("0"));
        assert_eq!(scaled_numbers("[-1.0]", 255.0).as_deref(), Some("[-255]"));
        assert_eq!(scaled_numbers("mean2", 255.0), None);
        assert_eq!(scaled_numbers("1e3", 255.0), None);
        assert_eq!(scaled_numbers("2 * 3", 255.0), None);
    }
}
