"""Makes the small tokenizers of `text/`, and records what the `tokenizers` library makes of many texts with them.

    venv/bin/python record_tokens.py

`text/<name>.json` is a tokenizer as the library saves it; `text/cases.json` holds the texts, and for each case a tokenizer, the texts by number, what
`std.text` is told, and the tokens. They are trained on the text of a licence and on the texts themselves: small, but with everything that large ones have.
Training breaks ties at random, so that a tokenizer that is there is not made again: delete its file first.
"""

import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
FOLDER = HERE / "text"

TEXTS = [
    "",
    " ",
    "\t\n\r \u00a0\u3000",
    "a",
    "Hello, world!",
    "  two  spaces   and a\ttab\nand a line\r\n",
    "The quick brown fox jumps over the lazy dog.",
    "THE QUICK BROWN FOX",
    "don't can't we'll they've I'm it's he'd you're DON'T CAN'T WE'LL",
    "Crème brûlée, naïve café, Ångström, jalapeño, Straße, İstanbul, ŁÓDŹ",
    "Cre\u0300me bru\u0302le\u0301e e\u0301\u0323 a\u0308\u0304",
    "ΣΊΣΥΦΟΣ και Σ",
    "Съешь ещё этих мягких французских булок",
    "今天天气很好。東京タワーは高い。",
    "我爱NLP和自然语言处理2024年",
    "안녕하세요 세계 각",
    "مرحبا بالعالم ١٢٣",
    "שלום עולם",
    "สวัสดีชาวโลก",
    "नमस्ते दुनिया क्षत्रिय",
    "\U0001f600 emoji \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd!",
    "\U00020000\U0002a6d6 \U0001d54f\U0001d552 \U0001d7d8",
    "con\u0000trol \u0007bell \u200bzero\u200dwidth \ufeffbom \u202eright\u0085next",
    "soft\u00adhyphen \u2028line\u2029paragraph \ufffdbroken",
    "ﬁne ﬂoor ①② ½ ㌔ ™ Ｆｕｌｌ ｗｉｄｔｈ ﾊﾝｶｸ",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "12345 3.14159 1,000,000 2024-05-17 0xFF 1e-5 ٣٤ ⅷ",
    "snake_case camelCase kebab-case path/to/file.txt user@example.com https://example.com/?q=1&r=2#x",
    "!!! ??? ... --- ___ *** ~~~ ``` ^^^ $$$ +++ === <<< >>> ||| \\\\\\",
    "“quoted” ‘single’ «guillemets» – — … · • § ¶ † ‡ € £ ¥ ¢",
    "[CLS] in text [SEP] and [MASK] or [UNK][PAD]",
    "[cls] [Sep] [ MASK ] [MASK]. x[MASK]y",
    "<s> in text </s> and <mask> or <unk><pad> <|endoftext|>",
    "a <mask> b  <mask>  c<mask>d",
    "covid-19 COVID-19 xcovid-19 covid-19x covid-19.",
    "▁ underline ▁▁ low_line",
    "trailing space ",
    " leading space",
    "multi\n\n\nline\n \n text  \n",
    "     indented code:\n    if x == 1:\n        return 'y'\n",
    "a\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301 zalgo",
    "ab" * 60,
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software",
    "WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.",
    "Wörter mit Umlauten: Äpfel, Öl, Übermut, süß, GROSS, groß",
    "e\u0328\u0301 q\u0307\u0323 \u1e69 \u017f\u0307 \u212b \u2126 \u212a",
    "\u0130 \u0131 I i \u01c5 \u1fb3 \u0345",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 flags 1\ufe0f\u20e3 keycap",
    "ก็ กำ น้ำ",
    "\u1100\u1161\u11a8 jamo \uac01",
    "Question: how many tokens does this sentence have? Answer: that depends on the tokenizer, of course; perhaps more than thirty-two of them.",
]


def texts_of_training():
    licence = (HERE.parent.parent / "LICENSE-APACHE").read_text()
    return licence.splitlines() + TEXTS * 3


def charsmap():
    """A table of replacements as SentencePiece makes it, for a few rules."""
    rules = {"ﬁ": "fi", "①": "1", "½": "1/2", "\u200b": " ", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": "", "\u00ad": "", "\ufeff": "", "e\u0301": "é", "Ａ": "A", "㌔": "キロ", "\u0007": "", "が": "ガ"}
    path = FOLDER / "rules.tsv"
    point = lambda text: " ".join(f"{ord(c):X}" for c in text)
    path.write_text("".join(f"{point(a)}\t{point(b)}\n" for a, b in sorted(rules.items())))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"] * 10),
        model_writer=model,
        vocab_size=12,
        normalization_rule_tsv=str(path),
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.unlink()
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def template(single, pair, names, tokenizer):
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts_of_training(), trainers.WordPieceTrainer(vocab_size=1200, special_tokens=special, show_progress=False))
    tokenizer.post_processor = template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"], tokenizer)
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    return tokenizer


