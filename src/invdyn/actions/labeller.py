"""`label_dataset`: recordings in, the same with the missing causes out; resumable, never over a measurement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from invdyn.actions.base import InverseModel
from invdyn.actions.confidence import cause_range
from invdyn.actions.engine import Executor, LocalExecutor, Staging
from invdyn.actions.filtering import filter_labels
from invdyn.actions.labelling import Labelling
from invdyn.actions.overlay import with_label
from invdyn.actions.provenance import dataset_identity, model_identity, versions
from invdyn.actions.sliding import BLOCK_BYTES, BLOCK_FRAMES, Stretch, infer_episodes, plan_blocks
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.lerobot_merge import merge_shards
from invdyn.episodes.formats.lerobot_options import LeRobotOptions
from invdyn.episodes.formats.lerobot_shards import has_shard, write_shard
from invdyn.episodes.formats.lerobot_videos import video_origin
from invdyn.episodes.label import label_specs
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.errors import ConfigError, FormatError, SignalError
from invdyn.training.progress import progress as progress_bar
from invdyn.verify.conformal import Calibration
from invdyn.verify.onestep import OneStep
from invdyn.verify.refine import RefineConfig
from invdyn.worlds.base import World
from invdyn.worlds.registry import maker

__all__ = ["LabelReport", "filter_labels", "label_dataset"]

BLOCKS_PER_ITEM = 8
REPLAY_FRAMES = 1024
"""With a world an item of work holds at most so many frames: simulators are slow, and progress should be seen."""
RULE = "interval share of range, divided by 1 + replay residual (version 1)"


@dataclass(frozen=True)
class LabelReport:
    """What was done.

    Args:
        out: the labelled dataset.
        episodes, frames: in it.
        inferred: steps labelled by the model, `refined` ones among them.
        refined: steps corrected by replay.
        measured: steps whose measured value was kept.
        unanswered: steps without a cause (the last ones, missing observations).
        resumed: episodes that a former run had finished.
        already_done: the output was complete before this run, which did nothing.
        seconds: of this run.
        rate: frames labelled per second in this run; 0 where there was nothing left.
        model: id of the model.
    """

    out: Path
    episodes: int
    frames: int
    inferred: int
    refined: int
    measured: int
    unanswered: int
    resumed: int
    already_done: bool
    seconds: float
    rate: float
    model: str

    def __str__(self) -> str:
        told = (
            f"{self.out}: {self.episodes} episodes, {self.inferred} steps inferred, {self.measured} measured ones kept"
        )
        if self.already_done:
            return f"{told}; it was complete already, nothing was done"
        return f"{told}, {self.seconds:.1f} s ({self.resumed} episodes from a former run)"


@dataclass(frozen=True)
class _Job:
    """Everything a worker needs; it can be pickled."""

    source: Dataset
    model: InverseModel
    shards: Staging
    schema: Schema
    labelling: Labelling
    batch_size: int
    device: str
    options: LeRobotOptions
    videos: bool

    @property
    def videos_from(self) -> Dataset | None:
        return self.source if self.videos else None


def label_dataset(
    source: Dataset,
    model: InverseModel,
    out: Path | str,
    *,
    calibration: Calibration | None = None,
    refined_calibration: Calibration | None = None,
    level: float | None = None,
    world: World | Callable[[], World] | None = None,
    refine_above: float | None = None,
    refinement: RefineConfig | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    batch_size: int = 8192,
    device: str = "cpu",
    options: LeRobotOptions | None = None,
    progress: bool = False,
) -> LabelReport:
    """Infer the cause at every step where it was not measured, and write the recordings again with the labels.

    The value stands under the target's own name, `label.<name>.lower, .upper, .source, .residual, .weight` beside it.
    Measured values stay bit for bit (their weight is 1). The last step of an episode gets a label only from a model
    that does not look ahead. Labels that an earlier model inferred are replaced. Videos on disk are taken over as
    they are.

    Killed at any point, the same call continues, and the result is byte for byte that of an uninterrupted one (same
    settings, same versions, same number of threads). On a finished output it does nothing.

    Args:
        source: recordings.
        model: its inputs are signals of the recordings.
        out: folder to make, in the native layout (LeRobotDataset v3.0); grows in `<out>.partial`.
        calibration: of the model; without it `lower` and `upper` are missing.
        refined_calibration: of the model's causes after the same correction by replay (`calibrate_refined`); intervals
            then stand around the corrected values, and are much narrower. Without it they are the model's, widened
            where they do not hold the corrected value: they cover more than their level.
        level: another coverage that the calibration keeps.
        world: replays each cause one step from the recorded state; gives `label.<name>.residual`. A function that makes
            the world when there are several workers.
        refine_above: correct inferred causes whose residual is larger, by replay; their source ends in `+refined`.
        refinement: how they are corrected, and how much is spent on it. With `along` the residual is measured from the
            state that the corrected causes reached, not from the recorded one.
        workers: processes on this machine; a world is then made anew in each, see `worlds.maker`.
        executor: where the work is done instead, see `Executor`.
        batch_size: windows per evaluation of the model.
        device: of the model.
        options: how to write, see `LeRobotOptions`.
        progress: rate and time left on stderr.

    Raises:
        ConfigError: settings that contradict each other; an output or a `.partial` folder of other settings.
        FormatError: something else stands at `out`.
        UnknownNameError, SignalError: recordings that lack an input or have it in another shape or unit.
        EngineError: a disk that is full or may not be written; finished episodes are kept.
    """
    started = time.monotonic()
    out, options = Path(out).absolute(), options or LeRobotOptions()
    executor = LocalExecutor(workers) if executor is None else executor
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}, expected at least 1 window.")
    if refine_above is not None and world is None:
        raise ConfigError(f"refine_above={refine_above} needs a world to replay in. Give the world, or leave it out.")
    if refined_calibration is not None and refine_above is None:
        raise ConfigError("refined_calibration needs refine_above: intervals are of corrected causes. Give both.")
    if isinstance(world, World) and workers > 1:
        world = maker(world)
    target = _checked_target(source, model, calibration, refined_calibration)
    schema = source.schema.updated([target, *label_specs(target).values()])
    staging = Staging(out, {})
    made_by = {
        "model": model_identity(model),
        "source": dataset_identity(source, sorted({*model.inputs, target.name} & set(source.schema))),
        "target": target.name,
        "calibration": None if calibration is None else json.loads(calibration.to_json()),
        "refined_calibration": None if refined_calibration is None else json.loads(refined_calibration.to_json()),
        "level": level,
        "world": None if world is None else _world_name(world),
        "refine_above": refine_above,
        "refinement": repr(refinement or RefineConfig()),
        "batch_size": batch_size,
        "weight": RULE,
        "options": repr(options),
        "versions": versions(),
    }
    staging = replace(staging, fingerprint=json.loads(json.dumps(made_by)))
    record = staging.finished()
    if record is not None:
        staging.clear()  # a former run may have been killed between the rename and this
        return _report(out, source, model, [record["counts"]], len(source), True, started, 0)
    model = model.to(device).eval()
    job = _Job(
        source,
        model,
        staging,
        schema,
        Labelling(
            target,
            cause_range(source, target),
            f"inferred:{model.model_id}",
            calibration=calibration,
            refined_calibration=refined_calibration,
            level=level,
            world=world,
            scale=None if world is None else _residual_scale(world, source),
            refine_above=refine_above,
            refinement=refinement or RefineConfig(),
        ),
        batch_size,
        device,
        options,
        _has_videos(source),
    )
    with staging.opened():
        done = {i for i in range(len(source)) if has_shard(staging.shards, i)}
        items = [i for i in _items(job) if any(s.episode not in done for block in i for s in block)]
        total = int(source.lengths.sum())
        before = int(source.lengths[sorted(done)].sum())

        def far() -> str:
            finished = sum(has_shard(staging.shards, i) for i in range(len(source)))
            return f"{finished} of {len(source)} episodes are done and kept."

        with (
            staging.writing(far),
            progress_bar(total, "labelling", enabled=progress, unit="frames", done=before) as bar,
        ):
            for frames in executor.map(partial(_label_item, job), items):
                bar.advance(frames)
        with staging.writing(far):
            facts = [staging.noted(i) for i in range(len(source))]
            counts = {key: sum(f[key] for f in facts) for key in ("inferred", "refined", "measured", "unanswered")}
            merge = partial(
                merge_shards,
                staging.shards,
                schema=schema,
                episodes=len(source),
                options=options,
                videos_from=job.videos_from,
            )
            staging.publish(lambda path: merge(path=path), {"counts": counts})
    return _report(out, source, model, [counts], len(done), False, started, total - before)


def _checked_target(source: Dataset, model: InverseModel, *calibrations: Calibration | None) -> SignalSpec:
    """The spec under which the cause is written: the recordings' own where they have one."""
    where = source.source.origin
    specs = {s.name: s for s in getattr(model, "input_specs", ())}
    for name in model.inputs:
        spec = source.schema[name]
        known = specs.get(name)
        if known is not None and not _alike(spec, known):
            raise SignalError(
                f"{where}: {name!r} has shape {spec.shape} and unit {spec.unit!r}, the model was trained on "
                f"{known.shape} and {known.unit!r}. Use recordings of the same kind, or fit a model on these."
            )
    target = source.schema.get(model.target.name, model.target)
    if not _alike(target, model.target):
        raise SignalError(
            f"{where}: {target.name!r} has shape {target.shape} and unit {target.unit!r}, the model infers "
            f"{model.target.shape} in {model.target.unit!r}. Fit a model on recordings of this kind."
        )
    for calibration in calibrations:
        if calibration is not None and len(calibration.floor) != target.size:
            raise SignalError(
                f"the calibration is of {len(calibration.floor)} dimensions, {target.name!r} has {target.size}. "
                "Use the calibration that was made with the model."
            )
    return target


