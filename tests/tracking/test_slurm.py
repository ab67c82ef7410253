"""Experiments as jobs of a real Slurm: whatever ends a job, its experiment ends with a quiet run's bytes.

``RECAP_TEST_KILLS=30 RECAP_TEST_JOBS=8`` makes it longer.
"""

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML
from tests.faults.test_random_kills import SMALLER
from tests.faults.test_training_kills import OFTEN
from tests.pipeline.test_pipeline import ROOT, change_params, copy_checkout, git
from tests.tracking.servers import KEYS, real_server

from recap.experiments.experiment import find_experiments
from recap.workspace.git import ask_git

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SCRIPT = "cluster/experiment.sbatch"
KILLS = int(os.environ.get("RECAP_TEST_KILLS", "4"))
JOBS = int(os.environ.get("RECAP_TEST_JOBS", "4"))
LIVING = ("PENDING", "RUNNING", "COMPLETING")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=15
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=5
MinJobAge=86400
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=test Nodes=ALL Default=YES
"""


class Cluster:
    """A Slurm of one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ) | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment.pop("DVC_ROOT", None)

    def call(self, *command: str, folder: Path | None = None, **variables: str) -> str:
        environment = self.environment | variables
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout

    def submit(self, root: Path, *arguments: str, **variables: str) -> str:
        options = ("--parsable", "--cpus-per-task=1", "--mem=0", f"--output={self.folder}/job-%j.txt")
        script = str(ROOT / SCRIPT)
        return self.call("sbatch", *options, script, *arguments, folder=root, **variables).strip()

    def state(self, job: str) -> str:
        facts = self.call("scontrol", "--oneliner", "show", "job", job).split()
        return next(fact.removeprefix("JobState=") for fact in facts if fact.startswith("JobState="))

    def said(self, job: str) -> str:
        path = self.folder / f"job-{job}.txt"
        return path.read_text() if path.exists() else ""

    def go_on(self, job: str) -> None:
        """Queue a job again that has ended; it starts when its credential of before has expired."""
        until = time.monotonic() + 600
        while (state := self.state(job)) != "PENDING":
            assert time.monotonic() < until, f"{job}: {state}\n{self.said(job)}"
            if state not in ("RUNNING", "COMPLETING"):
                self.call("scontrol", "requeue", job)
            time.sleep(0.5)

    def processes(self, job: str) -> list[psutil.Process]:
        """The processes of a job, with Slurm's own that watches over it."""
        for process in psutil.process_iter():
            try:
                if " ".join(process.cmdline()).startswith(f"slurmstepd: [{job}.batch]"):
                    return [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        return []


@contextmanager
def served(
    command: list[str], log: Path, environment: dict[str, str], is_up: Callable[[], object]
) -> Iterator[None]:
    """A server that runs within the context."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, start_new_session=True, cwd=log.parent
        )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                is_up()
                break
            except (OSError, AssertionError):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture
def cluster(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Cluster]:
    if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"needs {', '.join(absent)}, which are absent (apt-get install slurm-wlm munge)")
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(
        host=host, controller=free_port(), daemon=free_port(), user=getpass.getuser(), folder=folder
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    munge += [f"--key-file={folder}/key", f"--socket={folder}/munge.socket"]
    found = Cluster(folder)

    def is_idle() -> None:
        assert "idle" in found.call("sinfo", "--noheader", "--format=%T")

    with ExitStack() as stack:
        for command, is_up in (
            (["munged", "--foreground", "--force", *munge], lambda: (folder / "munge.socket").stat()),
            (["slurmctld", "-D"], lambda: found.call("sinfo")),
            (["slurmd", "-D", "-N", host], is_idle),
        ):
            stack.enter_context(served(command, folder / f"{command[0]}.txt", found.environment, is_up))
        yield found
        found.call("scancel", "--user", getpass.getuser())
        time.sleep(1)


@pytest.fixture
def store(tmp_path: Path, free_port: Callable[[], int], postgresql: str, s3: str) -> Iterator[str]:
    """The address of a server of MLflow on PostgreSQL, which keeps artifacts in S3."""
    port, environment = free_port(), os.environ | KEYS | {"MLFLOW_S3_ENDPOINT_URL": s3}
    with real_server(port, tmp_path, environment, postgresql, "s3://outputs/artifacts"):
        yield f"http://127.0.0.1:{port}"


def recorded(root: Path) -> dict[str, bytes]:
    """The dvc.lock of every experiment of a checkout."""
    found = find_experiments(root).items()
    return {name: ask_git(root, "show", f"{revision}:dvc.lock") for name, revision in found}


def test_the_script_runs_in_a_plain_shell_and_runs_what_is_there_no_second_time(
    make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    kept, clones = checkout.root / ".recap" / "jobs", checkout.root / ".recap" / "clones"
    script = ["bash", str(ROOT / SCRIPT)]
    variables = {"SLURM_SUBMIT_DIR": str(checkout.root), "SLURM_JOB_ID": "1"}
    assert "expected sbatch cluster/experiment.sbatch" in checkout.call(*script, code=1, **variables).stderr
    assert "expected the address of a server" in checkout.call(*script, "wide", code=1, **variables).stderr
    variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/store.db"
    for name in ("a/b", "wide*", "-wide", "a..b", "wide.lock"):
        expected = f"expected a name of letters, digits and any of . _ = -, received {name}\n"
        assert checkout.call(*script, name, code=1, **variables).stderr == expected
    inside = variables | {"SLURM_SUBMIT_DIR": str(checkout.root / "stages")}
    said = checkout.call(*script, "wide", code=1, **inside).stderr
    assert said.endswith(f"where dvc.yaml is, received {checkout.root}/stages\n")
    assert not (checkout.root / "stages" / ".recap").exists()
    assert not kept.exists()
    arguments = ("wide", "-S", "train.lstm.width=7", "evaluate")
    assert "train@lstm" in checkout.call(*script, *arguments, **variables).stdout
    assert "width: 7" in checkout.git("show", f"{find_experiments(checkout.root)['wide']}:params.yaml")
    (clones / "wide").mkdir()  # what a kill left
    there = f"wide: is there already, from commit {checkout.git('rev-parse', 'HEAD')[:8]}\n"
    assert checkout.call(*script, *arguments, **variables).stdout == there
    assert checkout.git("status", "--short") == ""
    assert [*clones.iterdir(), *kept.iterdir()] == []
    waiting = kept / "wide" / "runs" / "1.jsonl"  # of a job that was cancelled, before another way made it
    waiting.parent.mkdir(parents=True)
    waiting.touch()
    assert checkout.call(*script, *arguments, **variables).stdout == there
    waiting.unlink()
    for name, code in {"README.md": 0, "stages/report.py": 1}.items():
        with open(checkout.root / name, "a") as file:
            file.write("\n")
        commit = checkout.commit()
        result = checkout.call(*script, *arguments, code=code, **variables)
        assert result.stdout == there
        said = f"wide: expected the code of the last commit, {commit[:8]}, received other code; "
        assert result.stderr == code * f"{said}take another name, or first: dvc exp remove wide\n"
        assert [*clones.iterdir(), *kept.iterdir()] == []
    checkout.dvc("exp", "remove", "wide")
    assert "reused: wide: evaluate/lstm" in checkout.call(*script, *arguments, **variables).stdout
    # what an experiment computed, another takes
    said = checkout.call(*script, "again", "-S", "train.lstm.width=8", "evaluate", **variables).stdout
    assert "Running stage 'train@lstm'" in said
    assert "Running stage 'fetch'" not in said


def test_what_a_job_takes_from_the_cache_is_in_mlflow_once(
    make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    checkout.dvc("repro", RECAP_TRACKING="off")
    checkout.commit()
    checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/store.db"
    variables = {"SLURM_SUBMIT_DIR": str(checkout.root), "SLURM_JOB_ID": "1"}
    wide = ("-S", "train.lstm.width=7")
    for name, settings in {"as-committed": (), "wide": wide, "again": wide}.items():
        checkout.call("bash", str(ROOT / SCRIPT), name, *settings, "evaluate", **variables)
    runs = checkout.runs()
    found = {run.info.run_name: run for run in runs.parents}
    assert sorted(run.info.run_name for run in runs.parents) == ["again", "as-committed", "wide"]
    assert set(runs.children(found["again"])) == set(runs.children(found["wide"]))
    assert found["again"].data.metrics["lstm.cider_d"] == 0.7
    # the checkout has nothing to add but its own pipeline
    assert {line.partition(" ")[2][:8] for line in checkout.sync().stdout.splitlines()} == {"pipeline"}
    assert len(checkout.runs().parents) == len(found) + 1
    assert checkout.sync().stdout == ""


def test_what_a_cancelled_or_failed_job_left_ends_with_the_next_sync(
    cluster: Cluster, make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store.db"}
    long = variables | {"RECAP_LIVE_SECONDS": "1", "STEP_SECONDS": "60"}
    checkout.environment |= variables
    job = cluster.submit(checkout.root, "cut", "-S", "train.lstm.width=7", "evaluate", **long)

    def statuses() -> dict[str, str]:
        return {run.info.run_name: run.info.status for run in checkout.runs().all}

    def wait(is_true: Callable[[], bool]) -> None:
        until = time.monotonic() + 120
        while not is_true():
            assert time.monotonic() < until, cluster.said(job)
            time.sleep(0.5)

    wait((tmp_path / "store.db").exists)
    wait(lambda: "train/lstm" in statuses())
    assert checkout.sync().stdout == ""
    assert statuses() == {"cut": "RUNNING", "train/lstm": "RUNNING"}, "a job that runs is left alone"
    cluster.call("scancel", job)
    wait(lambda: cluster.state(job) == "CANCELLED" and not cluster.processes(job))
    checkout.sync()
    ends = statuses()
    trained = ends["train/lstm"]
    assert trained in ("FAILED", "KILLED")
    assert ends == {"cut": trained, "fetch": "FINISHED", "train/lstm": trained}
    clones = checkout.root / ".recap" / "clones"
    assert list(clones.iterdir()) == []

    job = cluster.submit(checkout.root, "wrong", "-S", "train.lstm.width=0", "evaluate", **variables)
    wait(lambda: cluster.state(job) == "FAILED")
    assert list(clones.iterdir()) == []
    checkout.sync()
    (parent,) = [run for run in checkout.runs().parents if run.info.run_name == "wrong"]
    (training,) = checkout.runs().children(parent)["train/lstm"]
    assert "expected a positive number" in training.data.tags["recap.reason"]

    job = cluster.submit(checkout.root, "cut", "-S", "train.lstm.width=7", "evaluate", **variables)
    wait(lambda: cluster.state(job) == "COMPLETED")
    found = checkout.runs()
    (parent,) = [run for run in found.parents if run.info.run_name == "cut"]
    children = found.children(parent)
    assert [run.info.status for run in children["train/lstm"]] == ["FINISHED", trained]
    assert [run.info.status for run in children["fetch"]] == ["FINISHED"]


def lose_the_node(cluster: Cluster, job: str) -> None:
    for process in cluster.processes(job):
        kill(process)
    cluster.call("scontrol", "requeue", job)


def kill_innermost(cluster: Cluster, job: str) -> None:
    """Kill what the others wait for, such as a stage."""
    process = cluster.processes(job)[1]
    while children := process.children():
        process = children[0]
    kill(process)


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


WAYS: dict[str, Callable[[Cluster, str], object]] = {
    "preempted": lambda cluster, job: cluster.call("scontrol", "requeue", job),
    "near the time limit": lambda cluster, job: cluster.call("scancel", "--signal=USR1", "--batch", job),
    "all ended": lambda cluster, job: cluster.call("scancel", "--signal=TERM", "--full", job),
    "node lost": lose_the_node,
    "innermost killed": kill_innermost,
}


@pytest.mark.long
@pytest.mark.timeout(0)
def test_jobs_that_are_killed_go_on_and_end_with_the_bytes_of_a_quiet_run(
    cluster: Cluster, store: str, open_runs: Any, tmp_path: Path
) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "often").mkdir()
    (tmp_path / "often" / "sitecustomize.py").write_text(OFTEN)
    root = copy_checkout(tmp_path / "checkout")
    change_params(root, SMALLER | {"decoders": {"names": ["lstm"], "lstm": {"epochs": 20}}})
    yaml = YAML()
    pipeline = yaml.load(root / "dvc.yaml")
    for stage in ("sanity", "visualize", "report"):  # which compute long, and no seed changes them
        del pipeline["stages"][stage]
    yaml.dump(pipeline, root / "dvc.yaml")
    variables = {"PYTHONPATH": str(tmp_path / "often"), "RECAP_TRACKING": "off"}
    python = (sys.executable, "-m")
    cluster.call(*python, "dvc", "repro", "reduce", folder=root, **variables)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Smaller, and what all experiments share")
    seeds = {f"seed-{seed}": ("-S", f"train.seed={seed}") for seed in range(1, JOBS + 1)}

    quiet = tmp_path / "quiet"
    git(tmp_path, "clone", "--quiet", str(root), str(quiet))
    shutil.copytree(root / ".dvc" / "cache", quiet / ".dvc" / "cache")
    for name, settings in seeds.items():
        command = (*python, "dvc", "exp", "run", "--name", name, *settings)
        cluster.call(*command, folder=quiet, **variables)
    whole = recorded(quiet)
    assert len(set(whole.values())) == JOBS

    variables |= {"MLFLOW_TRACKING_URI": store, "RECAP_LIVE_SECONDS": "1", "RECAP_TRACKING": "on"}
    jobs = {name: cluster.submit(root, name, *settings, **variables) for name, settings in seeds.items()}
    generator, killed = random.Random(231), Counter[str]()
    while killed.total() < KILLS:
        running = [name for name in jobs if cluster.state(jobs[name]) == "RUNNING"]
        name = generator.choice(running or list(jobs))
        way = generator.choice(list(WAYS))
        if killed:
            time.sleep(generator.uniform(0, 30))
        else:  # the first one in a training
            kept = root / ".recap" / "jobs"
            while not (found := list(kept.glob("*/checkpoints/*/*.checkpoint"))):
                time.sleep(0.1)
                assert all(cluster.state(job) in LIVING for job in jobs.values())
            name = aimed = found[0].relative_to(kept).parts[0]
        if all(cluster.state(job) == "COMPLETED" for job in jobs.values()):
            break  # more kills than moments
        if cluster.state(jobs[name]) == "RUNNING" and cluster.processes(jobs[name]):
            WAYS[way](cluster, jobs[name])
            killed[way] += 1
            cluster.go_on(jobs[name])
    while (states := {cluster.state(job) for job in jobs.values()}) & set(LIVING):
        time.sleep(1)
    assert states == {"COMPLETED"}, [cluster.said(job) for job in jobs.values()]
    print(f"{killed.total()} kills: {dict(killed)}")
    assert recorded(root) == whole
    assert "resumed after step" in cluster.said(jobs[aimed])

    runs = open_runs(store)
    assert sorted(run.info.run_name for run in runs.parents) == sorted(jobs)
    stages = {"fetch", "tokenize", "backbone", "extract", "reduce", "train/lstm", "evaluate/lstm"}
    for parent in runs.parents:
        children = runs.children(parent)
        assert set(children) == stages
        assert {own[0].info.status for own in children.values()} == {"FINISHED"}
        assert parent.info.status == "FINISHED"
        assert any(name.startswith("lstm.") for name in parent.data.metrics)
        assert "captions.json" in runs.artifacts(children["evaluate/lstm"][0])
    ends = {run.info.status for run in runs.all}
    assert "RUNNING" not in ends
    assert ends & {"FAILED", "KILLED"}, "the killed stages stay in the record"
