"""Writes tests/golden/tokenizers: texts, and what transformers' tokenizers make of them.

    python tools/golden/tokenizer_ids.py [--train]

Files:
  texts.json      about 2,400 texts of many kinds (seeded)
  ids.json        per tokenizer: for each text the number of ids and a hash of them, all ids of the
                  first texts, and hashes of padded and cut ids
  unicode.json    hashes over all code points of what the `tokenizers` library knows about them
  clip/           the real CLIP vocabulary (PyPI package open_clip_torch, MIT licence): merges.u16
                  holds two token ids per merge, from which a test makes vocab.json and merges.txt
  t5/, t5_bytes/  small SentencePiece models of T5's kind; --train trains them again (on the texts
                  and on docstrings of Python's standard library): nmt_nfkc like the real one, and
                  with byte pieces and no character map

The oracle calls tokenizers as diffusers' FluxPipeline does. A hash is FNV-1a, 64 bits, over the ids
as 32-bit little-endian words.
"""

import gzip
import json
import os
import pathlib
import random
import shutil
import struct
import sys
import tempfile

import sentencepiece
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import CLIPTokenizer, T5TokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/tokenizers"
BUNDLED = ROOT / "models/emoji-flux"
FULL = 60  # texts whose ids are written out
LENGTHS = (8, 64, 77, 256, 512)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def hash_ids(ids):
    return fnv1a(struct.pack(f"<{len(ids)}i", *ids))


# ---- texts ----------------------------------------------------------------------------------------

