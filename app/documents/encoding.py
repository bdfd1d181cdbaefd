"""Bytes of a text file to text: which encoding they are in, told by content alone.

Strict UTF-8 first, then byte order marks, then a score for each multi-byte encoding of East Asia on a sample, then
charset-normalizer for the single-byte ones, where it is reliable and the letters of many languages are needed.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from pathlib import Path

from app.errors import DocumentUnreadable, EncodingUnknown, EncodingWrong

SAMPLE = 48 * 1024

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EAST_ASIAN = ("gb18030", "big5hkscs", "cp932", "euc_jp", "euc_kr")
_SINGLE_BYTE = ("cp1252", "cp1250", "cp1251", "koi8_r", "iso8859_7", "cp1254", "cp1255", "cp1256")
_DEFAULT = "cp1252"
_SUPERSETS = {
    **dict.fromkeys(("iso-8859-1", "latin-1", "latin1", "ascii", "us-ascii"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk", "gb-2312", "cp936", "x-gbk"), "gb18030"),
    **dict.fromkeys(("shift-jis", "shift-jisx0213", "sjis", "x-sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("big5", "big-5"), "big5hkscs"),
    **dict.fromkeys(("ks-c-5601-1987", "euc-kr"), "cp949"),
    "iso-8859-9": "cp1254",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f]")
_HIGH = re.compile(rb"[\x80-\xff]")
_MAGIC = (
    b"%PDF-",
    b"PK\x03\x04",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x7fELF",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\xd0\xcf\x11\xe0",
    b"SQLite format 3\x00",
)

# the most frequent characters of running text, simplified, traditional and old vernacular: about half of any page
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政"
    "美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "這個們來為國說時會對於著過發後裡經麼學當沒動還進樣從實軍無與長機關點業將兩間問應戰向頭體見產話給門東聲"
    "曰乃矣兵馬马令王吾汝曹操备備玄德卻却眾众城遂笑罢罷忙叫便听聽寶宝玉賈贾请請书書言若未今何皆安宮宫君臣"
    "红紅楼樓梦夢春夏秋冬山水火木金石花草风風雨雪云雲江河星光夜晚早晨王國宋唐漢汉清明元周秦楚齐齊晋晉吴吳越蜀诗詩"
    "歌词詞曲酒茶饭飯衣食住路桥橋城市村镇鎮州县縣省京北南西黑白青黄黃绿綠高低长短新旧舊古近远遠左右男女读讀写寫字"
    "笔筆纸紙画畫琴棋剑劍刀枪槍弓箭船车車鬼神仙佛僧道士子孙孫父叔伯侯公主皇帝后妃龙龍凤鳳虎鸟鳥鱼魚猫貓狗牛羊"
    "章節节回卷序名四五六七八九百千作者版目录錄不吗嗎呢吧啊哥姐妹父母女夫妻爷爺太奶孩兄弟友朋爱愛死眼看真气氣"
)
_HANGUL = frozenset(
    "이다는을를가에의고은하지도사로기한그어아나있자라인시해대서것만일들정수리여부과전보게안제주장상러면었까오"
)
_PUNCTUATION = frozenset("，。、；：？！“”‘’（）《》「」『』【】—…・　〈〉")


class NotText(ValueError):
    """The bytes are no text in any encoding that is known here."""


def decode(data: bytes, encoding: str | None = None, filename: str = "") -> str:
    """The text of the bytes, without a byte order mark; broken sequences become U+FFFD.

    encoding: what a reader says it is; bytes that it cannot read raise EncodingWrong. Raises NotText.
    """
    if encoding is None:
        return data.decode(detect(data), errors="replace")
    try:
        return data.decode(usual_name(encoding)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise EncodingWrong(filename, encoding, error.start) from None
    except (LookupError, ValueError):
        raise EncodingUnknown(filename, encoding) from None


def to_utf8(path: Path, filename: str, encoding: str) -> bytes:
    """A file of that encoding as UTF-8. Raises EncodingWrong, EncodingUnknown, DocumentUnreadable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentUnreadable(filename, error.strerror or type(error).__name__) from None
    return decode(data, encoding, filename).encode("utf-8", "replace")


def usual_name(name: str) -> str:
    """The codec that files called ``name`` are really in: supersets that programs write under the older names."""
    name = name.strip().lower().replace("_", "-")
    return _SUPERSETS.get(name, name)


def detect(data: bytes) -> str:
    """The name of the codec that reads the bytes best. Raises NotText for binary data."""
    sample = _sample(data)
    if b"\x1b$" in sample and not _HIGH.search(sample):
        return "iso2022_jp"
    if (codec := _unicode(sample)) is not None:
        return codec
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        sample += _high_lines(data, SAMPLE - sum(byte > 0x7F for byte in sample))
        if _mostly_utf8(sample):
            return "utf-8"
    else:
        return "utf-8"
    codec, score = max(((codec, _score(sample.decode(codec, "replace"))) for codec in _EAST_ASIAN), key=lambda c: c[1])
    return codec if score > 0.25 else _detect_single_byte(sample)


def refuse_binary(head: bytes) -> None:
    """Raises NotText if the first bytes of a file show that it is none; what they do not show ``detect`` finds."""
    _unicode(head)


def _unicode(sample: bytes) -> str | None:
    """The codec of a byte order mark or of UTF-16 without one, None for neither. Raises NotText for binary data."""
    for mark, codec in _MARKS:
        if sample.startswith(mark):
            return codec
    if sample.startswith(_MAGIC):
        raise NotText
    if b"\x00" in sample:
        return _detect_utf16(sample)
    if len(_CONTROL.findall(sample)) * 200 > len(sample):
        raise NotText
    return None


