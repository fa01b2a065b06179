"""Two CUDA cards that are not there: code for cards runs on the processor, and fails where a card
would make it fail. A plugin of pytest, which must be loaded before torch.

    python -m pytest -p tests.devices.pretended FILE
    with pretended.cards(memory=1 << 30) as ledger: ...

A tensor on a card wraps a tensor of the processor, which has its numbers. Each operation comes
through `OnCard.__torch_dispatch__`, which refuses operands on several devices and operations
without a kernel, as CUDA does, and counts transfers, waits and memory in the ledger, by the line of
the program that asked. Operations without operands come through a fallback of CUDA's dispatch key.
cards.cpp gives torch the guard of devices, streams and pinned memory.

Copies without a wait take place later: see `flights.py`. It shows neither faults of kernels nor
times, nor cards' streams that do not wait for one another: an operation is done when it is asked
for. Numbers are the processor's.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if "torch" in sys.modules:
    raise ImportError("tests.devices.pretended is loaded before torch")

CARDS = 2
MEMORY = 64 << 30
"""Bytes of a card whose memory the test does not name."""

_SOURCE = Path(__file__).with_name("cards.cpp")
_TORCH = Path(importlib.util.find_spec("torch").origin).parent  # type: ignore[union-attr,arg-type]


def _library() -> Path:
    """cards.cpp compiled for this torch; kept between runs."""
    version = (_TORCH / "version.py").read_bytes()
    name = hashlib.sha256(_SOURCE.read_bytes() + version).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"tauscope-cards-{os.getuid()}" / f"{name}.so"
    if not built.exists():
        built.parent.mkdir(mode=0o700, exist_ok=True)
        made = built.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["g++", "-O0", "-std=c++20", "-shared", "-fPIC", f"-I{_TORCH}/include", _SOURCE,
             "-o", made, f"-L{_TORCH}/lib", "-lc10", "-ltorch_cpu"], check=True,
        )  # fmt: skip
        made.replace(built)
    return built


for _shared in ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so"):
    ctypes.CDLL(str(_TORCH / "lib" / _shared), mode=ctypes.RTLD_GLOBAL)
ctypes.CDLL(str(_library()), mode=ctypes.RTLD_GLOBAL)

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils import _device as factories  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from tests.devices.flights import Flights  # noqa: E402
from tests.devices.kernels import on_cards  # noqa: E402

aten = torch.ops.aten
_HOST = torch.device("cpu")


@dataclass
class Ledger:
    """What the program asked of the cards, by the line of core/ that asked (file:line function).

    `waits`: the host waited for a card, other than for a solver; `solves`: it waited for a
    decomposition, whose success the host must know; `pageable`: bytes sent up from memory that is
    not pinned; `up`, `down`, `across`: bytes sent; `held`, `peak`: bytes of each card; `contexts`:
    cards where this process has a context, which takes about half a gigabyte of a real one.
    """

    memory: int = MEMORY
    launches: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    solves: Counter[str] = field(default_factory=Counter)
    pageable: Counter[str] = field(default_factory=Counter)
    up: Counter[str] = field(default_factory=Counter)
    down: Counter[str] = field(default_factory=Counter)
    across: Counter[str] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    peak: Counter[int] = field(default_factory=Counter)
    seeded: set[int] = field(default_factory=set)
    contexts: set[int] = field(default_factory=set)
    flights: Flights = field(default_factory=Flights)
    lock: Any = field(default_factory=threading.RLock)

    def take(self, card: int, nbytes: int) -> None:
        self.contexts.add(card)
        with self.lock:
            if self.held[card] + nbytes > self.memory:
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {nbytes} bytes. GPU {card} has a total "
                    f"capacity of {self.memory} bytes, of which {self.held[card]} are in use."
                )
            self.held[card] += nbytes
            self.peak[card] = max(self.peak[card], self.held[card])

    def give(self, card: int, nbytes: int) -> None:
        with self.lock:
            self.held[card] -= nbytes

    def by_function(self, name: str) -> Counter[str]:
        """A counter by file and function."""
        counts: Counter[str] = Counter()
        for where, count in getattr(self, name).items():
            file, _, function = where.partition(" ")
            counts[f"{file.partition(':')[0]} {function}"] += count
        return counts

    def report(self) -> str:
        """The counts, and the lines that ask for most."""
        lines = [f"launches {self.launches:,}"]
        for name in ("waits", "solves", "pageable", "up", "down", "across"):
            counter: Counter[str] = getattr(self, name)
            lines.append(f"{name} {counter.total():,}")
            lines += [f"  {n:>12,}  {where}" for where, n in counter.most_common(12)]
        return "\n".join(lines)


_ledger = Ledger()


@contextmanager
def cards(memory: int = MEMORY) -> Iterator[Ledger]:
    """A new ledger inside the block; each card has `memory` bytes."""
    global _ledger
    before, _ledger = _ledger, Ledger(memory)
    try:
        yield _ledger
    finally:
        for card in range(CARDS):
            _ledger.flights.land(card)
        _ledger = before


def _asker() -> str:
    """The innermost line of core/ that asks, by a helper for transfers or itself; without one, the
    innermost line outside of here."""
    frame, other = sys._getframe(1), ""
    while frame is not None:
        file = frame.f_code.co_filename
        _, room, inside = file.rpartition("/core/")
        if room and "site-packages" not in file and inside != "models/transfers.py":
            return f"{inside}:{frame.f_lineno} {frame.f_code.co_name}"
        if file != __file__:
            other = other or f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return other


class _Memory:
    """A storage's bytes on a card; given back with the last tensor on it."""

    def __init__(self, card: int, nbytes: int) -> None:
        self.card, self.ledger, self.nbytes = card, _ledger, 0
        self.ledger.take(card, nbytes)
        self.nbytes = nbytes

    def __del__(self) -> None:
        self.ledger.give(self.card, self.nbytes)


