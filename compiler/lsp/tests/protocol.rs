//! The server, driven through the protocol over pipes in memory.

use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

/// A client that waits for each answer.
struct Client {
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
    next: i64,
    notifications: VecDeque<Value>,
    version: i64,
}

impl Client {
    async fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let framed = format!("Content-Length: {}\r\n\r\n{text}", text.len());
        self.output.write_all(framed.as_bytes()).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.input.read_line(&mut line).await.unwrap() > 0, "the server is gone");
            match line.trim().split_once(": ") {
                Some(("Content-Length", number)) => length = number.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    /// The whole answer to a request, an error included.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        loop {
            let message = self.receive().await;
            if message["id"] == id {
                return message;
            }
            self.notifications.push_back(message);
        }
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The next diagnostics of a document.
    async fn diagnostics(&mut self, uri: &str) -> Vec<Value> {
        let wanted = |message: &Value| message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri;
        loop {
            if let Some(at) = self.notifications.iter().position(wanted) {
                return self.notifications.remove(at).unwrap()["params"]["diagnostics"].as_array().unwrap().clone();
            }
            let message = self.receive().await;
            self.notifications.push_back(message);
        }
    }

    /// Waits until the server has new hints, and confirms that.
    async fn refreshed(&mut self) {
        let wanted = |message: &Value| message["method"] == "workspace/inlayHint/refresh";
        loop {
            if let Some(at) = self.notifications.iter().position(wanted) {
                let id = self.notifications.remove(at).unwrap()["id"].clone();
                return self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null })).await;
            }
            let message = self.receive().await;
            self.notifications.push_back(message);
        }
    }

    /// The lines and labels of all hints of a document.
    async fn hints(&mut self, uri: &str) -> Vec<(u64, String)> {
        let everything = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 1000, "character": 0 } });
        let hints = self.request("textDocument/inlayHint", json!({ "textDocument": { "uri": uri }, "range": everything })).await;
        let line = |hint: &Value| hint["position"]["line"].as_u64().unwrap();
        hints.as_array().unwrap().iter().map(|hint| (line(hint), hint["label"].as_str().unwrap().to_owned())).collect()
    }

    async fn open(&mut self, uri: &str, text: &str) -> Vec<Value> {
        let document = json!({ "uri": uri, "languageId": "mlp", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document })).await;
        self.diagnostics(uri).await
    }

    async fn edit(&mut self, uri: &str, changes: Value) -> Vec<Value> {
        self.version += 1;
        let document = json!({ "uri": uri, "version": self.version });
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes })).await;
        self.diagnostics(uri).await
    }

    async fn at(&mut self, method: &str, uri: &str, position: Value) -> Value {
        self.request(method, json!({ "textDocument": { "uri": uri }, "position": position })).await
    }
}

/// Runs a conversation with a server that was initialized.
fn converse<F: AsyncFnOnce(&mut Client)>(talk: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(theirs);
        let (read, write) = tokio::io::split(ours);
        let mut client = Client { input: BufReader::new(read), output: write, next: 0, notifications: VecDeque::new(), version: 1 };
        let conversation = async {
            let capabilities = json!({ "workspace": { "inlayHint": { "refreshSupport": true } } });
            let answer = client.request("initialize", json!({ "capabilities": capabilities })).await;
            assert_eq!(answer["serverInfo"]["name"], "mlpc");
            client.notify("initialized", json!({})).await;
            talk(&mut client).await;
            client.request("shutdown", Value::Null).await;
            client.notify("exit", Value::Null).await;
        };
        tokio::join!(mlp_lsp::serve(input, output), conversation);
    });
}

const SOURCE: &str = r#"edition 2026

use std.tensor.{ softmax }
use std.vision.{ resize, normalize, to_nchw }

/// The pixels as they are wanted.
pipeline Prepare(photo: image<rgb>) -> f32[1, 3, 64, 64] {
  return photo
    |> resize(64x64, crop = center)
    |> normalize(mean = 127.125, std = 127.125)
    |> to_nchw
}

pipeline Both(x: f32[10]) -> { soft: f32[10], twice: f32[10] } {
  soft = x |> softmax
  return { soft, twice = soft + soft } // 😀 after
}
"#;

