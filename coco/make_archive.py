"""Make CS231n's archive again, where it cannot be had, from COCO's annotations and features of its images.

    python coco/make_archive.py annotations_trainval2014.zip coco_captioning.zip --images COCO_IMAGES \
        --weights https://download.pytorch.org/models/vgg16-397923af.pth

COCO_IMAGES has the folders train2014 and val2014; ``--features PLACE`` takes features by image id instead, as
``features.given`` of params.yaml does.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from recap.cli.prepare import prepare
from recap.core import paths
from recap.errors import InputError, exit_code

THREADS = 2
"""Whatever the machine has: their number may change a feature's last bits."""


def main(arguments: list[str]) -> None:
    """Make the archive that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("annotations", type=Path, help="annotations_trainval2014.zip, or a zip of its files")
    parser.add_argument("archive", type=Path, help="a new file, such as coco_captioning.zip")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, help="folder with COCO's train2014 and val2014")
    source.add_argument("--features", type=Path, help="features by image id, in the place of images")
    parser.add_argument("--weights", help="path or URL of the backbone's weights (beside --images)")
    parser.add_argument("--backbone", default="vgg16", help="what sees the images (default: vgg16)")
    options = parser.parse_args(arguments)
    for path in filter(None, (options.annotations, options.images, options.features)):
        if not path.exists():  # before weights are fetched
            raise InputError(f"{path}: expected a file or folder, received none")
    device = prepare()  # libraries that compute are loaded after it
    import torch

    from coco_archive import Seen, make_archive
    from coco_captions import rebuild_captions
    from recap.backbones.config import FeaturesConfig
    from recap.core.config import parse
    from recap.sources.download import Files

    features = options.features
    if features is None:
        torch.set_num_threads(THREADS)
        values = {"backbone": options.backbone, "weights": options.weights, "batch_size": 64, "grid": False}
        values |= {"threads": THREADS} | dict.fromkeys(("given", "weights_sha256", "class_names"))
        config = parse("features", values, FeaturesConfig)
        files = Files(paths.DOWNLOADS, paths.REGISTRY, False)
        features = Seen(options.images, config, files, paths.SHARDS / "archive", device)
    with tempfile.TemporaryDirectory(prefix="coco-captions-") as folder:
        captions = rebuild_captions(options.annotations, Path(folder))
        found = make_archive(Path(folder), features, options.archive)
    for part in ("train", "val"):
        print(f"{part}: {found[part]:,} images, {captions[part]:,} captions")
    print(f"{options.archive}: {captions['vocabulary']:,} words, {found['feature_dim']:,} features")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