def _sample(data: bytes) -> bytes:
    """The beginning, middle and end, each cut at line ends so that no character is torn."""
    if len(data) <= SAMPLE:
        return data
    third = SAMPLE // 3
    parts = []
    for start in (0, (len(data) - third) // 2, len(data) - third):
        part = data[start : start + third]
        # 0x0a is no second byte of any encoding here
        first = part.find(b"\n") + 1 if start else 0
        last = part.rfind(b"\n") + 1 if start + third < len(data) else len(part)
        if first < last:
            parts.append(part[first:last])
    return b"".join(parts) or data[:SAMPLE]


def _detect_utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark, of the byte order that gives familiar characters. None for a few stray zero bytes."""
    zeros = sample.count(0)
    if zeros * 5 < len(sample):
        with contextlib.suppress(UnicodeDecodeError):
            # a text of single bytes with zeros strewn in: a few are an accident, more are no text
            codecs.getincrementaldecoder("utf-8")().decode(sample)
            if zeros * 200 > len(sample):
                raise NotText
            return None
    even = sample[: len(sample) // 2 * 2]
    codec, share = max(
        ((c, _familiar(even.decode(c, "replace"))) for c in ("utf-16-le", "utf-16-be")), key=lambda c: c[1]
    )
    if share < 0.5:
        raise NotText
    return codec


def _familiar(text: str) -> float:
    """The share of characters that are common in some language; 0 if more than a few cannot be of a text at all."""
    strange = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f") or "\ue000" <= c <= "\uf8ff" for c in text)
    known = sum(
        c in _COMMON
        or c in _PUNCTUATION
        or c in _HANGUL
        or c in "\t\n\r\f"
        or " " <= c < "\u0600"
        or "\u2010" <= c <= "\u203a"
        or "\u3040" <= c <= "\u30ff"
        for c in text
    )
    return 0.0 if strange * 50 > len(text) else known / max(len(text), 1)


def _high_lines(data: bytes, wanted: int) -> bytes:
    """Lines with bytes beyond ASCII from anywhere in the file: a sample may have missed the few that there are."""
    lines: list[bytes] = []
    position = 0
    while wanted > 0 and (match := _HIGH.search(data, position)):
        start = data.rfind(b"\n", position, match.start()) + 1 or position
        end = data.find(b"\n", match.end())
        position = end if end >= 0 else len(data)
        lines.append(data[max(start, match.start() - 1000) : min(position, match.end() + 4000)])
        wanted -= len(lines[-1])
    return b"\n".join([b"", *lines])


def _mostly_utf8(data: bytes) -> bool:
    """UTF-8 with a few broken places: at least 50 good sequences to each bad one."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for c in text if c > "\x7f") - bad
    return good >= 50 * bad


def _score(text: str) -> float:
    """How much a decoding looks like running East Asian text: the mean worth of its non-ASCII characters, up to 1.

    Wrong decodings give rare characters, which are worth nothing or less, or lone ones between ASCII letters, as when
    the curly quotes of English are taken for first bytes. Real text scores 0.5 and more.
    """
    total = count = 0.0
    padded = f"\x80{text}\x80"
    for before, character, after in zip(padded, text, padded[2:], strict=False):
        if character < "\x80":
            continue
        count += 1
        if character in _PUNCTUATION:
            total += 1.0
        elif before < "\x80" and after < "\x80":
            total -= 1.0
        elif character in _COMMON or "ぁ" <= character <= "ん":
            total += 1.0
        elif "ァ" <= character <= "ー":
            total += 0.8
        elif "\uac00" <= character <= "\ud7a3":
            total += 1.0 if character in _HANGUL else 0.0
        elif "\u4e00" <= character <= "\u9fff":
            total += _worth(character)
        elif character == "\ufffd" or "\ue000" <= character <= "\uf8ff":
            total -= 6.0
        elif "\uff01" <= character <= "\uff5e" or "\u3000" <= character <= "\u303f":
            total += 0.5
        else:
            total -= 0.7  # half-width katakana, box drawing, Greek and Cyrillic inside a double-byte set
    return total / count if count else 0.0


def _worth(ideograph: str) -> float:
    """An ideograph is worth something if it stands among the everyday ones of some national standard."""
    for codec, first, last in (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("euc_jp", 0xB0, 0xCF)):
        try:
            lead = ideograph.encode(codec)[0]
        except UnicodeEncodeError:
            continue
        if first <= lead <= last:
            return 0.3
    return -0.4


def _detect_single_byte(sample: bytes) -> str:
    # imported here: the child that reads a PDF has no use for it
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(_SINGLE_BYTE), enable_fallback=False).best()
    if best is None:
        return _DEFAULT
    usual, other = sample.decode(_DEFAULT, "replace"), sample.decode(best.encoding, "replace")
    words = [word for word in re.findall(r"[^\W\d_]+", other) if not word.isascii()]
    foreign = [word for word in words if max(word) >= "\u0250"]
    # letters of another script make whole words; between Latin ones they are a Latin letter misread
    mixed = sum(min(word) < "\x80" for word in foreign)
    # the Latin sets differ in few letters: Polish and Czech have them in one of 15 and more, English with some
    # French in one of 50 at most, and a "naïve" or two is no evidence at all
    differing = sum(a != b for a, b in zip(usual, other, strict=True))
    few = differing < 8 or differing * 40 < sum(map(str.isalpha, other))
    return _DEFAULT if mixed * 2 > len(foreign) or (not foreign and few) else best.encoding