_memories: weakref.WeakValueDictionary[int, _Memory] = weakref.WeakValueDictionary()


def _card(device: Any) -> torch.device:
    """A device of type CUDA with its number."""
    device = torch.device(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= CARDS:
        raise RuntimeError("CUDA error: invalid device ordinal")
    return torch.device("cuda", index)


class OnCard(Tensor):
    """A tensor on a card; `plain` is the processor's tensor with its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    plain: Tensor
    memory: _Memory

    @staticmethod
    def __new__(cls, plain: Tensor, device: Any = None, requires_grad: bool = False) -> Any:
        if device is None:  # accelerate makes a parameter anew by its class
            return torch.nn.Parameter(plain, requires_grad=requires_grad)
        device = _card(device)
        made = Tensor._make_wrapper_subclass(
            cls, plain.size(), strides=plain.stride(), storage_offset=plain.storage_offset(),
            dtype=plain.dtype, layout=plain.layout, device=device, requires_grad=requires_grad,
        )  # fmt: skip
        storage = plain.untyped_storage()
        memory = _memories.get(storage._cdata)
        if memory is None or memory.card != device.index:
            memory = _memories[storage._cdata] = _Memory(device.index, storage.nbytes())
        made.plain, made.memory = plain, memory
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """Made by __new__."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnCard({self.plain!r}, {self.device})"

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if self.dim() == 0 else repr(self)

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        return self.detach().cpu().numpy()

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def data_ptr(self) -> int:  # tied weights are told by it
        return self.plain.data_ptr()

    def untyped_storage(self) -> Any:  # views of the same weights are told by it
        return self.plain.untyped_storage()

    def record_stream(self, stream: Any) -> None:
        """Nothing: memory is free as soon as nobody refers to it."""

    def __deepcopy__(self, memo: Any) -> Any:
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return copy

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, OnCard) or value.device != self.device:
            raise RuntimeError("a pretended tensor's data stays on its card")
        with torch._C._DisableTorchDispatch():
            Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.plain, self.memory = value.plain, value.memory


# --- operations with operands -----------------------------------------------------------------

_COPIES = {aten.copy_.default, aten._to_copy.default}
_INDEXING = {
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
}  # fmt: skip
_WAITING = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default,
    aten.equal.default, aten.bincount.default, aten._unique2.default, aten.unique_dim.default,
    aten.unique_consecutive.default, aten.is_nonzero.default, aten.repeat_interleave.Tensor,
}  # fmt: skip
_SOFTMAX = {aten._softmax.default, aten._log_softmax.default}
_SOLVERS = {aten._linalg_eigh.default, aten._linalg_svd.default, aten._linalg_solve_ex.default}
_TAKES_SCALARS = {
    aten.where.self, aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.fill_.Tensor,
}  # fmt: skip
"""Operations besides the elementwise ones that take a scalar of the host."""


