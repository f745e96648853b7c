//! The commands that read and write sources: check, fmt, new, doc, explain.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What the compiler ended with, printed, and complained of.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn mlpc(arguments: &[&str], folder: &Path, input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mlpc"))
        .args(arguments)
        .current_dir(folder)
        .env("MLP_CACHE_DIR", folder.join(".cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mlpc runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it prints is UTF-8");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

const UGLY: &str = "edition 2026\n// kept\npipeline P(x:f32[1])->f32[1]{return x+x}\n";
const PRETTY: &str = "edition 2026\n\n// kept\npipeline P(x: f32[1]) -> f32[1] {\n  return x + x\n}\n";
const BROKEN: &str = "edition 2026\n\npipeline P(x: f32[1]) -> f32[1] {\n  return x +\n}\n";

#[test]
fn fmt_writes_what_differs_and_leaves_what_has_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["sub/node_modules", "target", ".hidden"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let ignored = ["sub/node_modules/x.mlp", "target/x.mlp", ".hidden/x.mlp", "text.txt"];
    for (name, text) in [("a.mlp", UGLY), ("sub/b.mlp", UGLY), ("c.mlp", PRETTY)].into_iter().chain(ignored.map(|name| (name, UGLY))) {
        fs::write(path(name), text).unwrap();
    }
    let run = mlpc(&["fmt", "--check"], folder.path(), "");
    assert_eq!((run.code, run.out.replace('\\', "/").as_str()), (Some(1), "a.mlp\nsub/b.mlp\n"), "{}", run.err);
    assert_eq!(fs::read_to_string(path("a.mlp")).unwrap(), UGLY, "--check writes nothing");

    fs::write(path("broken.mlp"), BROKEN).unwrap();
    let run = mlpc(&["fmt", "."], folder.path(), "");
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("broken.mlp:5") && run.err.contains("E0006"), "{}", run.err);
    assert!(run.err.contains("2 files formatted, 1 left as they were"), "{}", run.err);
    for (name, text) in [("a.mlp", PRETTY), ("sub/b.mlp", PRETTY), ("c.mlp", PRETTY), ("broken.mlp", BROKEN)] {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), text, "{name}");
    }
    for name in ignored {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), UGLY, "{name}");
    }
    fs::remove_file(path("broken.mlp")).unwrap();
    assert_eq!(mlpc(&["fmt", "--check", "a.mlp", "sub"], folder.path(), "").code, Some(0));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".mlpc-fmt-")), "{left:?}");

    let run = mlpc(&["fmt", "missing", "c.mlp"], folder.path(), "");
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("missing"), "{}", run.err);
    fs::write(path("bytes.mlp"), [0xff, 0xfe]).unwrap();
    let run = mlpc(&["fmt", "bytes.mlp"], folder.path(), "");
    assert!(run.code == Some(1) && run.err.contains("UTF-8"), "{}", run.err);
}

#[cfg(unix)]
#[test]
fn fmt_keeps_permissions_and_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("a.mlp"), folder.path().join("link.mlp"));
    fs::write(&file, UGLY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    let run = mlpc(&["fmt", "link.mlp"], folder.path(), "");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), PRETTY);
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);

    fs::write(&file, UGLY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    let run = mlpc(&["fmt", "a.mlp"], folder.path(), "");
    assert!(run.code == Some(1) && run.err.contains("read-only"), "{}", run.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), UGLY);
}

#[test]
fn fmt_passes_text_through() {
    let here = Path::new(ROOT);
    let run = mlpc(&["fmt", "--stdin"], here, UGLY);
    assert_eq!((run.code, run.out.as_str()), (Some(0), PRETTY), "{}", run.err);
    let run = mlpc(&["fmt", "--stdin"], here, BROKEN);
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
    assert!(run.err.contains("<stdin>:5"), "{}", run.err);
    assert_eq!(mlpc(&["fmt", "--stdin", "--check"], here, UGLY).code, Some(1));
    assert_eq!(mlpc(&["fmt", "--stdin", "--check"], here, PRETTY).code, Some(0));
    assert_eq!(mlpc(&["fmt", "--stdin", "a.mlp"], here, "").code, Some(2));
}

#[test]
fn explain_prints_a_page() {
    let here = Path::new(ROOT);
    for arguments in [&["explain", "E0203"][..], &["--explain", "e0203"]] {
        let run = mlpc(arguments, here, "");
        assert_eq!(run.code, Some(0), "{}", run.err);
        assert_eq!(run.out, fs::read_to_string(here.join("dsl-spec/errors/E0203.md")).unwrap());
    }
    let run = mlpc(&["--explain", "E0204x"], here, "");
    assert!(run.code == Some(2) && run.err.contains("E0204"), "{}", run.err);
    assert_eq!(mlpc(&[], here, "").code, Some(2));
    assert_eq!(mlpc(&["--explain", "E0203", "check", "x.mlp"], here, "").code, Some(2));
}