/// The position of `needle` in a text, moved by `by` characters.
fn position(text: &str, needle: &str, by: usize) -> Value {
    let at = text.find(needle).unwrap_or_else(|| panic!("no {needle}")) + by;
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    json!({ "line": line, "character": text[start..at].encode_utf16().count() })
}

const URI: &str = "file:///project/a%20package/main.mlp";

#[test]
fn diagnostics_follow_edits() {
    converse(async |client| {
        assert_eq!(client.open(URI, SOURCE).await, Vec::<Value>::new());
        let start = position(SOURCE, "softmax\n  return", 0);
        let mut end = start.clone();
        end["character"] = json!(end["character"].as_u64().unwrap() + 7);
        let found = client.edit(URI, json!([{ "range": { "start": start, "end": end }, "text": "softmx" }])).await;
        let unknown = found.iter().find(|one| one["code"] == "E0101").expect("an unknown name");
        assert_eq!(unknown["range"]["start"], start);
        assert_eq!((&unknown["severity"], &unknown["source"]), (&json!(1), &json!("mlp")));
        assert!(found.iter().any(|one| one["code"] == "E0109" && one["tags"] == json!([1])), "the import is unused: {found:?}");

        let actions = client
            .request(
                "textDocument/codeAction",
                json!({ "textDocument": { "uri": URI }, "range": { "start": start, "end": start }, "context": { "diagnostics": [] } }),
            )
            .await;
        let action = &actions[0];
        assert_eq!((&action["title"], &action["kind"]), (&json!("Write `softmax`"), &json!("quickfix")));
        assert_eq!(action["edit"]["changes"][URI][0]["newText"], "softmax");
        let fixed = client.edit(URI, json!([{ "text": SOURCE }])).await;
        assert_eq!(fixed, Vec::<Value>::new());
    });
}

#[test]
fn a_file_that_is_open_counts_instead_of_the_one_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("types.mlp", "edition 2026\n\npipeline Twice(x: f32[2]) -> f32[2] {\n  return x + x\n}\n");
    let main = "edition 2026\n\nuse \"./types.mlp\".{ Twice }\n\npipeline P(x: f32[2]) -> f32[2] {\n  return x |> Twice\n}\n";
    write("main.mlp", main);
    let uri = |name: &str| format!("file://{}", folder.path().join(name).display());
    converse(async |client| {
        assert_eq!(client.open(&uri("main.mlp"), main).await, Vec::<Value>::new());
        let other = "edition 2026\n\npipeline Double(x: f32[2]) -> f32[2] {\n  return x + x\n}\n";
        client.open(&uri("types.mlp"), other).await;
        let found = client.diagnostics(&uri("main.mlp")).await;
        assert_eq!(found[0]["code"], "E0104", "{found:?}");
        client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri("types.mlp") } })).await;
        assert_eq!(client.diagnostics(&uri("main.mlp")).await, Vec::<Value>::new());
        // Across files.
        let place = position(main, "Twice\n}", 1);
        let location = client.at("textDocument/definition", &uri("main.mlp"), place.clone()).await;
        assert_eq!((&location["uri"], &location["range"]["start"]["line"]), (&json!(uri("types.mlp")), &json!(2)));
        let renamed = client
            .request("textDocument/rename", json!({ "textDocument": { "uri": uri("main.mlp") }, "position": place, "newName": "Again" }))
            .await;
        assert_eq!(renamed["changes"][uri("types.mlp")].as_array().unwrap().len(), 1, "{renamed}");
        assert_eq!(renamed["changes"][uri("main.mlp")].as_array().unwrap().len(), 2, "{renamed}");
    });
}

#[test]
fn hover_tells_types_and_docs() {
    converse(async |client| {
        client.open(URI, SOURCE).await;
        for (needle, by, expected) in [
            ("soft = x", 1, "soft: f32[10]"),
            ("x |> softmax", 0, "(parameter) x: f32[10]"),
            ("resize(64x64", 2, "Here it gives `f32[64, 64, 3]`"),
            ("resize(64x64", 2, "intrinsic pipeline resize("),
            ("Prepare(photo", 2, "The pixels as they are wanted."),
            ("image<rgb>", 1, "A photo of any size"),
        ] {
            let hover = client.at("textDocument/hover", URI, position(SOURCE, needle, by)).await;
            let text = hover["contents"]["value"].as_str().unwrap_or_default();
            assert!(text.contains(expected), "{needle}: {hover}");
        }
        let units = "edition 2026\n\npipeline P(x: f32[1]) -> f32[1] {\n  return x @timeout(16ms)\n}\n";
        client.open("file:///u.mlp", units).await;
        let hover = client.at("textDocument/hover", "file:///u.mlp", position(units, "16ms", 1)).await;
        assert!(hover["contents"]["value"].as_str().unwrap().contains("time, 0.016 seconds"), "{hover}");
    });
}