@dataclass(frozen=True)
class _Facts:
    """The facts of an operation's schema, which take longer to ask for than many operations."""

    decomposes: bool
    on_cards: bool
    elementwise: bool
    mutable: bool
    returns: int
    views: bool
    written: tuple[tuple[int, str], ...]

    @staticmethod
    @cache
    def of(func: Any) -> _Facts:
        schema = func._schema
        written = [
            (i, argument.name)
            for i, argument in enumerate(schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return _Facts(
            func._can_decompose(),
            on_cards(func.name()),
            torch.Tag.pointwise in func.tags or func in _TAKES_SCALARS,
            schema.is_mutable,
            len(schema.returns),
            any(r.alias_info is not None for r in schema.returns),
            tuple(written),
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in an operand."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """An operand or a result with its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(each, change) for each in value)
    return value


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    if func in _COPIES:
        return _copy(func, args, kwargs)
    facts = _Facts.of(func)
    if facts.decomposes:  # inference mode lets linear, matmul and their like through whole
        result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
    if not facts.on_cards:
        raise NotImplementedError(f"Could not run '{func.name()}' with the 'CUDA' backend.")
    if func is aten._fused_sdp_choice.default:
        return 0  # the plain attention
    if func is aten.is_pinned.default:
        return False
    operands = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
    device = _place_of(func, facts, args, operands)
    if (asked := kwargs.get("device")) is not None:
        device = _HOST if torch.device(asked).type == "cpu" else _card(asked)
        kwargs = {**kwargs, "device": _HOST}
    plain_args = [_mapped(each, _plain) for each in args]
    plain_kwargs = {name: _mapped(each, _plain) for name, each in kwargs.items()}
    if func is aten.histc.default and not plain_args[0].is_floating_point():
        plain_args[0] = plain_args[0].float()  # only CUDA counts integers
    if func in _SOFTMAX and plain_args[2]:  # only CUDA takes float16 and gives float32
        plain_args = [plain_args[0].float(), plain_args[1], False]
    if func is aten.bmm.dtype:  # only CUDA multiplies into a wider dtype
        plain_args = [each.to(plain_args[2]) for each in plain_args[:2]]
        result = torch.bmm(*plain_args)
    else:
        result = func(*plain_args, **plain_kwargs)
    _count(func, facts, device)
    given = [args[i] if i < len(args) else kwargs.get(name) for i, name in facts.written]
    written = [each for each in given if each is not None]
    for each in written:
        if isinstance(each, OnCard) and each.shape != each.plain.shape:
            _resize(each)
    if facts.mutable and facts.returns in (0, len(written)):
        if not facts.returns:
            return None
        return written[0] if len(written) == 1 else tuple(written)
    return _wrapped(facts, operands, result, device)


def _place_of(func: Any, facts: _Facts, args: Any, operands: list[Tensor]) -> torch.device:
    """Where the result lies. Refuses operands that CUDA refuses."""
    if func in _INDEXING:
        return _place_of_index(func, args)
    devices = {t.device for t in operands}
    on_cards = {t.device for t in operands if t.device.type == "cuda"}
    if len(devices) == 1:
        return on_cards.pop()
    into, scalars = operands[0] if facts.mutable else None, facts.elementwise
    wrong = any(t.device.type == "cpu" and (t.dim() or t is into or not scalars) for t in operands)
    if len(on_cards) > 1 or wrong:
        raise _misplaced(func, devices)
    return on_cards.pop()


def _place_of_index(func: Any, args: Any) -> torch.device:
    """As `_place_of`; indices may lie on the host, and are sent up."""
    whole, indices = args[0], [i for i in args[1] if i is not None]
    values = [v for v in args[2:3] if isinstance(v, Tensor) and v.dim()]
    devices = {whole.device, *(t.device for t in values)}
    devices |= {i.device for i in indices if i.device.type == "cuda"}
    if len(devices) > 1:
        raise _misplaced(func, devices)
    for index in indices:
        if index.device.type == "cpu":
            _count_transfer(index, whole.device, True)
        if index.dtype == torch.bool:
            _wait(whole.device)
    return torch.device(whole.device)


def _misplaced(func: Any, devices: set[torch.device]) -> RuntimeError:
    names = " and ".join(sorted(map(str, devices)))
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {names}! "
        f"(when checking arguments of {func})"
    )


def _count(func: Any, facts: _Facts, device: torch.device) -> None:
    if facts.views and not facts.mutable:
        return
    _ledger.launches += 1
    if func in _WAITING:
        _wait(device)
    if func in _SOLVERS:
        _wait(device, _ledger.solves)


def _wait(device: torch.device, counter: Counter[str] | None = None) -> None:
    """The host waits for a card."""
    (_ledger.waits if counter is None else counter)[_asker()] += 1
    _ledger.flights.land(device.index)


def _wrapped(facts: _Facts, operands: list[Tensor], result: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return result
    ordinary = facts.views and torch.is_inference_mode_enabled() and not operands[0].is_inference()
    # In inference mode a view of an ordinary tensor is an ordinary one.
    with torch.inference_mode(False) if ordinary else nullcontext():
        return _mapped(result, lambda t: t if isinstance(t, OnCard) else OnCard(t, device))


def _resize(wrapper: OnCard) -> None:
    """Give a wrapper the size that an operation gave its tensor."""
    plain, before = wrapper.plain, torch._C._meta_in_tls_dispatch_include()
    torch._C._set_meta_in_tls_dispatch_include(True)
    try:
        with torch._C._DisableTorchDispatch():
            aten.set_.source_Storage_storage_offset(
                wrapper, Tensor.untyped_storage(wrapper), plain.storage_offset(), plain.shape,
                plain.stride(),
            )  # fmt: skip
    finally:
        torch._C._set_meta_in_tls_dispatch_include(before)


def _copy(func: Any, args: Any, kwargs: Any) -> Any:
    if func is aten.copy_.default:
        into, source = args[:2]
        waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        _meet(source, into.device)
        func(_plain(into), _plain(source))
        _count_transfer(source, into.device, waits)
        return into
    source, given = args[0], dict(kwargs)
    target = torch.device(given.pop("device", None) or source.device)
    waits = not given.pop("non_blocking", False)
    pinned = given.pop("pin_memory", False)
    if target.type == "meta":
        made = torch.empty_strided(source.shape, source.stride(), device="meta", dtype=source.dtype)
        return made.to(given["dtype"]) if given.get("dtype") else made
    if target.type == "cuda":
        target = _card(target)
        _meet(source, target)
    made = func(_plain(source), **given)
    if target.type == "cuda":
        made = OnCard(made, target)
    elif pinned or not waits:  # torch sends into pinned memory without waiting
        made = made.pin_memory()
    _count_transfer(source, target, waits)
    if target.type == "cpu" and not waits:
        _ledger.flights.fall(source.device.index, made)
    return made


def _meet(source: Tensor, target: torch.device) -> None:
    """A card reads what it sent down itself in the order in which it was asked."""
    if source.device.type == "cpu" and target.type == "cuda":
        _ledger.flights.meet(target.index, source)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.plain if isinstance(tensor, OnCard) else tensor


def _count_transfer(source: Tensor, target: torch.device, waits: bool) -> None:
    _ledger.launches += 1
    if source.device == target:
        return
    where, nbytes = _asker(), source.numel() * source.element_size()
    if source.device.type == "cpu":
        _ledger.up[where] += nbytes
        if not source.is_pinned() or not aten.is_non_overlapping_and_dense(source):
            _ledger.pageable[where] += nbytes  # torch sends gaps from a copy without them
            waits = True
        elif not waits:
            _ledger.flights.rise(target.index, source, where)
    elif target.type == "cpu":
        _ledger.down[where] += nbytes
    else:
        _ledger.across[where] += nbytes
        return
    if waits:
        _wait(source.device if target.type == "cpu" else target)


# --- operations without operands --------------------------------------------------------------


def _make(func: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation that makes tensors on a card."""
    leaves = pytree.tree_leaves((args, kwargs))
    if any(isinstance(each, Tensor) for each in leaves):
        raise AssertionError(f"{func}: an operand is on a card and is no OnCard")
    target = next((each for each in leaves if isinstance(each, torch.device)), "cuda")
    args, kwargs = pytree.tree_map_only(torch.device, lambda _: _HOST, (args, kwargs))
    kwargs.pop("pin_memory", None)
    made = func(*args, **kwargs)
    _ledger.launches += 1
    return pytree.tree_map_only(Tensor, lambda t: OnCard(t, target), made)


_fallback: Any = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
_fallback.fallback(_make, dispatch_key="CUDA")


def _lifted(make: Any) -> Any:
    """torch.tensor and its like send their numbers up by a copy; torch asks thread by thread."""

    def made(*args: Any, **kwargs: Any) -> Any:
        torch._C._set_only_lift_cpu_tensors(True)
        return make(*args, **kwargs)

    return made


factories._device_constructors()  # cached with the functions that are replaced below
for _name in ("tensor", "as_tensor", "asarray"):
    setattr(torch, _name, _lifted(getattr(torch, _name)))
torch.__future__.set_swap_module_params_on_conversion(True)  # .data can't leave its card


# --- torch.cuda -------------------------------------------------------------------------------

_thread = threading.local()


class _Event:
    """What was recorded on a card. As with CUDA, waiting for it makes a context on the thread's own
    card, whichever this is."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.card: int | None = None
        self.last = 0

    def record(self, stream: Any = None) -> None:
        self.card = (stream or torch.cuda.current_stream()).device.index
        self.last = _ledger.flights.asked

    def wait(self, stream: Any = None) -> None: ...

    def synchronize(self) -> None:
        _ledger.contexts.add(torch.cuda.current_device())
        if self.card is not None:
            _ledger.flights.land(self.card, self.last)

    def query(self) -> bool:
        return True


class _Stream:
    """A stream that is always done."""

    def __init__(self, device: Any = "cuda", **_: Any) -> None:
        self.device = _card(device)

    def wait_stream(self, other: Any) -> None: ...
    def wait_event(self, event: Any) -> None: ...
    def synchronize(self) -> None:
        _wait(self.device)

    def record_event(self, event: Any = None) -> Any:
        event = event or _Event()
        event.record(self)
        return event


@contextmanager
def _current(device: Any) -> Iterator[None]:
    """The thread's card inside the block. The end makes no context on the card before."""
    before = torch.cuda.current_device()
    _select(_number(device))
    try:
        yield
    finally:
        _thread.card = before


@contextmanager
def _on(stream: Any) -> Iterator[None]:
    """A stream inside the block. Its end selects the card before, as torch's does."""
    before, held = torch.cuda.current_device(), getattr(_thread, "stream", None)
    _select(stream.device.index if stream else before)
    _thread.stream = stream or held
    try:
        yield
    finally:
        _select(before)
        _thread.stream = held


def _current_stream(device: Any = None) -> Any:
    held = getattr(_thread, "stream", None)
    return held if held and held.device == _card(device or "cuda") else _Stream(device or "cuda")


def _select(card: int) -> None:
    """cudaSetDevice, which makes a context from CUDA 12 on."""
    if card != torch.cuda.current_device():
        _ledger.contexts.add(card)
    _thread.card = card


def _number(device: Any = None) -> int:
    return device if isinstance(device, int) else int(_card(device or "cuda").index)


def _properties(device: Any = None) -> Any:
    return types.SimpleNamespace(
        name="pretended", major=9, minor=0, total_memory=_ledger.memory, multi_processor_count=132,
        warp_size=32, gcnArchName="", L2_cache_size=50 << 20,
    )  # fmt: skip


def _random_state(device: Any = "cuda") -> Tensor:
    _ledger.seeded.add(_number(device))
    return torch.zeros(16, dtype=torch.uint8)


def _synchronize(device: Any = None) -> None:
    _wait(_card(device or "cuda"))


def _memory(device: Any = None) -> tuple[int, int]:
    card = _number(device)
    _ledger.contexts.add(card)
    return _ledger.memory - _ledger.held[card], _ledger.memory


_REPLACED: dict[str, Any] = {
    "_lazy_init": lambda: None,
    "_is_in_bad_fork": lambda: False,
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "is_bf16_supported": lambda *_, **__: True,
    "is_current_stream_capturing": lambda: False,
    "device_count": lambda: CARDS,
    "current_device": lambda: getattr(_thread, "card", 0),
    "set_device": lambda device: _select(_number(device)),
    "device": _current,
    "device_of": lambda tensor: _current(tensor.device if tensor.is_cuda else "cuda"),
    "Stream": _Stream,
    "Event": _Event,
    "stream": _on,
    "current_stream": _current_stream,
    "default_stream": lambda device=None: _Stream(device or "cuda"),
    "synchronize": _synchronize,
    "empty_cache": lambda: None,
    "ipc_collect": lambda: None,
    "mem_get_info": _memory,
    "memory_allocated": lambda device=None: _ledger.held[_number(device)],
    "memory_reserved": lambda device=None: _ledger.held[_number(device)],
    "max_memory_allocated": lambda device=None: _ledger.peak[_number(device)],
    "reset_peak_memory_stats": lambda device=None: None,
    "memory_stats": lambda device=None: {},
    "get_device_properties": _properties,
    "get_device_name": lambda device=None: "pretended",
    "get_device_capability": lambda device=None: (9, 0),
    "get_rng_state": _random_state,
    "set_rng_state": lambda state, device="cuda": _ledger.seeded.add(_number(device)),
    "manual_seed": lambda seed: None,
    "manual_seed_all": lambda seed: None,
}  # fmt: skip
for _name, _value in _REPLACED.items():
    setattr(torch.cuda, _name, _value)
