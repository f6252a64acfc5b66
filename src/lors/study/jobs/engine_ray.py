"""Jobs on a Ray cluster, whose machines see the study's folder, its data and its base model at the same paths."""

import logging
import os
import platform
import secrets
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from lors.base.errors import LorsError, UsageError
from lors.base.files import write_text
from lors.study.jobs.machine import SECONDS_UNTIL_SEEN, lacking, look_around, one_core
from lors.study.jobs.worker import Order, carry_out

_TRIES_ON_LOST_NODES = 5
_TOKEN = ".seen-by-all"
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_ANSWER = 120
_OBJECT_BYTES = 100 << 20


class RayEngine:
    """A task for each job, on one processor or GPU; Ray begins it elsewhere where its machine is lost."""

    def __init__(
        self,
        address: str | None,
        workers: int | None,
        shared: Path,
        needed: Sequence[Path] = (),
        bytes_each: int = 0,
    ) -> None:
        """Connect, and make sure that every machine can do a job.

        Args:
            address: of the cluster, as "10.0.0.1:6379"; None for RAY_ADDRESS, or else a cluster of this machine alone.
            workers: jobs at a time; None for as many as processors (or GPUs, where there are any) and memory allow.
            shared: folder that all machines must see.
            needed: files and folders that all must see, too.
            bytes_each: what a job may need of a machine's memory.

        Raises:
            UsageError: Ray is not installed, no cluster answers, or a machine lacks the folder, a file or this
                version of LoRS; the message names it.
        """
        self._ray = _import_ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address or os.environ.get("RAY_ADDRESS"))
        self._token, self._secret = shared / _TOKEN, secrets.token_hex(16)
        try:
            shared.mkdir(parents=True, exist_ok=True)
            write_text(self._token, self._secret)
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            resources, places = demand([node["Resources"] for node in nodes], bytes_each)
            if not places:
                raise UsageError(
                    "no machine of the Ray cluster has a processor for jobs; start one with --num-cpus."
                )
            self._check(nodes, [str(path) for path in needed])
        except BaseException:
            self.close()
            raise
        self.capacity = min(places, workers or places)
        self._task = self._ray.remote(**resources, max_retries=_TRIES_ON_LOST_NODES)(_carry_out)

    def submit(self, order: Order) -> "Future[dict[str, Any]]":
        """Begin a job on the cluster; the future has its cost, or a LorsError."""
        answer: Future[dict[str, Any]] = Future()

        def pass_on(found: "Future[tuple[bool, Any]]") -> None:
            try:
                done, value = found.result()
            except Exception as error:  # Ray's own: what it tells is for people who know Ray
                first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                answer.set_exception(LorsError(f"Ray gave it up: {first}"))
                return
            if done:
                answer.set_result(dict(value))
            else:
                answer.set_exception(value)

        self._task.remote(order, self._token, self._secret).future().add_done_callback(pass_on)
        return answer

    def close(self) -> None:
        """Leave the cluster, which stops whatever tasks still run."""
        self._token.unlink(missing_ok=True)
        if self._ours:
            self._ray.shutdown()

    def _check(self, nodes: Sequence[Mapping[str, Any]], needed: Sequence[str]) -> None:
        """Raise UsageError with the first machine that cannot do jobs."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=0, max_retries=0)(look_around())
        asked = [
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(self._token, self._secret, needed, SECONDS_UNTIL_SEEN)
            for node in nodes
        ]
        for node, answer in zip(nodes, asked, strict=True):
            name = f"the Ray node {node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
            try:
                found = self._ray.get(answer, timeout=_SECONDS_TO_ANSWER)
            except Exception as error:
                raise LorsError(
                    f"{name} does not answer ({type(error).__name__}); look at `ray status`."
                ) from None
            if mistake := lacking(name, *found):
                raise UsageError(mistake)


def demand(machines: Sequence[Mapping[str, float]], bytes_each: int) -> tuple[dict[str, Any], int]:
    """What a job asks Ray for, and how many such jobs all machines take at a time.

    Args:
        machines: the resources of each, by Ray's names: "CPU", "GPU", "memory" (bytes).
        bytes_each: what a job may need; of machines that are all smaller, it asks for the whole largest.
    """
    if any(one.get("GPU", 0) >= 1 for one in machines):
        places = (min(one.get("GPU", 0), one.get("CPU", 0)) for one in machines)
        return {"num_cpus": 1, "num_gpus": 1}, sum(map(int, places))
    memory = int(min(bytes_each, max((one.get("memory", 0) for one in machines), default=0)))
    if not memory:
        return {"num_cpus": 1}, sum(int(one.get("CPU", 0)) for one in machines)
    places = (min(one.get("CPU", 0), one.get("memory", 0) // memory) for one in machines)
    return {"num_cpus": 1, "memory": memory}, sum(map(int, places))


def _import_ray() -> Any:
    # Set before Ray is loaded, which reads them then.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What Ray would print on this terminal, whatever its log settings: each task that it begins again.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray: Ray is not installed; pip install 'lors[ray]'.") from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "configure_logging": True,
        "logging_level": logging.CRITICAL,
    }
    if address is None:
        ray.init(**quiet, include_dashboard=False, object_store_memory=_OBJECT_BYTES)
        return
    if address != "auto":
        _knock(address)
    try:
        ray.init(address, **quiet)
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"--address {address}: cannot join this Ray cluster ({first}); run lors on one of its machines."
        ) from None


def _knock(address: str) -> None:
    """Raise UsageError where nothing listens: Ray itself tries for minutes, and ends the process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(
            f"--address {address}: expected HOST:PORT of a Ray cluster's head, as 10.0.0.1:6379."
        )
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UsageError(
            f"--address {address}: no Ray cluster answers there ({reason.lower()}); start one with "
            "`ray start --head`."
        ) from None


def _carry_out(order: Order, token: Path, secret: str) -> tuple[bool, Any]:
    """Do the job on a machine of the cluster, one that may have joined after the study began.

    Returns:
        Whether it went well; its cost, or the LorsError.
    """
    needed = [path for paths in order.inputs.values() for path in paths]
    name = f"the Ray node {platform.node()}"
    if mistake := lacking(name, *look_around()(token, secret, needed, SECONDS_UNTIL_SEEN)):
        return False, LorsError(mistake)
    try:
        if os.environ.get("CUDA_VISIBLE_DEVICES"):
            return True, carry_out(order)
        with one_core():
            return True, carry_out(order)
    except LorsError as error:
        return False, error