LATIN = "abcdefghijklmnopqrstuvwxyz"
ACCENTED = "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿāăąćĉčďđēęěğģħĩīıĵķłńňŋōőœŕřśşšţťũůűųŵŷźżžſƀǅǆȘșßẞÀÉÎÕÜÇÑØÆŒŁĞİŻ"
GREEK = "αβγδεζηθικλμνξοπρστυφχψωςΑΒΓΔΣΩάέήίόύώϊΐ"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЁёЙйҐґЇїѢѣ"
CJK = "的一是不了在人有我他这中大来上国龍猫犬山川木本日月火水金土愛夢赤青紅蘋果々〇㐂𠮷𪚥"
KANA = "あいうえおかきくけこがぎぐげごぱぴぷぺぽアイウエオヴガギグゲゴパピプｱｲｳﾞﾟーっッ々"
HANGUL = "가각간한국어사과빨강" + "".join(map(chr, range(0x1100, 0x1110))) + "".join(map(chr, range(0x1161, 0x1170))) + "".join(map(chr, range(0x11A8, 0x11B8)))
RTL = "אבגדהוזחטיכלמנסעפצקרשתםןךףץ" + "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئىةﷲﷺﻻ" + "ֱָּׁ" + "ًٌٍَُِّْ"
INDIC = "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहािीुूृेैोौ्ंःँ़" + "কখগঘािীে্য়ড়" + "தமிழ்" + "กขคงจฉชซญ่้๊๋ำะาิีึืุูเแโใไ"
EMOJI = ["😀", "🍎", "🐱", "🚀", "❤", "❤️", "✈️", "☎", "👍", "👍🏽", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇩🇪", "🇺🇳🇯", "1️⃣", "#️⃣", "🧑🏿‍🤝‍🧑🏻", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠", "🪿", "🐦‍🔥", "⌚", "☠️", "🤷🏼‍♀️"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\v", "\f", "\x85", "\u00a0", "\u1680", "\u2000", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2060", "\ufeff", "\u00ad", "\u180e", "\x00", "\x01", "\x07", "\x1b", "\x1f", "\x7f", "\x80", "\x9f", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\ufe0f", "\u034f"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("¡¿§¶©®°±×÷€£¥¢«»‹›“”‘’„‚–—…•·′″™℠ª²³¹¼½¾") + list("、。「」『』！？（）＜＞｜，．：；～＿％＆＃＠")
COMPATIBILITY = list("ﬀﬁﬂﬃﬄﬅſǄǆℌℍ№℡㎏㎡㈱㍿㋿①②③⑩Ⓐⓐ⒈ⅠⅣⅷ𝐀𝒜𝔄𝕬𝟎𝟙ＡＢｃ１２３ﾊﾝ㌔㌫ﷺﷲ…‥⁇‼⁉⁰⁵₂ﹰﹲﹴ")
MARKS = [chr(c) for c in (*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5C8), *range(0x64B, 0x660), 0x93C, 0x94D, 0x9BC, *range(0x1AB0, 0x1ACF), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x20F1), 0x3099, 0x309A, *range(0xFE20, 0xFE30), 0x1D165, 0x1D16E, 0x1E8D0)]
BASES = list("aeiouAEIOUnNcCsSzZyYqxI") + list("αωΩ") + list("가ᄀ") + list("かはア") + ["क", "ﬁ", "½", "ª", "<", ">", "=", "≮", "Å", "Å", "ế", "1"]
DIGITS = ["0", "7", "42", "1999", "3.14", "1,000,000", "1e-5", "0xFF", "٣٤", "१२", "५", "Ⅷ", "½", "²", "１２", "𝟗", "一二三", "৪", "1st", "2nd", "90s"]
CONTRACTIONS = ["it's", "IT'S", "don't", "DON'T", "we're", "We'Re", "I've", "I'VE", "I'm", "they'll", "THEY'LL", "he'd", "'s", "'sad", "''s", "'tis", "rock'n'roll", "o'clock", "dogs'", "it’s", "l'arbre", "'", "''", "'''ll", "!'s", "x'dx", "1's", "é's", "'\u017f", "'S's", "y'all'd've"]
LITERALS = ["<|startoftext|>", "<|endoftext|>", "<|StartOfText|>", "<|ENDOFTEXT|>", "<|endoftext", "|>", "<|", "endoftext|>", "</s>", "<pad>", "<unk>", "<s>", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "<extra_id_1", "＜unk＞", "＜pad＞", "＜/s＞", "<０x41>", "<0x41>", "<0x0A>", "</w>", "a</w>", "▁", "▁▁", "▁a", "a▁b", "[MASK]", "<mask>", "<sep>", "<cls>", "user", "<user>"]
WORDS = "a an the of and on in with photo picture red blue green teal purple background apple dog cat rocket face smiling heart house tree river mountain castle dragon astronaut riding horse watercolor painting highly detailed 8k trending cinematic lighting portrait beautiful woman man old young city street night sunset golden hour macro shot studio ghibli style pizza avocado chair robot helicopter banana".split()
SENTENCES = [
    "a photo of an astronaut riding a horse on mars, highly detailed, 8k",
    "Ein schönes Mädchen mit großen Äpfeln über Köln",
    "L'été dernier, j'ai mangé une pêche à Nîmes où il pleuvait",
    "El niño comió piñata mañana ¿verdad? ¡Sí!",
    "Zażółć gęślą jaźń — Příliš žluťoučký kůň",
    "İstanbul'da ışıklı ağaç, DİYARBAKIR",
    "Съешь же ещё этих мягких французских булок",
    "Ο ΟΔΥΣΣΕΥΣ και η θάλασσα",
    "一只可爱的猫坐在红色的沙发上",
    "赤い背景のりんごと青い空、夕焼け",
    "빨간 사과와 파란 하늘",
    "תפוח אדום על רקע לבן",
    "تفاحة حمراء على خلفية بيضاء",
    "लाल सेब सफेद पृष्ठभूमि पर",
    "แอปเปิ้ลสีแดงบนพื้นหลังสีขาว",
    "Một quả táo đỏ trên nền trắng",
    "red apple (isolated), f/2.8, ISO-100; #photo @studio 50% off!!! <3 :-) ^_^ C++ & C# -- \"quoted\"",
    "ＦＵＬＬＷＩＤＴＨ　ｔｅｘｔ　１２３",
    "Ǆabar ﬁnd oﬃce Ⅳ ½ № ™ ㎏",
    "Ḁ̈ ẛ̣ Å Å q̣̇ ế각",
]