#[test]
fn names_lead_to_definitions_and_uses() {
    converse(async |client| {
        client.open(URI, SOURCE).await;
        let location = client.at("textDocument/definition", URI, position(SOURCE, "soft + soft", 1)).await;
        assert_eq!(location["range"]["start"], position(SOURCE, "soft = x", 0));
        let location = client.at("textDocument/definition", URI, position(SOURCE, "softmax\n  return", 1)).await;
        assert_eq!(location["uri"], "mlp-std:/std.tensor.mlp");
        let text = client.request("mlp/library", json!({ "uri": location["uri"] })).await;
        let line = location["range"]["start"]["line"].as_u64().unwrap() as usize;
        assert!(text.as_str().unwrap().lines().nth(line).unwrap().contains("pipeline softmax"), "{text}");
        let method = "edition 2026\n\npipeline P(x: f32[10]) -> f32[10] {\n  return x.softmax()\n}\n";
        client.open("file:///m.mlp", method).await;
        let there = client.at("textDocument/definition", "file:///m.mlp", position(method, "softmax", 2)).await;
        assert_eq!(there, location, "a method is the pipeline of the library");
        let params = json!({ "textDocument": { "uri": URI }, "position": position(SOURCE, "soft = x", 1), "context": { "includeDeclaration": true } });
        let found = client.request("textDocument/references", params).await;
        assert_eq!(found.as_array().unwrap().len(), 4, "{found}");
        let here = client.at("textDocument/documentHighlight", URI, position(SOURCE, "soft = x", 1)).await;
        assert_eq!(here.as_array().unwrap().len(), 4);
    });
}

#[test]
fn renaming_keeps_what_is_said() {
    converse(async |client| {
        client.open(URI, SOURCE).await;
        let rename = |place: Value, name: &str| json!({ "textDocument": { "uri": URI }, "position": place, "newName": name });
        let edits = client.request("textDocument/rename", rename(position(SOURCE, "soft = x", 1), "gentle")).await;
        let texts: Vec<&str> = edits["changes"][URI].as_array().unwrap().iter().map(|edit| edit["newText"].as_str().unwrap()).collect();
        assert_eq!(texts, ["gentle", "soft = gentle", "gentle", "gentle"], "the field keeps its name");
        let edits = client.request("textDocument/rename", rename(position(SOURCE, "soft: f32", 1), "gentle")).await;
        let texts: Vec<&str> = edits["changes"][URI].as_array().unwrap().iter().map(|edit| edit["newText"].as_str().unwrap()).collect();
        assert_eq!(texts, ["gentle", "gentle = soft"], "the value keeps its name");
        for (needle, name) in
            [("soft = x", "x"), ("soft = x", "1a"), ("soft = x", "return"), ("softmax }", "other"), ("edition", "a"), ("Both", "Prepare")]
        {
            let answer = client.ask("textDocument/rename", rename(position(SOURCE, needle, 1), name)).await;
            assert!(answer["error"]["message"].is_string(), "{needle} to {name}: {answer}");
        }
    });
}

