//! The pipelines of the standard library that the compiler provides.

use crate::checker::{Checker, at};
use mlp_syntax::ast::{self, PipelineKind};
use mlp_syntax::{Code, Diagnostic, FileId};

macro_rules! intrinsics {
    ($(#[$doc:meta])* $kind:ident: $($variant:ident $name:literal $signature:literal)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $(#[doc = concat!("`", $signature, "`")] $variant,)*
        }

impl $kind {
            /// Every one with its name in the standard library, and the way it is called, which begins with its module.
            pub const ALL: &[(&str, &str, $kind)] = &[$(($name, $signature, $kind::$variant),)*];
        }
    };
}

pub(crate) use intrinsics;

/// What the compiler provides under the name of a declaration without a body, which only the standard library has.
pub(crate) fn provided<T: Copy>(checker: &mut Checker<'_>, file: FileId, node: &ast::Pipeline, all: &[(&str, &str, T)]) -> Option<T> {
    let module = checker.files.get(file.0 as usize).map_or("", |file| file.path.as_str());
    let found = find(module, &node.name.text, all);
    if found.is_none() {
        let kind = if node.kind == PipelineKind::Layer { "layer" } else { "pipeline" };
        checker.report(
            Diagnostic::new(Code::E0009, format!("only the standard library declares intrinsic {kind}s"))
                .label(at(file, node.name.span), "the compiler provides nothing of this name")
                .help(format!("write a `{kind}` with a body")),
        );
    }
    found
}

/// What a module of the standard library declares under a name: two modules may have the same.
pub(crate) fn find<T: Copy>(module: &str, name: &str, all: &[(&str, &str, T)]) -> Option<T> {
    let of_module = |call: &str| call.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    all.iter().find(|(known, call, _)| *known == name && of_module(call)).map(|(_, _, found)| *found)
}

