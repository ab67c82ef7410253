"""Runs data stages in forks of a process that has imported them already, so that a run is only its work.

Reads one JSON list a line, [stage, argument, ...], and answers with the process id, then the exit status.
"""

import json
import os
import sys
from pathlib import Path

import torch

from recap.backbones.config import FeaturesConfig
from recap.features.config import ReduceConfig
from recap.features.extraction import Folders, extract
from recap.features.reduce import reduce
from recap.runtime.workers import ALONE
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch


def run_fetch(url: str, raw: str, downloads: str) -> None:
    annotations = f"{url}/annotations_trainval2014.zip"
    coco = CocoConfig(f"{url}/coco_captioning.zip", "any", annotations, annotations)
    config = DataConfig(
        source="coco",
        validation_share=0.1,
        test_share=0.1,
        offline=False,
        language_captions=None,
        images=ImagesConfig(fetch=False, timeout=1.0),
        scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
        coco=coco,
        folder=FolderConfig(images=None, train_captions=None, validation_captions=None, test_captions=None),
    )
    fetch(config, Path(raw), Files(Path(downloads), Path(downloads) / "none.json", offline=False))


def run_extract(raw: str, backbone: str, features: str, work: str) -> None:
    torch.set_num_threads(1)
    config = FeaturesConfig(
        backbone="small_vgg",
        given=None,
        weights=None,
        weights_sha256=None,
        class_names=None,
        batch_size=8,
        threads=1,
        grid=False,
    )
    folders = Folders(Path(raw), Path(backbone), Path(features), Path(work))
    extract(folders, config, torch.device("cpu"), ALONE)


def run_reduce(features: str, reduced: str) -> None:
    reduce(
        Path(features),
        Path("captions of no importance"),
        Path(reduced),
        ReduceConfig(
            enabled=True, components=16, whiten=False, concepts=0, concepts_penalty=0.2, grid_components=64
        ),
        threads=1,
    )


def main() -> None:
    stages = {"fetch": run_fetch, "extract": run_extract, "reduce": run_reduce}
    for line in sys.stdin:
        stage, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                stages[stage](*arguments)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


main()