#[test]
fn completion_knows_where_it_is() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("pip|", &["pipeline", "model", "outlet"], &["softmax"]),
        ("use std.|", &["vision", "tensor"], &["model"]),
        ("use std.vision.{ | }", &["resize", "normalize"], &["softmax"]),
        ("hook useP for P {\n  |\n}", &["prefer"], &["epsilon"]),
        ("budget B {\n  epsilon = 1.0\n  |\n}", &["delta"], &["epsilon", "source"]),
        ("hook useP for P { prefer = [|] }", &["webgpu", "wasm"], &["Prepare"]),
        ("pipeline Q(x: f32[1]) -> f32[1] {\n  return x @|\n}", &["timeout", "cache"], &["x"]),
        ("pipeline Q(x: f32[1]) -> f32[1] {\n  y = x\n  return |\n}", &["x", "y", "Prepare", "top_k"], &["timeout"]),
        (
            "pipeline Q(x: f32[1]) -> f32[1] {\n  return x |> |",
            &["softmax", "Prepare", "argmax"],
            &["x", "dense", "center_crop", "wordpiece"],
        ),
        ("pipeline Q(x: image<rgb>) -> f32[1] {\n  y = x |> |\n}", &["resize", "Prepare", "letterbox"], &["argmax", "wordpiece"]),
        ("pipeline Q(x: image<rgb>) -> f32[1] {\n  y = Both(x |> cr|", &["letterbox"], &["argmax"]),
        ("model M {\n  source = safetensors(\"./m.safetensors\")\n  layers {\n    return x |> |", &["dense", "relu"], &[]),
        ("pipeline Q(x: |", &["f32", "image"], &["Prepare"]),
        ("pipeline Q(x: image<rgb>) -> f32[1] {\n  y = x |> resize(|)", &["size", "crop"], &[]),
        ("pipeline Q(x: image<rgb>) -> f32[1] {\n  y = x |> resize(8x8, crop = |)", &["center", "none"], &["x"]),
        ("pipeline Q(x: f32[1]) -> f32[1] {\n  return x @timeout(16|)\n}", &["ms", "s", "MiB"], &["x"]),
        ("pipeline Q(x: f32[10]) -> f32[10] {\n  a = Both(x)\n  return a.|\n}", &["soft", "twice", "softmax"], &["x"]),
        ("pipeline Q(x: f32[10]) -> f32[10] {\n  return x.|\n}", &["softmax", "max"], &["x", "Both"]),
        ("outlet O from |", &["Both", "Prepare"], &["f32"]),
        ("outlet O from Both.| {\n}", &["soft", "twice"], &[]),
        ("model M {\n  licence = |\n}", &["Apache-2.0", "MIT"], &["Both"]),
        ("// |", &[], &["pipeline"]),
    ];
    converse(async |client| {
        client.open(URI, SOURCE).await;
        for (case, wanted, unwanted) in cases {
            let at = case.replace("|>", "&&").find('|').unwrap();
            let text = format!("{SOURCE}\n{}{}", &case[..at], &case[at + 1..]);
            client.edit(URI, json!([{ "text": text }])).await;
            let before = &text[..SOURCE.len() + 1 + at];
            let place = json!({ "line": before.matches('\n').count(), "character": before.len() - before.rfind('\n').unwrap() - 1 });
            let items = client.at("textDocument/completion", URI, place).await;
            let labels: Vec<&str> =
                items.as_array().map_or(Vec::new(), |items| items.iter().map(|item| item["label"].as_str().unwrap()).collect());
            for label in *wanted {
                assert!(labels.contains(label), "{case}: {label} is not in {labels:?}");
            }
            for label in *unwanted {
                assert!(!labels.contains(label), "{case}: {label} is in {labels:?}");
            }
        }
        // What takes the value comes before what does not.
        let piped = format!("{SOURCE}\npipeline Q(x: f32[10]) -> f32[10] {{\n  y = x |> \n}}\n");
        client.edit(URI, json!([{ "text": piped }])).await;
        let mut place = position(&piped, "  y = x |> \n", 0);
        place["character"] = json!(11);
        let items = client.at("textDocument/completion", URI, place).await;
        let rank = |label: &str| items.as_array().unwrap().iter().position(|item| item["label"] == label).unwrap();
        assert!(rank("Both") < rank("Prepare") && rank("relu") < rank("Prepare"), "{items}");
        // A name in another pipeline is another value.
        let two = format!("{SOURCE}\npipeline Q(x: f32[7]) -> f32[7] {{\n  y = x\n  return \n}}\n");
        client.edit(URI, json!([{ "text": two }])).await;
        let mut place = position(&two, "  return \n}", 0);
        place["character"] = json!(9);
        let items = client.at("textDocument/completion", URI, place).await;
        assert_eq!(items.as_array().unwrap().iter().filter(|item| item["label"] == "x").count(), 1);
        assert!(!items.to_string().contains("\"detail\":\"f32[10]\""), "{items}");
        // What is not imported brings its import.
        let text = SOURCE.replace("x |> softmax", "x |> arg");
        client.edit(URI, json!([{ "text": text }])).await;
        let items = client.at("textDocument/completion", URI, position(&text, "x |> arg", 8)).await;
        let item = items.as_array().unwrap().iter().find(|item| item["label"] == "argmax").unwrap();
        assert_eq!(item["additionalTextEdits"][0]["newText"], ", argmax");
        assert_eq!(item["textEdit"]["range"]["start"], position(&text, "arg\n", 0));
    });
}