def make_texts():
    rng = random.Random(20240801)
    pick = rng.choice

    def letters(alphabet, most):
        return "".join(pick(alphabet) for _ in range(rng.randint(1, most)))

    def cased(word):
        return pick([word, word, word.capitalize(), word.upper(), word.swapcase()])

    def marked():
        return "".join(pick(BASES) + "".join(pick(MARKS) for _ in range(rng.randint(0, 5))) for _ in range(rng.randint(1, 6)))

    def anything():
        while True:
            c = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x110000)])
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    kinds = {
        "words": lambda: " ".join(cased(pick(WORDS)) for _ in range(rng.randint(1, 14))),
        "ascii": lambda: "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randint(1, 40))),
        "accents": lambda: " ".join(letters(ACCENTED + LATIN, 9) for _ in range(rng.randint(1, 5))),
        "greek": lambda: " ".join(letters(pick([GREEK, CYRILLIC]), 9) for _ in range(rng.randint(1, 5))),
        "cjk": lambda: letters(CJK + KANA, 24),
        "hangul": lambda: letters(HANGUL, 16),
        "rtl": lambda: " ".join(letters(RTL, 9) for _ in range(rng.randint(1, 5))),
        "indic": lambda: " ".join(letters(INDIC, 9) for _ in range(rng.randint(1, 5))),
        "emoji": lambda: pick(["", " "]).join(pick(EMOJI) for _ in range(rng.randint(1, 8))),
        "marks": marked,
        "spaces": lambda: "".join(pick([pick(SPACES), pick(SPACES), pick(WORDS)]) for _ in range(rng.randint(1, 14))),
        "invisible": lambda: "".join(pick([pick(INVISIBLE), pick(WORDS), " "]) for _ in range(rng.randint(1, 10))),
        "punctuation": lambda: "".join(pick([pick(PUNCTUATION), pick(PUNCTUATION), pick(WORDS), " "]) for _ in range(rng.randint(1, 16))),
        "compatibility": lambda: "".join(pick([pick(COMPATIBILITY), pick(MARKS) if rng.random() < 0.3 else " ", pick(WORDS)]) for _ in range(rng.randint(1, 12))),
        "digits": lambda: pick(["", " ", ","]).join(pick(DIGITS) for _ in range(rng.randint(1, 6))),
        "contractions": lambda: pick([" ", "", "  "]).join(pick(CONTRACTIONS) for _ in range(rng.randint(1, 6))),
        "literals": lambda: "".join(pick([pick(LITERALS), pick(LITERALS), pick(SPACES), pick(WORDS), pick(PUNCTUATION)]) for _ in range(rng.randint(1, 8))),
        "runs": lambda: "".join(pick(list("aehlo.-_!=?~0/'") + ["ha", "xo", "的", "é", "😀", "."]) * rng.randint(1, 60) + pick(["", " "]) for _ in range(rng.randint(1, 3))),
        "anything": lambda: "".join(anything() for _ in range(rng.randint(1, 24))),
        "mixture": lambda: "".join(kinds[pick(["words", "accents", "cjk", "rtl", "emoji", "marks", "punctuation", "digits", "contractions", "spaces"])]() + pick(SPACES + [""]) for _ in range(rng.randint(2, 5))),
    }
    texts = ["", " ", "\n", "a", "A", "  a  ", "\u3000", "▁", "\x00", "a\x00b", "é", "e\u0301", "\u0301", "I\u0307", "İ", "ß", "ẞ", "ΑΣ", "ǅ"]
    texts += SENTENCES + CONTRACTIONS + LITERALS + DIGITS + EMOJI
    texts += [f"{a}{b}" for a in ("'s", "x", " ", "!") for b in ("'s", "'LL", "<|endoftext|>", "<|ENDOFTEXT|>!!", "<|ENDOFTEXT|><|STARTOFTEXT|>?")]
    for kind in kinds.values():
        texts += [kind() for _ in range(105)]
    texts += ["a" * 1000, "ab" * 700, "." * 999, " " * 1000 + "a" + " " * 1000, "e\u0301\u0327\u0323" * 200]
    texts += ["".join(kinds[pick(list(kinds))]() + " " for _ in range(400))[:10000] for _ in range(2)]
    texts += [" ".join(pick(WORDS) for _ in range(2000))[:10000], "".join(pick(CJK + KANA) for _ in range(3000)), "".join(pick(LATIN) for _ in range(10000))]
    return texts


