"""The data stages at the full size of COCO: fetch from a local HTTP server, tokenize, reduce, open.

The stand-in has the official members, shapes and sizes and passes `check: official`. Each step runs in a
process of its own; printed are seconds, throughput, peak memory, and the ratio to `cp` of the same bytes
in the same run. Usage: python benchmarks/data.py [--scale 1.0] [--folder FOLDER]
"""

import argparse
import http.server
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.synthetic_coco import write_synthetic_coco

THREADS = 2
COMPONENTS = 512
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="The data stages at the full size of COCO.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the official images and captions")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder when absent")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _measure(options.step, options.folder, options.server, options.scale)
        return
    with tempfile.TemporaryDirectory(prefix="recap-data-", dir=options.folder) as name:
        folder = Path(name)
        (folder / "served").mkdir()
        handler = partial(_Handler, directory=str(folder / "served"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        print(f"COCO stand-in at scale {options.scale:g}, {THREADS} threads")
        print(f"{'step':22} {'seconds':>8} {'MB':>7} {'MB/s':>7} {'of cp':>6} {'peak MB':>8}  result")
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--folder", name, "--server", address]
            command += ["--scale", str(options.scale)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            _print(step, json.loads(done.stdout), folder)
        server.shutdown()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def _print(step: str, result: dict[str, float | str], folder: Path) -> None:
    megabytes = float(result["bytes"]) / 1e6
    seconds = float(result["seconds"])
    copying = _copy_seconds(folder, int(result["bytes"]))
    print(
        f"{step:22} {seconds:8.1f} {megabytes:7.0f} {megabytes / seconds:7.0f} {seconds / copying:6.1f} "
        f"{result['peak_mb']:8.0f}  {result['result']}",
        flush=True,
    )


def _copy_seconds(folder: Path, count: int) -> float:
    """How long `cp` takes for as many bytes of the archive, at its speed in this run."""
    source, target = folder / "served" / "coco_captioning.zip", folder / "copy"
    start = time.perf_counter()
    subprocess.run(["cp", source, target], check=True)
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds * count / source.stat().st_size


def _measure(step: str, folder: Path, server: str, scale: float) -> None:
    """Run one step and print what it took as JSON."""
    start = time.perf_counter()
    moved, result = STEPS[step](folder, server, scale)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "bytes": moved, "peak_mb": peak, "result": result}))


def _generate(folder: Path, server: str, scale: float) -> tuple[int, str]:
    paths = write_synthetic_coco(folder / "served", scale, seed=0)
    return sum(path.stat().st_size for path in paths), "two archives"


def _fetch(folder: Path, server: str, scale: float) -> tuple[int, str]:
    from recap.core.raw_data import SPLITS
    from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
    from recap.sources.download import Files
    from recap.sources.fetch import fetch

    annotations = f"{server}/annotations_trainval2014.zip"
    archive = f"{server}/coco_captioning.zip"
    config = DataConfig(
        source="coco",
        validation_share=0.1,
        test_share=0.1,
        language_captions=None,
        offline=False,
        images=ImagesConfig(fetch=False, timeout=10.0),
        scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
        coco=CocoConfig(archive, "official" if scale == 1 else "any", annotations, annotations),
        folder=FolderConfig(images=None, train_captions=None, validation_captions=None, test_captions=None),
    )
    files = Files(folder / "downloads", folder / "downloads.json", offline=False)
    summary = fetch(config, folder / "raw", files)
    counts = " + ".join(f"{summary[split]['images']:,}" for split in SPLITS) + " images"
    return sum(path.stat().st_size for path in (folder / "served").iterdir()), counts


def _tokenize(folder: Path, server: str, scale: float) -> tuple[int, str]:
    return _tokens(folder / "raw", folder / "captions")


def _tokenize_text(folder: Path, server: str, scale: float) -> tuple[int, str]:
    """The original captions as a source that is not encoded."""
    from recap.core.raw_data import ANNOTATIONS, SPLITS, Source, write_source

    raw = folder / "raw_text"
    (raw / ANNOTATIONS).mkdir(parents=True)
    for split in SPLITS:
        shutil.copy(folder / "raw" / ANNOTATIONS / f"captions_{split}.json", raw / ANNOTATIONS)
    write_source(raw, Source("folder", False, False, False, False, "original"))
    return _tokens(raw, folder / "captions_text")


def _tokens(raw: Path, captions: Path) -> tuple[int, str]:
    from recap.core.raw_data import SPLITS
    from recap.text.config import TokenizeConfig
    from recap.text.encode import tokenize

    summary = tokenize(
        raw, captions, TokenizeConfig(tokens="word", min_count=5, max_words=None, max_length=17)
    )
    moved = sum(path.stat().st_size for path in raw.glob("annotations/captions_*.json"))
    counts = sum(summary[split]["captions"] for split in SPLITS)
    return moved, f"{counts:,} captions, {summary['vocabulary']:,} words"


def _reduce(folder: Path, server: str, scale: float) -> tuple[int, str]:
    from recap.features.config import ReduceConfig
    from recap.features.reduce import reduce

    features = folder / "raw" / "features"
    config = ReduceConfig(
        enabled=True,
        components=min(COMPONENTS, round(82_783 * scale)),
        whiten=False,
        concepts=0,
        concepts_penalty=0.2,
        grid_components=64,
    )
    summary = reduce(features, folder / "captions", folder / "reduced", config, THREADS)
    moved = sum(path.stat().st_size for path in features.iterdir())
    return (
        moved,
        f"{config.components} components, {100 * summary['explained_variance_ratio']:.1f} % of variance",
    )


def _open(folder: Path, server: str, scale: float) -> tuple[int, str]:
    from recap.core.feature_files import open_features

    before, start = _anonymous_megabytes(), time.perf_counter()
    features = open_features(folder / "raw" / "features" / "train.h5")
    opened = 1000 * (time.perf_counter() - start)
    rows = np.random.default_rng(0).integers(0, len(features), (100, BATCH))
    start = time.perf_counter()
    for batch in rows:
        np.asarray(features[batch])
    reading = 1000 * (time.perf_counter() - start) / len(rows)
    memory = _anonymous_megabytes() - before
    moved = rows.size * features.shape[1] * 4
    return moved, f"opened in {opened:.1f} ms, {memory:.0f} MB anonymous, {reading:.2f} ms a batch of {BATCH}"


def _anonymous_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("expected RssAnon in /proc/self/status")


STEPS: dict[str, Callable[[Path, str, float], tuple[int, str]]] = {
    "generate": _generate,
    "fetch": _fetch,
    "tokenize (encoded)": _tokenize,
    "tokenize (text)": _tokenize_text,
    "reduce": _reduce,
    "open for training": _open,
}


if __name__ == "__main__":
    main()