/// A package with an error and its fix, one with two places, and a warning, after a character outside the basic plane.
fn faulty(folder: &Path) {
    let text = "edition 2026\n\nuse std.tensor.{ softmax, argmax }\n\npipeline P(x: f32[3]) -> f32[3] {\n  return x |> softmx // 😀 100%, a: b\n}\n\npipeline P(x: f32[2]) -> f32[3] {\n  return x |> argmax\n}\n";
    fs::write(folder.join("a b.mlp"), text).unwrap();
}

#[test]
fn check_prints_stable_json() {
    let folder = tempfile::tempdir().unwrap();
    faulty(folder.path());
    let run = mlpc(&["check", "a b.mlp", "--format", "json"], folder.path(), "");
    assert_eq!(run.code, Some(1), "{}", run.err);
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 3, "{}", run.out);
    for line in &lines {
        let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "fix", "help", "labels", "message", "severity"]);
    }
    let unknown = lines.iter().find(|line| line["code"] == "E0101").expect("an unknown name");
    assert_eq!(unknown["severity"], "error");
    let label = &unknown["labels"][0];
    assert_eq!((&label["file"], &label["line"], &label["column"]), (&"a b.mlp".into(), &6.into(), &15.into()));
    assert_eq!((&label["end_line"], &label["end_column"]), (&6.into(), &21.into()));
    assert_eq!(unknown["fix"]["replacement"], "softmax");
}

#[test]
fn check_shows_people_the_first_of_many() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("edition 2026\n\npipeline P(x: f32[3]) -> f32[3] {{\n  return {}x\n}}\n", "(".repeat(20_000));
    std::fs::write(folder.path().join("main.mlp"), source).unwrap();
    let run = mlpc(&["check", "main.mlp"], folder.path(), "");
    assert_eq!(run.code, Some(1));
    assert!(run.err.lines().any(|line| line.starts_with("and ") && line.contains("--format json")), "{}", run.err);
    assert!(run.err.matches("E0003").count() <= 100);
}