# ---- tokenizer folders ----------------------------------------------------------------------------


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False} | flags


def byte_characters():
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    return [chr(b) for b in itself] + [chr(256 + i) for i in range(len(others))]


def make_clip(loaded):
    """The vocabulary in CLIP's order: bytes, bytes that end a word, merges, start, end. Compact in
    OUT/clip, and as transformers' files in the folder `loaded`, which is returned."""
    import open_clip

    path = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.open(path).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(m.split()) for m in merges]
    vocab = byte_characters()
    vocab += [c + "</w>" for c in vocab] + ["".join(m) for m in merges]
    ids = {t: i for i, t in enumerate(vocab)}
    assert len(ids) == len(vocab) == 49406
    folder = OUT / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "merges.u16").write_bytes(b"".join(struct.pack("<HH", ids[a], ids[b]) for a, b in merges))
    # As in the FLUX.1 repositories: the special tokens are looked for in normalized text.
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            "49406": token("<|startoftext|>", normalized=True, special=True),
            "49407": token("<|endoftext|>", normalized=True, special=True),
        },
        "bos_token": "<|startoftext|>", "clean_up_tokenization_spaces": True, "do_lower_case": True,
        "eos_token": "<|endoftext|>", "errors": "replace", "model_max_length": 77,
        "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    shutil.copy(folder / "tokenizer_config.json", loaded)
    ids |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    (loaded / "vocab.json").write_text(json.dumps(ids))
    (loaded / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return loaded


def train_t5(texts):
    corpus = [line.strip() for text in texts for line in text.splitlines()]
    lib = pathlib.Path(os.__file__).parent
    for path in sorted(lib.glob("*.py"))[:150]:
        corpus += [line.strip() for line in path.read_text().splitlines() if line.strip()[:1].isalpha()]
    corpus = [c for c in corpus if c and "\0" not in c]
    common = dict(model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2)
    common |= dict(shuffle_input_sentence=False, hard_vocab_limit=False, seed_sentencepiece_size=100000)
    for name, options in {
        "t5": dict(vocab_size=3000, character_coverage=0.9995, normalization_rule_name="nmt_nfkc", user_defined_symbols=["<user>"]),
        "t5_bytes": dict(vocab_size=1200, character_coverage=0.98, normalization_rule_name="identity", byte_fallback=True),
    }.items():
        (OUT / name).mkdir(parents=True, exist_ok=True)
        with open(OUT / name / "spiece.model", "wb") as file:
            sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=file, **common, **options)
    size = sentencepiece.SentencePieceProcessor(model_file=str(OUT / "t5/spiece.model")).get_piece_size()
    # As in the FLUX.1 repositories: extra ids take the whitespace around them with them.
    added = {str(i): token(t, special=True) for i, t in enumerate(["<pad>", "</s>", "<unk>"])}
    for i in range(100):
        added[str(size + i)] = token(f"<extra_id_{99 - i}>", lstrip=True, rstrip=True, special=True)
    config = {
        "added_tokens_decoder": added,
        "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)],
        "eos_token": "</s>", "extra_ids": 100, "legacy": True, "model_max_length": 512, "pad_token": "<pad>",
        "sp_model_kwargs": {}, "tokenizer_class": "T5Tokenizer", "unk_token": "<unk>",
    }  # fmt: skip
    (OUT / "t5/tokenizer_config.json").write_text(json.dumps(config, indent=0) + "\n")


