"""The MLflow store: its address, its schema, its experiment, and what is written to a run."""

import getpass
import json
import os
import platform
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from recap.core.artifacts import write_bytes
from recap.errors import InputError
from recap.tracking.views import experiment_tags
from recap.workspace.journal import Point
from recap.workspace.lock_file import digest
from recap.workspace.root import repository_root

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
}
"""Defaults of MLflow's environment variables; those that the user sets stay."""
MOST_RUNS = 50_000  # of one search
PLACES = ("artifact_location", "artifact_uri", "source", "storage_location")
"""Columns of MLflow's database that hold the folder of artifacts, whatever their table."""


class Tag:
    """The names of the tags of runs."""

    FINGERPRINT = "recap.pipeline"
    EXPERIMENT_NAME = "recap.dvc_experiment"
    CHECKOUT = "recap.checkout"
    IDENTITY = "recap.identity"
    STAGES = "recap.stages"
    REVISION = "recap.dvc_revision"
    STAGE = "recap.stage"
    KEY = "recap.key"
    JOURNAL = "recap.journal"
    REASON = "recap.reason"
    REUSED = "recap.reused"
    ORIGINAL = "recap.original_run"
    LACKING = "recap.lacking"
    PARENT = "mlflow.parentRunId"
    COMMIT = "mlflow.source.git.commit"
    DIRTY = "recap.git_dirty"
    NOTE = "mlflow.note.content"


def tracking_uri(environment: Mapping[str, str]) -> str:
    """Return ``MLFLOW_TRACKING_URI`` or the SQLite file at the root; relative addresses begin at the root."""
    given = environment.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if not re.match(r"sqlite:///(?!file:)[^/:]", given):
        return given
    root = str(repository_root(environment)).replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{root}/{given.removeprefix('sqlite:///')}"


def describe_error(error: BaseException, environment: Mapping[str, str]) -> str:
    """Return an error in one line, without the password that the store's address may hold."""
    text = " ".join(str(error).split())
    named = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
    return hide_password(named, environment)[:300]


def warn(error: BaseException, environment: Mapping[str, str]) -> None:
    """Print that a store or a journal failed, which harms no stage."""
    reason = describe_error(error, environment)
    print(f"warning: MLflow: {reason}; the stage goes on, `recap sync` fills in later", file=sys.stderr)


def hide_password(text: str, environment: Mapping[str, str]) -> str:
    """Return a text without the user names and passwords of addresses, and without MLflow's secrets."""
    secrets_of = [environment.get(name, "") for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")]
    # a password may hold any character, a slash or an @ too
    user_part = tracking_uri(environment).partition("://")[2].rpartition("@")[0]
    name, _, password = user_part.partition(":")
    secrets_of.append(password or name)  # a token stands alone
    for secret in secrets_of:
        for form in {secret, unquote(secret)} - {""}:
            text = text.replace(form, "***")
    return re.sub(r"(://)[^/\s'\"]*@", r"\1***@", text)


class Store:
    """A connection to the store and the experiment in it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Connect; make the schema and the experiment where they are absent, one process at a time."""
        import logging

        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow.tracking import MlflowClient

        self.environment = environment
        self.root = repository_root(environment)
        uri, tags = tracking_uri(environment), experiment_tags()
        name = environment.get("MLFLOW_EXPERIMENT_NAME") or "recap"
        database, own = _database(uri), self.root / "mlflow.db"
        beside = (database.parent / "mlartifacts").as_uri() if database else None
        # checkouts that share a server have runs of their own
        named = environment.get("RECAP_CHECKOUT") or f"{_user()}@{platform.node()}:{self.root}"
        self.checkout = "its own" if database == own else named
        with self.lock("store"):
            _create_schema(database)
            self.client: MlflowClient = MlflowClient(uri)
            experiment = self.client.get_experiment_by_name(name) or self.client.get_experiment(
                self.client.create_experiment(name, beside)
            )
        self.experiment = str(experiment.experiment_id)
        old = str(experiment.artifact_location)
        if beside and database == own and beside != old and re.match("file:.*/mlartifacts$", old):
            _follow(own, old, beside)
        for tag in tags.keys() - experiment.tags.keys():  # the user's own views stay
            self.client.set_experiment_tag(self.experiment, tag, tags[tag])

    def lock(self, name: str) -> "BaseFileLock":
        """Return a file lock of this checkout, for a ``with``."""
        from filelock import FileLock

        return FileLock(self.root / ".recap" / f"{name}.lock")

    def search(self, *conditions: str) -> "list[Run]":
        """Return the runs that meet all conditions, the latest start first."""
        wanted, latest = " AND ".join(conditions), ["attributes.start_time DESC"]
        return self.client.search_runs([self.experiment], wanted, max_results=MOST_RUNS, order_by=latest)

    def create_run(self, name: str, moment: int, tags: Mapping[str, str], *identity: str) -> "Run":
        """Make a run that started at a moment; no other run of this checkout has its identity."""
        own = {"mlflow.user": _user(), Tag.CHECKOUT: self.checkout}
        tags = own | {Tag.IDENTITY: digest(self.checkout, *identity), **tags}
        return self.client.create_run(self.experiment, start_time=moment, tags=tags, run_name=name)

    def log(self, run: str, params: Mapping[str, Any], points: Iterable[Point]) -> None:
        """Log params and points of curves; those that the store has already stay."""
        from mlflow.entities import Metric, Param

        texts = [Param(name, str(value)) for name, value in params.items()]
        self.client.log_batch(run, [Metric(*point) for point in points], texts)

    def log_inputs(self, run: str, digests: Mapping[str, str]) -> None:
        """Log data sets: path -> MD5 in dvc.lock."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        tags = [InputTag("mlflow.data.context", "input")]
        data = [
            Dataset(path, md5, "dvc", json.dumps({"path": path, "md5": md5})) for path, md5 in digests.items()
        ]
        self.client.log_inputs(run, [DatasetInput(own, tags) for own in data])


def equals(tag: str, value: str) -> str:
    """Return a search condition on a tag; the value holds no quotes: MLflow cannot escape them."""
    return f"tags.`{tag}` = '{value}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        return str(os.getuid())


def _database(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for another store."""
    return Path(unquote(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:////") else None


def _create_schema(path: Path | None) -> None:
    """Make a new SQLite store beside its place: a migration that is cut short cannot be continued."""
    from mlflow.tracking import MlflowClient

    if path is None or path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="recap-store-") as folder:
        MlflowClient(f"sqlite:///{folder}/schema.db").search_experiments()
        write_bytes(path, Path(folder, "schema.db").read_bytes())


def _follow(path: Path, old: str, new: str) -> None:
    """Point a store that was moved or copied with its checkout to the artifacts beside it."""
    with closing(sqlite3.connect(path)) as database, database:
        columns = (
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        )
        for table, column in database.execute(columns).fetchall():
            if column in PLACES:
                database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