def _alike(one: SignalSpec, other: SignalSpec) -> bool:
    """Same shape, and no units that contradict each other (an empty one is unknown)."""
    return one.shape == other.shape and (one.unit == other.unit or not (one.unit and other.unit))


def _world_name(world: World | Callable[[], World]) -> str:
    """Its id; a function's own name would differ from run to run."""
    if isinstance(world, World):
        return world.name
    made = world()
    try:
        return made.name
    finally:
        made.close()


def _residual_scale(world: World | Callable[[], World], source: Dataset) -> np.ndarray:
    own = world if isinstance(world, World) else world()
    try:
        return OneStep.over(own, source).scale
    finally:
        if own is not world:
            own.close()


def _has_videos(source: Dataset) -> bool:
    """Whether all video cameras stand on disk in the native layout, to be taken over without decoding them."""
    cameras = [s for s in source.schema.signals if s.encoding == "video"]
    try:
        for spec in cameras:
            for index in range(len(source)):
                video_origin(source, index, spec)
    except FormatError:
        return False
    return bool(cameras)


def _items(job: _Job) -> list[list[list[Stretch]]]:
    """Work for the executor: a few blocks, whole episodes; a function of the recordings and settings alone."""
    source, model = job.source, job.model
    size = sum(source.schema[n].size * source.schema[n].numpy_dtype.itemsize for n in model.inputs)
    frames, most = (REPLAY_FRAMES, 1) if job.labelling.world is not None else (BLOCK_FRAMES, BLOCKS_PER_ITEM)
    blocks = plan_blocks(source.lengths, size, frames=frames, size=BLOCK_BYTES)
    items: list[list[list[Stretch]]] = []
    for block in blocks:
        continues = block[0].start > 0
        if items and (continues or len(items[-1]) < most):
            items[-1].append(block)
        else:
            items.append([block])
    return items


def _label_item(job: _Job, item: Sequence[Sequence[Stretch]]) -> int:
    """Label the episodes of one item that have no shard yet; returns their frames."""
    frames = 0
    answers = infer_episodes(job.model, job.source, item, batch_size=job.batch_size, device=job.device)
    for index, answer in answers:
        if has_shard(job.shards.shards, index):
            continue
        episode = job.source[index]
        label, counts = job.labelling.label(index, episode, answer)
        job.shards.note(index, counts)
        labelled = with_label(episode, label, job.labelling.target, job.schema)
        write_shard(job.shards.shards, index, labelled, job.schema, options=job.options, videos_from=job.videos_from)
        frames += episode.length
    return frames


def _report(
    out: Path,
    source: Dataset,
    model: InverseModel,
    counts: Sequence[dict[str, int]],
    resumed: int,
    already: bool,
    started: float,
    frames: int,
) -> LabelReport:
    (c,) = counts
    seconds = time.monotonic() - started
    return LabelReport(
        out,
        len(source),
        source.frames,
        c["inferred"],
        c["refined"],
        c["measured"],
        c["unanswered"],
        resumed,
        already,
        seconds,
        frames / seconds if frames else 0.0,
        model.model_id,
    )
