"""A run that is stopped in the middle."""

import signal

import pytest


def stop(trainer, last):
    """Train, with Ctrl-C in the middle of the step `last`, which ends before the run does."""
    plain = trainer.step

    def interrupted():
        if trainer.done + 1 == last:
            signal.raise_signal(signal.SIGINT)
        return plain()

    trainer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.done == last