#[test]
fn files_are_completed_where_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    for name in ["digits.onnx", "digits.txt", "digits.safetensors", "cup.JPG", "other.mlp", ".hidden", "models/tiny.onnx"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let uri = format!("file://{}", folder.path().join("main.mlp").display());
    converse(async |client| {
        client.open(&uri, "edition 2026\n").await;
        for (case, expected) in [
            ("model M {\n  source = onnx(\"|\")\n}", &["./digits.onnx", "./models/"][..]),
            ("model M {\n  source = onnx(\"./|\")\n}", &["digits.onnx", "models/"]),
            ("model M {\n  source = onnx(\"./models/t|", &["tiny.onnx"]),
            ("model M {\n  output y: f32[3] @labels(\"./|", &["digits.txt", "models/"]),
            ("use \"./|", &["models/", "other.mlp"]),
            ("test \"t\" {\n  expect P(image(\"./|", &["cup.JPG", "models/"]),
            ("model M {\n  licence = \"|\"\n}", &[]),
            ("model M {\n  source = onnx(\"./nowhere/|\")\n}", &[]),
        ] {
            let at = case.find('|').unwrap();
            let text = format!("edition 2026\n\n{}{}", &case[..at], &case[at + 1..]);
            client.edit(&uri, json!([{ "text": text }])).await;
            let before = &text[..14 + at];
            let place = json!({ "line": before.matches('\n').count(), "character": before.len() - before.rfind('\n').unwrap() - 1 });
            let items = client.at("textDocument/completion", &uri, place).await;
            let written: Vec<&str> = items.as_array().unwrap().iter().map(|item| item["textEdit"]["newText"].as_str().unwrap()).collect();
            assert_eq!(written, expected, "{case}");
        }
    });
}

#[test]
fn a_call_says_what_it_takes_while_it_is_written() {
    converse(async |client| {
        client.open(URI, SOURCE).await;
        for (case, label, active) in [
            ("x |> resize(|", "resize(photo: image<rgb>, size: size,", Some("size: size")),
            ("x |> resize(8x8, |)", "resize(photo: image<rgb>, size: size,", Some("crop: center | none = none")),
            ("x |> resize(8x8, filter = |", "resize(photo: image<rgb>,", Some("filter: nearest | bilinear | bicubic | lanczos = bilinear")),
            ("Prepare(|", "Prepare(", None),
            ("a.max(|", "max(", None),
            ("top_k(softmax(x), |", "top_k(", Some("count: number")),
        ] {
            let at = case.replace("|>", "&&").find('|').unwrap();
            let text = format!("{SOURCE}\npipeline Q(x: image<rgb>) -> f32[1] {{\n  y = {}{}\n", &case[..at], &case[at + 1..]);
            client.edit(URI, json!([{ "text": text }])).await;
            let place = json!({ "line": text.matches('\n').count() - 1, "character": 6 + at });
            let help = client.at("textDocument/signatureHelp", URI, place).await;
            let signature = &help["signatures"][0];
            assert!(signature["label"].as_str().is_some_and(|shown| shown.starts_with(label)), "{case}: {help}");
            if let Some(active) = active {
                let index = help["activeParameter"].as_u64().unwrap_or_else(|| panic!("{case}: {help}")) as usize;
                assert_eq!(signature["parameters"][index]["label"], active, "{case}");
            }
        }
        client.edit(URI, json!([{ "text": SOURCE }])).await;
        assert!(client.at("textDocument/signatureHelp", URI, json!({ "line": 0, "character": 0 })).await.is_null());
    });
}