intrinsics! {
    /// Pipelines of the standard library that the compiler provides; what they do is documented where they are declared.
    Intrinsic:
    Resize "resize" "std.vision.resize(photo, size, crop, filter)"
    Letterbox "letterbox" "std.vision.letterbox(photo, size, fill, filter)"
    PhotoSize "photo_size" "std.vision.photo_size(photo)"
    ResizePixels "resize_pixels" "std.vision.resize_pixels(pixels, size, filter)"
    Crop "crop" "std.vision.crop(pixels, left, top, size)"
    CenterCrop "center_crop" "std.vision.center_crop(pixels, size)"
    Pad "pad" "std.vision.pad(pixels, left, top, right, bottom, value)"
    FlipHorizontal "flip_horizontal" "std.vision.flip_horizontal(pixels)"
    ToNchw "to_nchw" "std.vision.to_nchw(pixels)"
    ToNhwc "to_nhwc" "std.vision.to_nhwc(pixels)"
    FromNchw "from_nchw" "std.vision.from_nchw(batch)"
    Iou "iou" "std.vision.iou(a, b)"
    Nms "nms" "std.vision.nms(boxes, scores, count, overlap, least)"
    BoxesToPhoto "boxes_to_photo" "std.vision.boxes_to_photo(boxes, photo, size, crop)"
    Peaks "peaks" "std.vision.peaks(heatmaps)"

    WordPiece "wordpiece" "std.text.wordpiece(words, file, special)"
    Bpe "bpe" "std.text.bpe(words, file, special)"
    Unigram "unigram" "std.text.unigram(words, file, special)"
    PairOfTexts "pair" "std.text.pair(first, second)"
    TruncateTokens "truncate" "std.text.truncate(tokens, most, side)"
    PadTokens "pad" "std.text.pad(tokens, length, side, token)"
    SeenTokens "seen" "std.text.seen(mask)"

    OneHot "one_hot" "std.tabular.one_hot(class, classes)"
    Bucketize "bucketize" "std.tabular.bucketize(values, edges)"
    Missing "missing" "std.tabular.missing(values)"

    Samples "samples" "std.audio.samples(sound, count)"
    Frames "frames" "std.audio.frames(samples, length, hop)"
    Spectrum "spectrum" "std.audio.spectrum(samples, size, hop)"
    Stft "stft" "std.audio.stft(samples, size, hop, padding)"
    Mel "mel" "std.audio.mel(power, rate, mels, low, high, scale)"
    Dct "dct" "std.audio.dct(values, count)"
    Resample "resample" "std.audio.resample(samples, up, down)"

    Softmax "softmax" "std.tensor.softmax(scores)"
    Unbatch "unbatch" "std.tensor.unbatch(batch)"
    Batch "batch" "std.tensor.batch(values)"
    Argmax "argmax" "std.tensor.argmax(scores)"
    ArgmaxLast "argmax_last" "std.tensor.argmax_last(values)"
    TopK "top_k" "std.tensor.top_k(scores, count)"
    Argsort "argsort" "std.tensor.argsort(values, order)"
    Sort "sort" "std.tensor.sort(values, order)"
    Clip "clip" "std.tensor.clip(values, low, high)"
    Relu "relu" "std.tensor.relu(values)"
    Tanh "tanh" "std.tensor.tanh(values)"
    Abs "abs" "std.tensor.abs(values)"
    Sqrt "sqrt" "std.tensor.sqrt(values)"
    Exp "exp" "std.tensor.exp(values)"
    Log "log" "std.tensor.log(values)"
    Power "power" "std.tensor.power(values, exponent)"
    Sin "sin" "std.tensor.sin(angles)"
    Cos "cos" "std.tensor.cos(angles)"
    Floor "floor" "std.tensor.floor(values)"
    Round "round" "std.tensor.round(values)"
    Max "max" "std.tensor.max(values)"
    Min "min" "std.tensor.min(values)"
    Sum "sum" "std.tensor.sum(values)"
    Mean "mean" "std.tensor.mean(values)"
    MaxLast "max_last" "std.tensor.max_last(values)"
    MinLast "min_last" "std.tensor.min_last(values)"
    SumLast "sum_last" "std.tensor.sum_last(values)"
    MeanLast "mean_last" "std.tensor.mean_last(values)"
    MaxFirst "max_first" "std.tensor.max_first(values)"
    MinFirst "min_first" "std.tensor.min_first(values)"
    SumFirst "sum_first" "std.tensor.sum_first(values)"
    MeanFirst "mean_first" "std.tensor.mean_first(values)"
    MatMul "matmul" "std.tensor.matmul(a, b)"
    Project "project" "std.tensor.project(values, matrix)"
    Transpose "transpose" "std.tensor.transpose(values)"
    ConcatFirst "concat_first" "std.tensor.concat_first(a, b)"
    ConcatLast "concat_last" "std.tensor.concat_last(a, b)"
    SliceFirst "slice_first" "std.tensor.slice_first(values, start, count)"
    SliceLast "slice_last" "std.tensor.slice_last(values, start, count)"
    WithoutLast "without_last" "std.tensor.without_last(values)"
    Take "take" "std.tensor.take(values, positions)"
    ReverseFirst "reverse_first" "std.tensor.reverse_first(values)"
    ReverseLast "reverse_last" "std.tensor.reverse_last(values)"
    ExpandLast "expand_last" "std.tensor.expand_last(values)"
    MergeFirst "merge_first" "std.tensor.merge_first(values)"
    MergeLast "merge_last" "std.tensor.merge_last(values)"
    SplitFirst "split_first" "std.tensor.split_first(values, parts)"
    SplitLast "split_last" "std.tensor.split_last(values, parts)"
    StretchLast "stretch_last" "std.tensor.stretch_last(values, like)"
    StretchFirst "stretch_first" "std.tensor.stretch_first(values, like)"
    StretchRow "stretch_row" "std.tensor.stretch_row(row, like)"
    Spread "spread" "std.tensor.spread(value, like)"
    Larger "larger" "std.tensor.larger(a, b)"
    Smaller "smaller" "std.tensor.smaller(a, b)"
    Greater "greater" "std.tensor.greater(a, b)"
    Above "above" "std.tensor.above(values, limit)"
    IsNan "is_nan" "std.tensor.is_nan(values)"
    Choose "choose" "std.tensor.choose(condition, yes, no)"
    ToNumbers "to_numbers" "std.tensor.to_numbers(condition)"
    ToF32 "to_f32" "std.tensor.to_f32(values)"
}