#[test]
fn check_annotates_github() {
    let folder = tempfile::tempdir().unwrap();
    faulty(folder.path());
    let run = mlpc(&["check", "a b.mlp", "--format", "github"], folder.path(), "");
    assert_eq!(run.code, Some(1), "{}", run.err);
    let line = run.out.lines().find(|line| line.contains("E0101")).expect("an unknown name");
    assert!(line.starts_with("::error file=a b.mlp,line=6,col=15,endLine=6,endColumn=21,title=E0101%3A "), "{line}");
    assert!(line.contains("%0Aa b.mlp:6:15: did you mean `softmax`?"), "{line}");
    assert!(run.out.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")), "{}", run.out);
}

/// What section 3 of SARIF 2.1.0 requires of the objects that are used.
#[test]
fn check_writes_sarif() {
    let folder = tempfile::tempdir().unwrap();
    faulty(folder.path());
    fs::write(folder.path().join("right.mlp"), PRETTY).unwrap();
    for (file, right) in [("a b.mlp", false), ("right.mlp", true)] {
        let run = mlpc(&["check", file, "--format", "sarif"], folder.path(), "");
        assert_eq!(run.code, Some(i32::from(!right)), "{}", run.err);
        let log: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
        let [sarif_run] = log["runs"].as_array().unwrap().as_slice() else { panic!("one run") };
        let driver = &sarif_run["tool"]["driver"];
        assert_eq!(driver["name"], "mlpc");
        assert_eq!(sarif_run["columnKind"], "unicodeCodePoints");
        let rules = driver["rules"].as_array().unwrap();
        let results = sarif_run["results"].as_array().unwrap();
        assert_eq!(results.is_empty(), right);
        for result in results {
            let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            let related = result.get("relatedLocations").map_or(&[][..], |related| related.as_array().unwrap());
            for location in result["locations"].as_array().unwrap().iter().chain(related) {
                physical(&location["physicalLocation"]["artifactLocation"], &location["physicalLocation"]["region"]);
            }
            for fix in result.get("fixes").map_or(&[][..], |fixes| fixes.as_array().unwrap()) {
                for change in fix["artifactChanges"].as_array().unwrap() {
                    let replacements = change["replacements"].as_array().unwrap();
                    assert!(!replacements.is_empty());
                    for replacement in replacements {
                        physical(&change["artifactLocation"], &replacement["deletedRegion"]);
                        assert!(replacement["insertedContent"]["text"].is_string());
                    }
                }
            }
        }
        assert!(right || results.iter().any(|result| result.get("fixes").is_some() && result["ruleId"] == "E0101"));
        assert!(right || results.iter().any(|result| result.get("relatedLocations").is_some()));
    }
}

fn physical(artifact: &Value, region: &Value) {
    assert_eq!(artifact["uri"], "a%20b.mlp");
    let number = |key: &str| region[key].as_u64().unwrap();
    let (start, end) = ((number("startLine"), number("startColumn")), (number("endLine"), number("endColumn")));
    assert!(start.0 >= 1 && start.1 >= 1 && start <= end, "{region}");
}

#[test]
fn new_makes_a_project_that_builds() {
    let folder = tempfile::tempdir().unwrap();
    let run = mlpc(&["new", "tiles-2"], folder.path(), "");
    assert_eq!(run.code, Some(0), "{}", run.err);
    let project = folder.path().join("tiles-2");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(project.join("package.json")).unwrap()).unwrap();
    assert_eq!(manifest["name"], "tiles-2");
    assert_eq!(manifest["dependencies"]["@mlp/runtime"], env!("CARGO_PKG_VERSION"));
    for path in ["index.html", "vite.config.ts", "tsconfig.json", "src/main.ts", "src/style.css", ".gitignore"] {
        let text = fs::read_to_string(project.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!text.contains("{{"), "{path} is not filled in");
    }
    let run = mlpc(&["fmt", "--check"], &project, "");
    assert_eq!(run.code, Some(0), "{}", run.out);
    let run = mlpc(&["build", "src/tiles-2.mlp", "-o", "dist"], &project, "");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(fs::read_to_string(project.join("dist/index.d.ts")).unwrap().contains("Mosaic: Pipeline<"));
    let photo = Path::new(ROOT).join("examples/objects/espresso.png");
    let run = mlpc(&["run", "src/tiles-2.mlp", "--json", "--input", &format!("photo={}", photo.display())], &project, "");
    assert_eq!(run.code, Some(0), "{}", run.err);

    let before = fs::read_to_string(project.join("package.json")).unwrap();
    let run = mlpc(&["new", "tiles-2"], folder.path(), "");
    assert!(run.code == Some(1) && run.err.contains("not empty"), "{}", run.err);
    assert_eq!(fs::read_to_string(project.join("package.json")).unwrap(), before);
    for name in ["Tiles", "a b", "1st", "x/..", "ü"] {
        let run = mlpc(&["new", name], folder.path(), "");
        assert!(run.code == Some(1) && run.err.contains("name"), "{name}: {}", run.err);
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(mlpc(&["new", "."], &folder.path().join("empty"), "").code, Some(0));
    assert!(folder.path().join("empty/src/empty.mlp").exists());
}

#[test]
fn doc_writes_pages() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(ROOT).join("examples/objects/objects.mlp");
    let run = mlpc(&["doc", source.to_str().unwrap(), "-o", "out"], folder.path(), "");
    assert_eq!(run.code, Some(0), "{}", run.err);
    let page = fs::read_to_string(folder.path().join("out/index.html")).unwrap();
    assert!(page.contains("id=\"Classify\"") && page.contains("The five likeliest answers") && page.contains("id=\"Objects\""), "{page}");
    assert!(page.contains("href=\"std.vision.html\"") && !page.contains("<script"));
    let vision = fs::read_to_string(folder.path().join("out/std.vision.html")).unwrap();
    assert!(vision.contains("id=\"resize\"") && vision.contains("<code>crop = none</code>"), "{vision}");
    assert!(folder.path().join("out/style.css").exists());
    fs::write(folder.path().join("broken.mlp"), BROKEN).unwrap();
    let run = mlpc(&["doc", "broken.mlp", "-o", "other"], folder.path(), "");
    assert!(run.code == Some(1) && !folder.path().join("other").exists(), "{}", run.err);
}

#[test]
fn lsp_speaks_on_the_standard_streams() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mlpc"))
        .args(["lsp", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mlpc runs");
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut say = |message: Value| {
        let text = message.to_string();
        write!(input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    };
    let mut hear = || -> Value {
        let mut header = String::new();
        while !header.ends_with("\r\n\r\n") {
            assert!(output.read_line(&mut header).unwrap() > 0, "the server is gone");
        }
        let length = header.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
        let mut bytes = vec![0; length];
        output.read_exact(&mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    say(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "capabilities": {} } }));
    assert_eq!(hear()["result"]["capabilities"]["hoverProvider"], true);
    say(json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
    let document = json!({ "uri": "file:///a.mlp", "languageId": "mlp", "version": 1, "text": "pipeline" });
    say(json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument": document } }));
    let published = hear();
    assert_eq!(published["method"], "textDocument/publishDiagnostics");
    assert!(published["params"]["diagnostics"].as_array().unwrap().iter().any(|one| one["code"] == "E0105"), "{published}");
    say(json!({ "jsonrpc": "2.0", "id": 2, "method": "shutdown" }));
    assert_eq!(hear()["id"], 2);
    say(json!({ "jsonrpc": "2.0", "method": "exit" }));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