#[test]
fn outline_colours_hints_and_format() {
    converse(async |client| {
        client.open(URI, SOURCE).await;
        let document = json!({ "textDocument": { "uri": URI } });
        let symbols = client.request("textDocument/documentSymbol", document.clone()).await;
        let names: Vec<&str> = symbols.as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Prepare", "Both"]);
        let inner: Vec<&str> = symbols[1]["children"].as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
        assert_eq!(inner, ["x", "soft", "twice", "soft"]);

        let tokens = client.request("textDocument/semanticTokens/full", document.clone()).await;
        let data = tokens["data"].as_array().unwrap();
        assert!(data.len() > 200 && data.len() % 5 == 0);
        let length = data.chunks(5).next_back().unwrap()[2].as_u64().unwrap();
        assert_eq!(length, "// 😀 after".encode_utf16().count() as u64, "lengths count UTF-16 units");

        let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
        let hints = client.request("textDocument/inlayHint", json!({ "textDocument": { "uri": URI }, "range": range })).await;
        let hints: Vec<(u64, &str)> = hints
            .as_array()
            .unwrap()
            .iter()
            .map(|hint| (hint["position"]["line"].as_u64().unwrap(), hint["label"].as_str().unwrap()))
            .collect();
        assert_eq!(hints, [(8, "f32[64, 64, 3] · 48 KiB"), (9, "f32[64, 64, 3] · 48 KiB"), (14, ": f32[10] · 40 B")]);

        let private = "edition 2026\n\npipeline Score(x: f32[3]) -> f32[3] {\n  return x.softmax()\n}\n\nbudget Clinic {\n  unit    = user\n  epsilon = 1.0\n}\n\n\
                       outlet Sharing from Score {\n  spend     = Clinic\n  mechanism = laplace(epsilon = 0.1)\n  at_most   = 4\n}\n";
        assert_eq!(client.open("file:///p.mlp", private).await, Vec::<Value>::new());
        let hints = client.hints("file:///p.mlp").await;
        let of_privacy: Vec<&(u64, String)> = hints.iter().filter(|(_, label)| label.starts_with("epsilon")).collect();
        let expected = [&(6, "epsilon 0.4 of 1 spent".to_owned()), &(11, "epsilon 0.1 × 4".to_owned())];
        assert_eq!(of_privacy, expected, "what a release costs, and what it leaves");

        let format = json!({ "textDocument": { "uri": URI }, "options": { "tabSize": 4, "insertSpaces": false } });
        assert_eq!(client.request("textDocument/formatting", format.clone()).await, json!([]));
        client.edit(URI, json!([{ "text": SOURCE.replace("soft = x", "soft   =   x") }])).await;
        assert_eq!(client.request("textDocument/formatting", format.clone()).await[0]["newText"], SOURCE);
        client.edit(URI, json!([{ "text": "pipeline {" }])).await;
        assert_eq!(client.request("textDocument/formatting", format).await, Value::Null);
    });
}

#[test]
fn models_and_pipelines_say_what_they_cost_until_the_text_changes() {
    let folder = tempfile::tempdir().unwrap();
    let digits = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sk_digits_mlp.onnx");
    std::fs::copy(digits, folder.path().join("digits.onnx")).unwrap();
    let source = "edition 2026\n\nuse std.tensor.{ unbatch }\n\nmodel Digits {\n  source = onnx(\"./digits.onnx\")\n  input  X: f32[N, 64]\n  \
                  output probabilities: f32[N, 10]\n}\n\npipeline One(x: f32[1, 64]) -> f32[10] {\n  return x |> Digits |> unbatch\n}\n\n\
                  pipeline Eight(x: f32[8, 64]) -> f32[8, 10] {\n  return x |> Digits\n}\n";
    let path = folder.path().join("main.mlp");
    std::fs::write(&path, source).unwrap();
    let uri = format!("file://{}", path.display());
    converse(async |client| {
        assert_eq!(client.open(&uri, source).await, Vec::<Value>::new());
        client.refreshed().await;
        let hints = client.hints(&uri).await;
        let costs: Vec<(u64, &str)> = hints.iter().filter_map(|(line, label)| Some((*line, label.split_once(" MACs")?.0))).collect();
        assert_eq!(costs, [(4, MACS_OF_ONE), (10, MACS_OF_ONE), (14, MACS_OF_EIGHT)], "{hints:?}");
        // What is typed makes them those of another text, until it is saved.
        let end = json!({ "line": 16, "character": 1 });
        let typed = json!([{ "range": { "start": end, "end": end }, "text": "\n" }]);
        client.edit(&uri, typed).await;
        assert!(!client.hints(&uri).await.iter().any(|(_, label)| label.contains("MACs")));
        client.notify("textDocument/didSave", json!({ "textDocument": { "uri": uri } })).await;
        client.refreshed().await;
        assert_eq!(client.hints(&uri).await.iter().filter(|(_, label)| label.contains("MACs")).count(), 3);
    });
}

