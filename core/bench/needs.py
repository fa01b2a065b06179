"""The memory that a bench takes, known before it loads.

Owns the choice between all models in memory and one at a time. Loads no weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from core.engine.pacing import stored
from core.engine.subject import Subject
from core.errors import RunError
from core.models import loading, memory
from core.models.adapters.checkpoint import Adapter
from core.models.placement import DeviceShare
from core.sizes import size

USABLE = 0.9
"""The share of the free memory that a bench may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes by device that a bench takes.

    `together`: the loaded weights, the base's copy and all tuned models. `apart`: the loaded
    weights alone; each column reads the other models from disk. `free`: bytes that are free now.
    `one_at_a_time`: the bench takes `apart`. `reason` says why in a sentence.
    """

    together: Mapping[str, int]
    apart: Mapping[str, int]
    free: Mapping[str, int]
    one_at_a_time: bool
    reason: str


def requirements(subject: Subject) -> Needs:
    """The memory that a bench of these models takes.

    Raises CheckpointError as loading does, and RunError for a base that memory does not hold.
    """
    study, family = subject.study, subject.family
    trusted = study.models.trust_remote_code
    shares = loading.placement_of(family.base, study.run, trust_remote_code=trusted)
    _refuse_offloaded(shares)
    apart = Counter({share.device: share.nbytes for share in shares})
    together = Counter({device: 2 * nbytes for device, nbytes in apart.items()})
    together["cpu"] += sum(map(stored, family.tuned.values()))
    free = {device: _free(device) for device in together}
    lacking = [d for d, nbytes in together.items() if nbytes > USABLE * free[d]]
    if lacking and isinstance(family.base.checkpoint, Adapter):
        lacking, reason = [], "All models are in memory together, since the base is an adapter."
    elif lacking:
        device = lacking[0]
        reason = (
            f"{device} has {size(free[device])} free, and all models together take "
            f"{size(together[device])}: one model is in memory at a time, and the others are read "
            "from disk for each column."
        )
    else:
        reason = "All models are in memory together."
    return Needs(
        together=together, apart=apart, free=free, one_at_a_time=bool(lacking), reason=reason
    )


def _refuse_offloaded(shares: Sequence[DeviceShare]) -> None:
    """Raise RunError if accelerate would offload a part of the base: each pass reads this part
    anew, so other weights can't be written into it. Beside a GPU, the CPU's part is such a part."""
    devices = {share.device for share in shares}
    away = devices & ({"disk"} if devices <= {"cpu", "disk", "mps"} else {"cpu", "disk"})
    if away:
        nbytes = sum(share.nbytes for share in shares if share.device in away)
        where = " and ".join(sorted(away))
        raise RunError(
            f"The memory for models is too small for the bench: {size(nbytes)} of the base would "
            f"be offloaded to {where}, where no other weights can be written.",
            hint="Free memory, raise run.max_memory, or set a smaller run.dtype or "
            "run.device = 'cpu'.",
        )


def _free(device: str) -> int:
    """The free bytes of a device. The disk, for offloaded weights, counts as unlimited."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return memory.of_host() if device != "disk" else 1 << 62
