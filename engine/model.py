"""The weights, run through transformers' own modules with our attention."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, Literal, TypeVar

# transformers asks the hub about optional files unless told; a checkpoint is a local folder here
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from engine import attention, sparsity
from engine.chunkplan import DENSE, ChunkPlan
from engine.config import CUDA_CHUNK, EngineConfig
from engine.cost import Work
from engine.device import DeviceDecoder
from engine.errors import CheckpointDamaged, CheckpointUnsupported, NumericalFailure, UnknownPolicy
from engine.gaze import Gazer, Masses, read_heads
from engine.kvcache import Arena, Extent, KVCache, KVShape
from engine.linear import widen
from engine.machine import available_memory
from engine.pace import slowness
from engine.positions import DualChunk
from engine.row import RowForward
from engine.sparsity import Budgets, Policy, read_budgets
from engine.sparsity.recall import RecallGauge
from kernels import decode_row, tiles

FAMILIES = ("llama", "qwen2", "qwen3")
# sizes of heads that the Triton kernels have launch tables for
TRITON_DIMS = (64, 128)

Result = TypeVar("Result")


class LanguageModel:
    """A Llama, Qwen2 or Qwen3 model on one device. Not thread-safe."""

    def __init__(self, config: EngineConfig, load: Callable[[EngineConfig], Any] | None = None) -> None:
        """load: gives the module to run, None for the checkpoint in the config's folder."""
        self.dual_chunk = DualChunk(
            chunk_size=config.chunk_size, local_size=config.local_size, yarn=config.temperature == "yarn"
        )
        self.device = torch.device(config.device)
        dtype: torch.dtype = getattr(torch, config.dtype)
        self._folder = config.folder
        # where the last job's keys and values lie, for the next one to begin with: set where that ended well
        self.arena: Arena | None = None
        self.device_memory = config.device_memory
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        transformers_logging.disable_progress_bar()
        if config.policy is not None and config.policy not in sparsity.NAMES:
            raise UnknownPolicy(config.policy, sparsity.NAMES)
        loaded = (load or from_folder)(config)
        family = str(loaded.config.model_type)
        if family not in FAMILIES:
            raise CheckpointUnsupported(str(config.folder), f"its family is {family}")
        self.model = loaded.to(self.device).eval().requires_grad_(False)
        widen(self.model)
        text: Any = loaded.config
        heads = int(text.num_attention_heads)
        self.heads = heads
        self.shape = KVShape(
            layers=int(text.num_hidden_layers),
            kv_heads=int(text.num_key_value_heads),
            dim=int(getattr(text, "head_dim", None) or text.hidden_size // heads),
            dtype=dtype,
            device=self.device,
        )
        self.inv_freq: Tensor = self.model.model.rotary_emb.inv_freq.detach().float()
        # on a GPU one chunk is read by PyTorch's flash kernel first: the crossover is not measured there yet
        fast = self.on_tiles = (
            self.device.type == "cpu" and dtype is torch.bfloat16 and self.shape.dim in (64, 128) and tiles.available()
        )
        on_cpu = sparsity.CROSSOVER_TILES if fast else sparsity.CROSSOVER
        self.crossover = CUDA_CHUNK if self.device.type == "cuda" else on_cpu
        self.policy_asked = config.policy is not None
        self.policy = self._policy(config)
        self.gaze_heads = read_heads(config.folder, layers=self.shape.layers, heads=heads)
        self.gauge = RecallGauge()
        if fast:
            in_background(tiles.prepare)
        self._row: Future[RowForward] | None = None
        self.decoder = self.make_decoder() if self.device.type == "cuda" and self.shape.dim in TRITON_DIMS else None
        if self.decodes_by_row:
            # compiled while the first text is read, where it was never compiled here
            in_background(lambda: decode_row.prepare(dtype))
        embedding = self.model.get_input_embeddings().weight.numel()
        self.layer_parameters = int(sum(p.numel() for p in self.model.model.parameters()) - embedding)

    def _policy(self, config: EngineConfig) -> Policy | None:
        """As asked for; else one that chooses keys only where it was measured how many each head needs.

        Equal budgets make a model that copies perfectly forget how (Qwen2.5-0.5B, tests.bench.fidelity). A GPU needs
        kernels for heads of this size.
        """
        shape = self.shape
        budgets = self._budgets(by_means=False)
        able = self.device.type == "cpu" or shape.dim in TRITON_DIMS
        default = "block" if budgets is not None and able else "dense"
        uniform = Budgets.uniform(shape.layers, shape.kv_heads)
        return sparsity.make(default if config.policy is None else config.policy, budgets or uniform)

    def make_decoder(self, **given: Any) -> DeviceDecoder:
        return DeviceDecoder(
            self.model, self.shape, self.heads, self.dual_chunk, self.inv_freq, budgets=self._decoding(), **given
        )  # fmt: skip

    @property
    def in_arena(self) -> bool:
        """Whether every reading goes into an arena: where there is a pool of pages on a device, not mapped files."""
        return self.device.type == "cuda"

    def keep_arena(self, cache: KVCache) -> None:
        """Let the next prompt begin with what lies in this cache's arena. All of it must be finite numbers."""
        if self.in_arena:
            self.arena = cache.arena

    def policy_of(self, plan: ChunkPlan, widen: int) -> Policy | None:
        """What a plan says, with budgets ``widen`` times as wide, None for dense attention."""
        if widen == DENSE or plan.policy == "dense":
            return None
        assert plan.budgets is not None
        own = self.policy
        if widen == 1 and own is not None and (own.name, own.budgets) == (plan.policy, plan.budgets):
            return own
        return sparsity.make(plan.policy, plan.budgets.widened(widen))

    def free_memory(self) -> int | None:
        """Bytes free on the model's device, for a message."""
        if self.device.type == "cuda":
            # what PyTorch has and does not use is as good as free
            spare = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            return int(torch.cuda.mem_get_info(self.device)[0]) + spare
        return available_memory()

    def reads_sparsely(self, start: int, rows: int, policy: Policy | None = None) -> bool:
        """Whether a chunk of ``rows`` from position ``start`` chooses its keys. Depends on nothing else.

        policy: None for the model's own.
        """
        far = start >= self.crossover and rows >= sparsity.LEAST_ROWS
        return (policy or self.policy) is not None and far and start % sparsity.BLOCK == 0

    def work(self, before: int, tokens: int, policy: Policy | Literal["dense"] | None = None) -> Work:
        """What a prefill of ``tokens`` after ``before`` costs, in operations at the speed of a matrix product.

        Attention runs slower than that (``engine.pace``). policy: None for the model's own.
        """
        policy = policy or self.policy
        dense, sparse = slowness(self.on_tiles)
        start = before // sparsity.BLOCK * sparsity.BLOCK
        if policy is not None and policy != "dense" and self.reads_sparsely(start, tokens, policy):
            pairs, slow = tokens * policy.keys(before), sparse
        else:
            pairs, slow = before * tokens + tokens * tokens / 2, dense
        attention = 4.0 * self.heads * self.shape.dim * self.shape.layers * pairs
        linear = 2.0 * self.layer_parameters * tokens
        return Work(before=before, tokens=tokens, linear=linear, attention=slow * attention)

    @torch.inference_mode()
    def hidden(
        self,
        ids: array[int],
        start: int,
        cache: KVCache,
        on_layer: Callable[[int], None] | None = None,
        policy: Policy | Literal["dense"] | None = None,
        masses: Masses | None = None,
    ) -> Tensor:
        """Run ``ids`` at positions from ``start``, already counted in the cache's last extent: [rows, hidden].

        policy: None for the model's own; masses: to be told what they look at, which they then choose no keys for.
        """
        chosen = None if policy == "dense" or masses is not None else policy or self.policy
        held = cache.arena is not None and cache.arena.holds(cache.extents[-1])
        sparse = held and chosen is not None and self.reads_sparsely(start, len(ids), chosen)
        step = attention.Step(
            cache=cache,
            dual_chunk=self.dual_chunk,
            inv_freq=self.inv_freq,
            start=start,
            rows=len(ids),
            on_layer=on_layer,
            policy=chosen if sparse else None,
            gauge=self.gauge,
            masses=masses,
        )
        first = start % self.dual_chunk.chunk_len
        tokens = torch.tensor(ids, dtype=torch.long, device=self.device)[None]
        positions = torch.arange(first, first + len(ids), device=self.device)[None]
        output = self.model.model(input_ids=tokens, position_ids=positions, use_cache=False, step=step)
        return output.last_hidden_state[0]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, vocabulary] in float32."""
        return self.model.lm_head(hidden).float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def prefill(
        self,
        ids: array[int],
        start: int,
        cache: KVCache,
        on_layer: Callable[[int], None] | None = None,
        policy: Policy | Literal["dense"] | None = None,
    ) -> tuple[Extent, Tensor]:
        """Read one chunk into a new extent of the cache: the extent, and the last row's hidden state [hidden].

        policy: None for the model's own. Whatever fails, the cache is left as it was. Raises NumericalFailure before
        anything wrong can be kept.
        """
        extent = cache.allocate(start, len(ids))
        cache.append(extent)
        try:
            hidden = self.hidden(ids, start, cache, on_layer, policy)
            check_finite(extent, hidden)
        except BaseException:
            cache.drop_last()
            raise
        return extent, hidden[-1]

    @torch.inference_mode()
    def step(self, token: int, cache: KVCache, gazer: Gazer | None = None) -> Tensor:
        """Append one token to the cache's last extent, which has room for it: logits [vocabulary].

        gazer: to be told what the token looks at.
        """
        extent = cache.extents[-1]
        extent.length += 1
        try:
            if self.decodes_by_row:
                return self.row_forward(token, cache, None if gazer is None else gazer.watch(cache))
            if gazer is None and self.decoder is not None and self.decoder.fits(cache):
                return self.decoder(token, cache)
            masses = None if gazer is None else gazer.masses()
            hidden = self.hidden(array("i", [token]), extent.end - 1, cache, masses=masses)
        except BaseException:
            extent.length -= 1
            raise
        return self.logits(hidden)[0]

    @property
    def decodes_by_row(self) -> bool:
        """Whether decoding runs ``RowForward`` here; transformers' modules do it otherwise."""
        return self.device.type == "cpu" and self.shape.dtype in decode_row.STORED and decode_row.available()

    def prepare_row(self) -> None:
        """Begin to make what decoding needs, in a thread of its own, so that the first token need not wait for it.

        Seconds for the weights as int8, and tens of seconds where nothing is compiled yet. A long reading does without
        their memory: they are made at its end, or with a question.
        """
        if self.decodes_by_row and self._row is None:
            self._row = in_background(self._make_row)

    @property
    def row_forward(self) -> RowForward:
        """Waits for it."""
        self.prepare_row()
        assert self._row is not None
        return self._row.result()

    @torch.inference_mode()
    def _make_row(self) -> RowForward:
        return RowForward(
            self.model,
            self.shape,
            self.heads,
            self.dual_chunk,
            int8=self.shape.dtype is torch.bfloat16,
            budgets=self._decoding(),
        )

    def _budgets(self, *, by_means: bool) -> Budgets | None:
        """Those beside the checkpoint or measured; by_means: of a choice by mean keys."""
        layers, kv_heads = self.shape.layers, self.shape.kv_heads
        return read_budgets(self._folder, layers=layers, heads=self.heads, kv_heads=kv_heads, by_means=by_means)

    def _decoding(self) -> Budgets | None:
        """How many keys each head chooses when decoding; None for all."""
        if self.policy is None:
            return None
        return Budgets((self._budgets(by_means=True) or self.policy.budgets).table, most=None)


