"""What a checkpoint holds of a `Trainer`, and how one goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minigan.errors import RunError
from minigan.gan.ema import EMA

if TYPE_CHECKING:
    from minigan.gan.trainer import Trainer

PLAYERS = ("generator", "discriminator")
OPTIMIZERS = ("opt_g", "opt_d")


def state(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that the next steps depend on: arrays, and what JSON can hold."""
    arrays = {f"{player}.{k}": a for player in PLAYERS for k, a in getattr(trainer, player).state_dict().items()}
    found: dict[str, Any] = {
        "config": json.loads(trainer.config.to_json()),
        "before": json.loads(trainer.before.to_json()),
        "step": trainer.done,
        "loader": trainer.loader.state_dict(),
        "data": trainer.fingerprint,
        "noise": trainer.noise.bit_generator.state,
        "snow": trainer.snow.bit_generator.state,
        "rows": trainer.readings.rows,
        "unread": trainer.readings.unread,
        "good": trainer.good,
    }
    if trainer.ema:
        found["ema.count"] = trainer.ema.count
        arrays |= {f"ema.{k}": a for k, a in trainer.ema.module.state_dict().items()}
    for name in OPTIMIZERS:
        for key, value in getattr(trainer, name).state_dict().items():
            (found if key in ("settings", "steps") else arrays)[f"{name}.{key}"] = value
    return arrays, found


def restore(trainer: Trainer, arrays: Mapping[str, Any], state: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """What `state` gave, but for what is to change.

    Raises:
        RunError: data that changed since, and are not among the changes.
    """
    config = trainer.config
    if "data" not in changes and state["data"] != trainer.fingerprint:
        raise RunError(
            f"{config.data} is not what {config.folder} was trained on so far: its images have changed; put the old ones back, "
            f"or say that these are meant with --data {config.data}"
        )
    if {"data", "batch_size"} & set(changes):
        trainer.loader.start(state["loader"]["epoch"])
    else:
        trainer.loader.load_state_dict(state["loader"])
    for player in PLAYERS:
        getattr(trainer, player).load_state_dict(_within(arrays, player))
    for name in OPTIMIZERS:
        optimizer = getattr(trainer, name)
        settings = optimizer.settings
        optimizer.load_state_dict(_within(state, name) | _within(arrays, name))
        optimizer.settings = settings  # as `changes` may have made them
    if trainer.ema and "ema.count" in state:
        trainer.ema.load_state_dict({"count": state["ema.count"], "module": _within(arrays, "ema")})
    elif trainer.ema:
        trainer.ema = EMA(trainer.generator, trainer.ema.decay)
    trainer.noise.bit_generator.state = state["noise"]
    trainer.snow.bit_generator.state = state["snow"]
    trainer.done, trainer.good = state["step"], state["good"]
    trainer.readings.restore(state["rows"], state["unread"])


def _within(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What stands under a prefix, without it."""
    return {key.removeprefix(f"{prefix}."): value for key, value in values.items() if key.startswith(f"{prefix}.")}
