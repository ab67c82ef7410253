"""The stage `sanity`: checks gradients, and whether the models can learn captions of this data by heart."""

from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from recap.core.artifacts import write_csv, write_json
from recap.core.feature_files import open_features, read_grid
from recap.progress import track
from recap.sanity.config import SanityConfig
from recap.sanity.gradient_table import gradient_table
from recap.sanity.overfit import BARS, overfit, small_data, true_captions
from recap.text.captions import load_captions


def check_sanity(
    captions_directory: Path, features_path: Path, output: Path, config: SanityConfig
) -> dict[str, Any]:
    """Check gradients, overfit every decoder, and write what came out.

    Args:
        captions_directory: what `tokenize` wrote.
        features_path: features of the training images, one row each.
        output: receives gradients.json, the rows of ``gradient_table``; curves.csv (decoder, step, loss);
            captions.csv (decoder, image, caption, generated), where image is the row of the training image.
        config: the group `sanity`.

    Returns:
        {"gradients": {"checked", "passed", "worst" (error divided by threshold)}, and for each decoder
        {"final_loss", "bar", "passed", "word_for_word" (share of captions that come back)}}.

    Raises:
        InputError: captions or features are absent or unreadable.
    """
    captions = load_captions(captions_directory)
    words = captions.vocabulary.idx_to_word
    places, channels = read_grid(features_path.parent)
    features = open_features(features_path)
    features = features[:, : features.shape[1] - places * channels]
    data, images = small_data(*captions.of("train"), features, words, config.captions, config.seed)
    truth = true_captions(data)
    curves: list[tuple[str, int, float]] = []
    sentences: list[tuple[str, int, str, str]] = []
    with threadpool_limits(1):  # of small products: two threads wait for each other half the time
        gradients = gradient_table()
        metrics: dict[str, Any] = {
            "gradients": {
                "checked": len(gradients),
                "passed": sum(row["passed"] for row in gradients),
                "worst": max(row["error"] / row["threshold"] for row in gradients),
            }
        }
        for decoder, bar in track(BARS.items(), "overfitting"):
            losses, generated = overfit(decoder, data, config.seed)
            curves += [(decoder, step, loss) for step, loss in enumerate(losses, start=1)]
            rows = zip(images.tolist(), truth, generated, strict=True)
            sentences += [(decoder, *row) for row in rows]
            metrics[decoder] = {
                "final_loss": losses[-1],
                "bar": bar,
                "passed": int(losses[-1] < bar),
                "word_for_word": sum(map(str.__eq__, truth, generated)) / len(truth),
            }
    write_json(output / "gradients.json", gradients)
    write_csv(output / "curves.csv", ("decoder", "step", "loss"), curves)
    write_csv(output / "captions.csv", ("decoder", "image", "caption", "generated"), sentences)
    return metrics
