"""Where tracking keeps things: the repository's root, the store's address, the queue of journals for it."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote


def repository_root(environment: Mapping[str, str]) -> Path:
    """The checkout that owns the store: DVC's root, also from a temporary workspace of an experiment.

    Outside of a stage it is looked for from the working directory upwards, as DVC and git do.
    """
    if "DVC_ROOT" in environment:
        return Path(environment["DVC_ROOT"]).resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def tracking_uri(environment: Mapping[str, str]) -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite file at the repository's root."""
    return environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root(environment)}/mlflow.db"


def queue_folder(environment: Mapping[str, str]) -> Path:
    """The folder of the journals for this store, named by a hash, because addresses can hold passwords."""
    name = hashlib.sha256(tracking_uri(environment).encode()).hexdigest()[:12]
    return repository_root(environment) / ".recap" / "tracking" / name


def describe_error(error: BaseException, environment: Mapping[str, str]) -> str:
    """An error in one line, without the password that the store's address may hold."""
    return hide_password(f"{type(error).__name__}: {' '.join(str(error).split())}", environment)[:300]


def hide_password(text: str, environment: Mapping[str, str]) -> str:
    """A text without the names and passwords of addresses, and without the secrets that MLflow is given."""
    secrets_of = [environment.get(name, "") for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")]
    name, _, password = _user_part(tracking_uri(environment)).partition(":")
    secrets_of.append(password or name)  # a token stands alone
    for secret in secrets_of:
        for form in {secret, unquote(secret)} - {""}:
            text = text.replace(form, "***")
    return re.sub(r"(://)[^/\s'\"]*@", r"\1***@", text)


def _user_part(address: str) -> str:
    """``name:password`` of an address; a password may hold any sign, a slash and an @ as well."""
    return address.partition("://")[2].rpartition("@")[0]


def write_trouble(queue: Path, reason: str) -> None:
    """Leave word for the stages that the store fails; empty when it does not."""
    (queue / "trouble").write_text(reason, encoding="utf-8")


def read_trouble(queue: Path) -> str:
    """What is wrong with the store as far as the mirror knows, empty when nothing is."""
    try:
        return (queue / "trouble").read_text(encoding="utf-8")
    except OSError:
        return ""


def ask(queue: Path) -> Path:
    """Ask the mirror to bring the store up to date; returns the request, which ``answer`` replies to."""
    request = queue / "requests" / secrets.token_hex(8)
    request.parent.mkdir(parents=True, exist_ok=True)
    request.touch()
    return request


def requests(queue: Path) -> list[Path]:
    """The requests that wait for an answer."""
    folder = queue / "requests"
    return [path for path in folder.iterdir() if not path.suffix] if folder.is_dir() else []


def answer(request: Path, added: list[str], trouble: str) -> None:
    """Reply to a request: what was added, and what went wrong."""
    draft = request.with_suffix(".draft")
    draft.write_text(json.dumps({"added": added, "trouble": trouble}), encoding="utf-8")
    draft.replace(request.with_suffix(".answer"))
    request.unlink(missing_ok=True)


def take_answer(request: Path) -> tuple[list[str], str] | None:
    """The reply to a request, once; None while there is none."""
    path = request.with_suffix(".answer")
    try:
        reply = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    path.unlink()
    return reply["added"], reply["trouble"]