# ---- the oracle -----------------------------------------------------------------------------------


def golden_ids(tokenizer, texts):
    all_ids = [tokenizer(text).input_ids for text in texts]
    padded = []
    for i in range(0, len(texts), 48):
        for length in LENGTHS:
            ids = tokenizer(texts[i], padding="max_length", max_length=length, truncation=True).input_ids
            padded.append([i, length, hash_ids(ids)])
    return {
        "vocab_size": len(tokenizer),
        "model_max_length": min(tokenizer.model_max_length, 2**31 - 1),
        "counts": [len(ids) for ids in all_ids],
        "hashes": "".join(hash_ids(ids)[:8] for ids in all_ids),
        "full": all_ids[:FULL],
        "padded": padded,
    }


def golden_unicode():
    """Per block of 65,536 code points a hash over each one's: letter, number or whitespace (a byte of
    bits 1, 2, 4), then NFC and lower case in UTF-8, each ended by 0xFF. And the same of sequences."""
    code_points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

    def matching(pattern):
        split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        found = set()
        for i in range(0, len(code_points), 4096):
            text = "".join(map(chr, code_points[i : i + 4096]))
            found.update(ord(c) for part, _ in split.pre_tokenize_str(text) for c in part)
        return found

    letter, number, space = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    nfc, lower = normalizers.NFC(), normalizers.Lowercase()
    planes = []
    for plane in range(17):
        data = bytearray()
        for c in range(plane << 16, (plane + 1) << 16):
            if 0xD800 <= c < 0xE000:
                continue
            data.append((c in letter) + 2 * (c in number) + 4 * (c in space))
            data += nfc.normalize_str(chr(c)).encode() + b"\xff" + lower.normalize_str(chr(c)).encode() + b"\xff"
        planes.append(fnv1a(data))

    # A mark of each kind before and after marks of the lowest and the highest class.
    data = bytearray()
    for c in code_points:
        if 0x300 <= c < 0x20000:
            data += nfc.normalize_str(f"q{chr(c)}\u0334").encode() + b"\xff"
            data += nfc.normalize_str(f"q\u0345{chr(c)}\u0301").encode() + b"\xff"
    marks = fnv1a(data)

    # T5's character map with a character of which it changes the neighbour.
    charsmap = T5TokenizerFast.from_pretrained(BUNDLED / "tokenizer_2").backend_tokenizer.normalizer
    data = bytearray()
    for c in code_points:
        if 0 < c < 0x20000:
            data += charsmap.normalize_str(f"\u00aa{chr(c)}x{chr(c)}\u00bd{chr(c)}\u0301").encode() + b"\xff"
    return {"planes": planes, "marks": marks, "charsmap": fnv1a(data)}


def main(scratch):
    texts = make_texts()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    if "--train" in sys.argv:
        train_t5(texts)
    folders = {
        "emoji_clip": (CLIPTokenizer, BUNDLED / "tokenizer"),
        "emoji_t5": (T5TokenizerFast, BUNDLED / "tokenizer_2"),
        "clip": (CLIPTokenizer, make_clip(scratch)),
        "t5": (T5TokenizerFast, OUT / "t5"),
        "t5_bytes": (T5TokenizerFast, OUT / "t5_bytes"),
    }
    golden = {name: golden_ids(kind.from_pretrained(folder), texts) for name, (kind, folder) in folders.items()}
    (OUT / "ids.json").write_text(json.dumps(golden, separators=(",", ":")).replace('"counts"', '\n"counts"').replace('"hashes"', '\n"hashes"').replace('"full"', '\n"full"').replace('"padded"', '\n"padded"') + "\n")
    (OUT / "unicode.json").write_text(json.dumps(golden_unicode() | {"tokenizers": tokenizers.__version__}, indent=1) + "\n")
    total = sum(p.stat().st_size for p in OUT.rglob("*") if p.is_file())
    print(f"{len(texts)} texts; {total} bytes in all")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(pathlib.Path(scratch))
