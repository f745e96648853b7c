//! What holds of any text in the language: of its tree, of what is said about it, of an edit that is read and checked with what was known before it, and of
//! its form. The fuzz targets `parser`, `checker` and `formatter` call these without end, and the test `hostile` on damaged copies of the corpora.

use mlp_analysis::{Analysis, ModelSignature, SignatureDim, SignaturePort, WeightTensor, Weights, World, check, recheck};
use mlp_bundle::DType;
use mlp_syntax::{Diagnostic, Parsed, dump, format, highlight, parse};

/// Reads a text, and an edit of it with what was kept of the text before.
pub fn parser(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (file, diagnostics) = parse(&text);
    places(&text, &diagnostics);
    dump(&file);
    highlight(&text);
    let mut parsed = Parsed::new(&text);
    assert_eq!((&**parsed.file(), parsed.diagnostics().cloned().collect::<Vec<_>>()), (&file, diagnostics), "kept trees are the same");
    let mut before = text.into_owned();
    for round in 0..3 {
        let after = edit(&before, round);
        parsed = parsed.update(&before, &after).0;
        let (file, diagnostics) = parse(&after);
        assert_eq!(&**parsed.file(), &file, "the tree after an edit of\n{before}\nto\n{after}");
        assert_eq!(parsed.diagnostics().cloned().collect::<Vec<_>>(), diagnostics, "what is said after an edit of\n{before}\nto\n{after}");
        before = after;
    }
}

/// Checks a text, and an edit of it with what was known of the text before.
pub fn checker(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let mut analysis = check(&Surroundings(&text), ROOT);
    places(&text, analysis.diagnostics());
    let mut before = text;
    for round in 0..2 {
        let after = edit(&before, round);
        let world = Surroundings(&after);
        analysis = recheck(&world, ROOT, analysis);
        let anew = check(&world, ROOT);
        assert_eq!(shown(&analysis), shown(&anew), "after an edit of\n{before}\nto\n{after}");
        before = after;
    }
}

/// Formats a text: what comes out says the same, and stays as it is.
pub fn formatter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(formatted) = format(&text) else { return };
    assert_eq!(dump(&parse(&text).0), dump(&parse(&formatted).0), "the tree of\n{text}\n{formatted}");
    assert_eq!(format(&formatted).as_deref(), Ok(&*formatted), "formatted once more");
    let comments = |text: &str| text.matches("//").count();
    assert_eq!(comments(&text), comments(&formatted), "comments of\n{text}\n{formatted}");
}

/// Every label lies in the text and cuts no character, and every edit that is offered can be made.
fn places(text: &str, diagnostics: &[Diagnostic]) {
    for one in diagnostics {
        let fix = one.fix.iter().map(|fix| fix.at);
        for at in one.labels.iter().map(|label| label.at).chain(fix).filter(|at| at.file.0 == 0) {
            assert!(text.get(at.span.range()).is_some(), "{one:?} points past the text or into a character");
        }
    }
}

/// Another text: some of this one is left out, or written twice. Which part is decided by the text itself.
fn edit(text: &str, round: u64) -> String {
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ round, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % bound.max(1)
    };
    let mut place = |most: usize| {
        let mut at = below(most + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (first, second, to) = (place(text.len()), place(text.len()), place(text.len()));
    let (start, end) = (first.min(second), first.max(second));
    // Most edits are small.
    let mut near = end.min(start + 1 + to % 24);
    while !text.is_char_boundary(near) {
        near -= 1;
    }
    let piece = &text[start..if to % 4 == 0 { end } else { near }];
    let mut edited = text.to_owned();
    if to % 3 == 0 {
        edited.insert_str(to, piece);
    } else {
        edited.replace_range(start..start + piece.len(), "");
    }
    edited
}

/// What a check gives, as text.
fn shown(analysis: &Analysis) -> String {
    let program = analysis.program();
    let own: Vec<_> = program.pipelines.iter().filter(|pipeline| pipeline.at.file.0 == 0).collect();
    format!("{:?}\n{own:?}\n{:?}\n{:?}", analysis.diagnostics(), program.declarations, program.left_out())
}

/// The text that is checked.
const ROOT: &str = "main.mlp";

/// A world that has whatever a text names: each model takes and gives the same, and so on.
struct Surroundings<'t>(&'t str);

const OTHER: &str =
    "edition 2026\n\nconst rate = 2.0\n\ntype Triplet = f32[3]\n\npipeline Triple(x: f32[3]) -> f32[3] {\n  return x + x + x\n}\n";

impl World for Surroundings<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            _ if path == ROOT => Ok(self.0.to_owned()),
            Some("mlp") => Ok(OTHER.to_owned()),
            Some("txt") => Ok("red\ngreen\nblue\n".to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }

    fn exists(&self, path: &str) -> bool {
        !path.contains("missing")
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        if path.contains("missing") {
            return Err("there is no such file".to_owned());
        }
        let port = |name: &str| SignaturePort {
            name: name.to_owned(),
            dtype: DType::F32,
            dims: vec![SignatureDim::Symbol("batch".to_owned()), SignatureDim::Const(3)],
        };
        Ok(ModelSignature { inputs: vec![port("x")], outputs: vec![port("y")], sha256: "c0ffee".to_owned() })
    }

    fn weights(&self, _path: &str) -> Result<Weights, String> {
        let tensor = |name: &str, shape: &[u64]| WeightTensor { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec() };
        let tensors = vec![tensor("mix.weight", &[3, 3]), tensor("mix.bias", &[3]), tensor("features.0.weight", &[16, 3, 3, 3])];
        Ok(Weights { tensors, sha256: "c0105".to_owned() })
    }
}