/// 64 x 64 + 64 x 32 + 32 x 10, and as much for each of eight rows.
const MACS_OF_ONE: &str = "6.5 k";
const MACS_OF_EIGHT: &str = "51.7 k";

#[test]
fn hostile_input_is_answered() {
    let methods = [
        "textDocument/hover",
        "textDocument/completion",
        "textDocument/definition",
        "textDocument/references",
        "textDocument/documentHighlight",
        "textDocument/documentSymbol",
        "textDocument/prepareRename",
        "textDocument/rename",
        "textDocument/codeAction",
        "textDocument/inlayHint",
        "textDocument/semanticTokens/full",
        "textDocument/formatting",
    ];
    let far = json!({ "line": 4_000_000_000u32, "character": 4_000_000_000u32 });
    let params = |uri: &str, position: &Value| {
        json!({
            "textDocument": { "uri": uri }, "position": position, "newName": "a", "range": { "start": far, "end": position },
            "context": { "includeDeclaration": true, "diagnostics": [] }, "options": { "tabSize": 2, "insertSpaces": true },
        })
    };
    converse(async |client| {
        for uri in ["file:///not/open.mlp", "untitled:Untitled-1", "http://x/y.mlp", "mlp-std:/std.nothing.mlp", "x:"] {
            for method in methods {
                client.ask(method, params(uri, &far)).await;
            }
        }
        assert!(client.ask("mlp/library", json!({ "uri": "mlp-std:/../../etc/passwd" })).await["error"].is_object());
        assert!(client.ask("textDocument/hover", json!({ "textDocument": { "uri": "not a uri" } })).await["error"].is_object());
        assert!(client.ask("no/such/method", json!({})).await["error"].is_object());
        client
            .notify(
                "textDocument/didChange",
                json!({ "textDocument": { "uri": "file:///not/open.mlp", "version": 3 }, "contentChanges": [{ "text": "x" }] }),
            )
            .await;

        // An unsaved document, a text that is all emoji, ranges that lie outside and run backwards.
        let unsaved = "untitled:Untitled-1";
        client.open(unsaved, "edition 2026\n\"😀😀\n// é😀\r\nmodel 😀 {\n  a = [😀.").await;
        for line in 0..7 {
            for character in 0..12 {
                for method in methods {
                    client.ask(method, params(unsaved, &json!({ "line": line, "character": character }))).await;
                }
            }
        }
        let backwards = json!({ "start": far, "end": { "line": 0, "character": 0 } });
        client.edit(unsaved, json!([{ "range": backwards, "text": "😀" }, { "range": { "start": far, "end": far }, "text": "\n" }])).await;
        let inside = json!({ "start": { "line": 1, "character": 2 }, "end": { "line": 1, "character": 4 } });
        client.edit(unsaved, json!([{ "range": inside, "text": "x" }])).await;
        // And it still serves.
        assert_eq!(client.open(URI, SOURCE).await, Vec::<Value>::new());
    });
}

/// Every prefix of a file, as someone types it: every answer comes, and nothing panics.
#[test]
fn typing_a_file_never_breaks_the_server() {
    converse(async |client| {
        client.open(URI, "").await;
        for at in (0..SOURCE.len()).filter(|at| SOURCE.is_char_boundary(*at)).step_by(3) {
            let text = &SOURCE[..at];
            client.edit(URI, json!([{ "text": text }])).await;
            let place = json!({ "line": text.matches('\n').count(), "character": text[text.rfind('\n').map_or(0, |at| at + 1)..].encode_utf16().count() });
            for method in ["textDocument/completion", "textDocument/hover"] {
                client.at(method, URI, place.clone()).await;
            }
        }
    });
}