def from_folder(config: EngineConfig) -> Any:
    """The checkpoint's module, on the CPU. Raises CheckpointDamaged, and SparsityConfigBad before the weights load."""
    try:
        about: Any = AutoConfig.from_pretrained(config.folder, local_files_only=True)
        names = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")
        layers, heads, kv_heads = (getattr(about, name, None) for name in names)
        if layers and heads and kv_heads:
            read_budgets(config.folder, layers=layers, heads=heads, kv_heads=kv_heads)
        return AutoModelForCausalLM.from_pretrained(
            config.folder,
            dtype=getattr(torch, config.dtype),
            attn_implementation=attention.register(),
            local_files_only=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointDamaged(str(config.folder), str(error)) from error


def in_background(function: Callable[[], Result]) -> Future[Result]:
    """Run ``function`` in a thread that no exit waits for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True, name="lectern-prepare").start()
    return future


def check_finite(extent: Extent, hidden: Tensor) -> None:
    """Raise NumericalFailure naming the first layer whose keys or values are not finite."""
    for layer in range(extent.data.shape[0]):
        # a sum is finite if its terms are, and keeps nothing
        if not torch.isfinite(extent.total(layer)):
            raise NumericalFailure(layer, extent.start, extent.end)
    if not torch.isfinite(hidden[-1]).all():
        raise NumericalFailure(None, extent.start, extent.end)
