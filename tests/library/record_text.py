"""`std.text` as the `tokenizers` library has it, and a transformer as ONNX Runtime computes it. A text is given as its bytes."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent / "examples" / "transformer"))
import tiny

LENGTH = 12


def given(text):
    return np.frombuffer(text.encode(), np.uint8)


def encoded(name, texts, length, most=None, side="right", cut="right", pad=None, special=True):
    tokenizer = Tokenizer.from_file(str(FOLDER / "text" / f"{name}.json"))
    number = tokenizer.token_to_id(pad)
    tokenizer.enable_padding(direction=side, pad_id=number, pad_token=pad, length=length)
    tokenizer.no_truncation()
    if most:
        tokenizer.enable_truncation(most, direction=cut)
    encoding = tokenizer.encode(*texts, add_special_tokens=special)
    row = lambda numbers: np.array([numbers], np.int64)
    return {"ids": row(encoding.ids), "mask": row(encoding.attention_mask), "types": row(encoding.type_ids)}


def transformer(tokens):
    """What the transformer of the examples says of a sentence; its weights are those of its file."""
    tiny.SENTENCES, tiny.LENGTH = 1, LENGTH
    model = tiny.model(tiny.weights()).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {"ids": tokens["ids"], "mask": tokens["mask"], "kinds": tokens["types"]}
    return session.run(None, inputs)[1][0]


def cases():
    sentence = "A licence grants rights."
    tokens = encoded("tiny", [sentence], LENGTH, LENGTH, pad="[PAD]")
    for pipeline in ("Sentence", "Averaged"):
        yield pipeline, {"words": given(sentence)}, {"value": transformer(tokens)}

    text = "Crème brûlée, 東京タワー \U0001f600 [MASK] unaffable!"
    yield "Words", {"words": given(text)}, encoded("wordpiece", [text], 24, 20, pad="[PAD]")

    question, answer = "How many tokens are there?", "That depends on the tokenizer, and on the text, of course: there may be more than twenty of them."
    both = encoded("wordpiece", [question, answer], 32, 32, pad="[PAD]")
    yield "Pair", {"question": given(question), "answer": given(answer)}, {
        "together": both["ids"],
        "types": both["types"],
        "question": encoded("wordpiece", [question], 8, 8, pad="[PAD]")["ids"],
        "answer": encoded("wordpiece", [answer], 8, 8, cut="left", pad="[PAD]")["ids"],
    }

    text = "Two  spaces, a <mask> and\nnaïve \U0001f468\u200d\U0001f469\u200d\U0001f467."
    tokens = encoded("bpe", [text], 40, 40, side="left", pad="<pad>")
    yield "Bytes", {"words": given(text)}, {"ids": tokens["ids"], "mask": tokens["mask"]}
    yield "Pieces", {"words": given(text)}, {"value": encoded("unigram", [text], 40, 40, pad="</s>", special=False)["ids"]}