def wordpiece_cased():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous")])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts_of_training(), trainers.WordPieceTrainer(vocab_size=1000, special_tokens=special, show_progress=False))
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("covid-19", single_word=True), AddedToken("low_line")])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    return tokenizer


def bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        texts_of_training(),
        trainers.BpeTrainer(vocab_size=1200, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def bpe_split():
    """As Llama 3 has it: an expression of its own, and words that are known as a whole."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    expression = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    special = ["<|endoftext|>", "<|begin|>"]
    tokenizer.train_from_iterator(
        texts_of_training(),
        trainers.BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), template("<|begin|> $A", "<|begin|> $A <|begin|>:1 $B:1", ["<|begin|>"], tokenizer)])
    return tokenizer


def bpe_bytes():
    """As Llama 2 has it: letters that are not known are bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    licence = (HERE.parent.parent / "LICENSE-APACHE").read_text().split("\n\n")
    tokenizer.train_from_iterator(licence, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False, max_token_length=12))
    tokenizer.post_processor = template("<s> $A", "<s> $A <s>:1 $B:1", ["<s>"], tokenizer)
    # What was kept apart while it was trained is found in texts only where it is meant so.
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = [token | {"normalized": token["id"] == 2} for token in file["added_tokens"] if token["id"] < 3]
    return Tokenizer.from_str(json.dumps(file))


def bpe_words():
    """As CLIP has it: an ending for words, and letters that are not known one by one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    licence = (HERE.parent.parent / "LICENSE-APACHE").read_text().split("\n\n")
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "<|pad|>"], end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(licence, trainer)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap()), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(texts_of_training(), trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = template("$A </s>", "$A </s> $B </s>", ["</s>"], tokenizer)
    return tokenizer


def unigram_bytes():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Replace("--", "—")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    licence = (HERE.parent.parent / "LICENSE-APACHE").read_text().splitlines()
    tokenizer.train_from_iterator(licence, trainers.UnigramTrainer(vocab_size=700, special_tokens=special, unk_token="<unk>", show_progress=False))
    file = json.loads(tokenizer.to_str())
    file["model"]["byte_fallback"] = True
    file["added_tokens"] = file["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.post_processor = template("<s> $A </s>", "<s> $A </s> $B </s>", ["<s>", "</s>"], tokenizer)
    return tokenizer


def tiny():
    """As few pieces as the small transformer of the examples has words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    licence = (HERE.parent.parent / "LICENSE-APACHE").read_text().splitlines()
    trainer = trainers.WordPieceTrainer(vocab_size=48, limit_alphabet=16, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(licence, trainer)
    tokenizer.post_processor = template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"], tokenizer)
    return tokenizer


TOKENIZERS = [tiny, wordpiece, wordpiece_cased, bpe, bpe_split, bpe_bytes, bpe_words, unigram, unigram_bytes]

PAIRS = [(4, 6), (53, 4), (45, 53), (0, 6), (35, 33)]


def case(tokenizer, name, texts, special=True, truncate=None):
    tokenizer.no_truncation()
    if truncate:
        tokenizer.enable_truncation(truncate["most"], direction=truncate["side"])
    encoding = tokenizer.encode(*[TEXTS[text] for text in texts], add_special_tokens=special)
    return {"tokenizer": name, "texts": list(texts), "special": special, "truncate": truncate, "ids": encoding.ids, "types": encoding.type_ids}


def cases(name, tokenizer):
    tokenizer.no_padding()
    for text in range(len(TEXTS)):
        yield case(tokenizer, name, [text])
    for text in (4, 9, 33, 36):
        yield case(tokenizer, name, [text], special=False)
    for side in ("left", "right"):
        for most in (4, 5, 12):
            for texts in [(4,), (53,), (0,), *PAIRS]:
                yield case(tokenizer, name, texts, truncate={"most": most, "side": side})
            yield case(tokenizer, name, (45,), special=False, truncate={"most": most, "side": side})
    for texts in PAIRS:
        yield case(tokenizer, name, texts)
        yield case(tokenizer, name, texts, special=False)


def main():
    FOLDER.mkdir(exist_ok=True)
    recorded = []
    for make in TOKENIZERS:
        path = FOLDER / f"{make.__name__}.json"
        if not path.exists():
            path.write_text(json.dumps(json.loads(make().to_str()), separators=(",", ":")) + "\n")
        tokenizer = Tokenizer.from_file(str(path))
        recorded += cases(make.__name__, tokenizer)
        print(make.__name__, tokenizer.get_vocab_size(), "pieces,", path.stat().st_size, "bytes")
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in recorded)
    (FOLDER / "cases.json").write_text(f'{{"texts":{json.dumps(TEXTS)},\n"cases":[\n{lines}\n]}}\n')
    print(len(recorded), "cases")


if __name__ == "__main__":
    main()
