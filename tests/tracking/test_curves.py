"""Curves out of the histories that stages leave."""

from pathlib import Path

import pytest

from recap.tracking.child_runs import read_curves
from recap.tracking.store import Tag
from recap.tracking.views import STATES

EPOCHS = "epoch,training_loss,learning_rate\n1,2.5,0.1\n2,1.5,0.05\n"
STEPS = "step,epoch,loss,learning_rate\n1,1,3.0,0.2\n2,1,2.0,\n"
PHASES = "phase,step,loss\ncrops,10,4.0\nscenes,20,6.0\n"


def test_steps_go_before_epochs_whatever_the_order() -> None:
    expected = {
        "loss": [(1, 3.0), (2, 2.0)],
        "learning_rate": [(1, 0.2)],
        "training_loss": [(1, 2.5), (2, 1.5)],
    }
    assert read_curves([EPOCHS, STEPS]) == expected
    assert read_curves([STEPS, EPOCHS]) == expected


def test_words_and_tables_without_steps_are_no_curves() -> None:
    assert read_curves([PHASES]) == {"loss": [(10, 4.0), (20, 6.0)]}
    assert read_curves(["", "name,loss\na,1.0\n"]) == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_view_of_curves_leaves_out_what_repeats_another_run(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/store.db")
    experiment = client.create_experiment("recap", tmp_path.as_uri())
    tags = {
        "made": {Tag.STAGE: "train/lstm"},
        "restored, its maker unknown": {Tag.STAGE: "train/rnn", Tag.REUSED: "true"},
        "repeated": {Tag.STAGE: "train/lstm", Tag.REUSED: "true", Tag.ORIGINAL: "made"},
        "scored": {Tag.STAGE: "evaluate/lstm"},
    }
    for name, own in tags.items():
        client.create_run(experiment, run_name=name, tags=own)
    found = client.search_runs([experiment], STATES["curves"]["searchFilter"])
    assert {run.info.run_name for run in found} == {"made", "restored, its maker unknown"}
