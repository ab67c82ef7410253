"""From images to captions: the backbone, the PCA and a decoder, with the options of decoding.

Everything that captions images, or asks why a caption was written, goes through ``Captioner``.
Shapes: N images, S side of the backbone's square input in pixels, D feature, K reduced feature, T tokens of a
caption.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor, nn

from recap.backbones.backbone import Backbone
from recap.backbones.build import WEIGHTS_FILE, load_backbone
from recap.backbones.images import load_images
from recap.core.image_files import ImageSource
from recap.core.input_files import read_json
from recap.decoders.build import load_decoder
from recap.decoders.decoder import Decoder
from recap.decoders.ensemble import Ensemble
from recap.decoding.caption import Caption
from recap.decoding.generate import generate_n_best
from recap.decoding.search import Search
from recap.decoding.searches import make_constraints, make_search
from recap.errors import InputError
from recap.features.familiarity import FILE as FAMILIARITY_FILE
from recap.features.familiarity import Familiarity, load_familiarity
from recap.features.projection import FILE as PROJECTION_FILE
from recap.features.projection import Projection, load_projection
from recap.runtime.setup import check_product
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import END, START, Vocabulary, parse_vocabulary

if TYPE_CHECKING:
    from recap.decoding.config import DecodingConfig

SEEN_AT_ONCE = 32
"""Images that the backbone sees together; more are no faster, and a large one's maps fill the memory."""


@dataclass(frozen=True)
class Captioner:
    """A decoder with all that stands before it and the options of its search.

    Its networks are in evaluation mode, on one device; their weights ask for no gradients afterwards.

    Attributes:
        decoder: one decoder, or an ensemble of several.
        vocabulary: of the decoder.
        decoding: how captions are searched for; None for a captioner that writes none.
        backbone: sees images; None where features are all that is given.
        projection: from features to what the decoder reads, as ``load_projection`` returns it.
        familiarity: knows the images that the decoder was trained on; None where nothing does.
        training: captions and features of the training images, which a consensus may ask.
        batch_size: images that are captioned at once.
        n_best: captions an image that ``caption_n_best`` returns, where the search finds several.

    Raises:
        InputError: the parts are of different runs.
    """

    decoder: Decoder | Ensemble
    vocabulary: Vocabulary
    decoding: "DecodingConfig | None" = None
    backbone: Backbone | None = None
    projection: nn.Module = field(default_factory=nn.Identity)
    familiarity: Familiarity | None = None
    training: CaptionedFeatures | None = None
    batch_size: int = 256
    n_best: int = 1

    def __post_init__(self) -> None:
        for part in (self.decoder, self.projection, self.backbone):
            if part is not None:
                part.requires_grad_(False)
        words, received = self._members[0].scores.out_features, len(self.vocabulary)
        if words != received:
            raise InputError(f"vocabulary: expected the decoder's {words} words, received {received}")
        given, giver = self.feature_dim, "the backbone"
        if isinstance(self.projection, Projection):
            if self.backbone and given != self.backbone.row_dim:
                raise InputError(
                    f"{PROJECTION_FILE}: expected a PCA of the backbone's "
                    f"{self.backbone.row_dim} features, received one of {given}"
                )
            given, giver = self.projection.reduced_dim, "the PCA"
        for member in self._members:
            if (read := member.row_dim) != given:
                raise InputError(
                    f"decoder: expected one that reads the {given} features of {giver}, received {read}"
                )
        if self.familiarity and len(self.familiarity.mean) != given:
            known = len(self.familiarity.mean)
            raise InputError(f"{FAMILIARITY_FILE}: expected one of {given} features, received one of {known}")

    @property
    def feature_dim(self) -> int:
        """D, the width of an image's features before the PCA, those of a grid among them."""
        if isinstance(self.projection, Projection):
            return self.projection.row_dim
        return self.backbone.row_dim if self.backbone else self._members[0].row_dim

    def caption(
        self, images: Sequence[str | ImageSource | ArrayLike], image_ids: Sequence[int] | None = None
    ) -> list[Caption]:
        """Caption images.

        Args:
            images: N, each the path of an image, an open file, an image of Pillow's, or features (D,).
            image_ids: N numbers, by which sampling draws; None for 0 to N - 1.

        Returns:
            Their captions, with the log-probabilities of each and of its words.

        Raises:
            InputError: an image does not decode, features are not D finite numbers, or the products of this
            process come out wrong.
        """
        return self.caption_reduced(self.reduce(images), image_ids)

    def reduce(self, images: Sequence[str | ImageSource | ArrayLike]) -> NDArray[np.float32]:
        """Return what the decoder reads of images, (N, K); arguments as of ``caption``."""
        if isinstance(images, str | Path):
            raise InputError(f"images: expected a list of paths or features, received one path, {images}")
        width, device = self.feature_dim, next(self.decoder.parameters()).device
        features = np.empty((len(images), width), np.float32)
        files: dict[int, ImageSource] = {}
        for row, image in enumerate(images):
            if isinstance(image, Path | str | io.IOBase | Image.Image):
                files[row] = Path(image) if isinstance(image, str) else image
                continue
            features[row] = _numbers(image, width, f"row {row}")
        if files and self.backbone is None:
            raise InputError(f"row {min(files)}: expected features: this pipeline has no backbone")
        rows = list(files)
        with torch.no_grad():
            for first in range(0, len(rows), SEEN_AT_ONCE):
                batch = rows[first : first + SEEN_AT_ONCE]
                assert self.backbone is not None
                pixels = load_images([files[row] for row in batch], self.backbone)  # (N, S, S, 3)
                x = self.backbone.preprocess(pixels.to(device))
                features[batch] = self.backbone.rows(x).cpu().numpy()
            reduced: Tensor = self.projection(torch.from_numpy(features).to(device))
        return reduced.cpu().numpy()

    def caption_reduced(
        self, reduced: NDArray[np.float32], image_ids: Sequence[int] | None = None
    ) -> list[Caption]:
        """Caption images of which the decoder reads (N, K); the rest as ``caption``."""
        return [best for best, *_ in self.caption_n_best(reduced, image_ids)]

    def caption_n_best(
        self, reduced: NDArray[np.float32], image_ids: Sequence[int] | None = None
    ) -> list[list[Caption]]:
        """Return the captions of each image that the search likes best; arguments as ``caption_reduced``."""
        check_product()  # an OpenMP may give fewer threads at any moment
        assert self.decoding is not None
        constraints = make_constraints(self.decoding, self.vocabulary)
        return generate_n_best(
            self.decoder, reduced, self.vocabulary, constraints, self.batch_size, self._search, image_ids
        )

    def is_familiar(self, reduced: NDArray[np.float32]) -> list[bool | None]:
        """Return which images, for the decoder (N, K), are like training images; None: unknown."""
        return self.familiarity.is_familiar(reduced).tolist() if self.familiarity else [None] * len(reduced)

    def see(self, x: Tensor) -> Tensor:
        """Turn preprocessed images into what the decoder reads: (N, 3, S, S) -> (N, K), differentiable."""
        assert self.backbone is not None
        return self.projection(self.backbone.rows(x))

    def score(self, x: Tensor, text: str) -> Caption:
        """Return how likely a given caption is of a preprocessed image, (1, 3, S, S) float32."""
        pieces, tokens = self.vocabulary.read(text)
        with torch.no_grad():
            found = self.log_probabilities(x, torch.tensor([*tokens, END], device=x.device))[0].tolist()
        return Caption(tokens, tuple(found), pieces, self.vocabulary.separator)

    def log_probabilities(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the log-probability of each token of a given caption, given the image and the tokens before.

        Args:
            x: (N, 3, S, S) float32, preprocessed images.
            tokens: (T,) int64, of one caption, without <START>.

        Returns:
            (N, T), in nats, differentiable.
        """
        inputs = torch.cat([tokens.new_tensor([START]), tokens[:-1]])  # (T,)
        scores = self.decoder(self.see(x), inputs.expand(len(x), -1))  # (N, T, V)
        chosen = tokens.view(1, -1, 1).expand(len(x), -1, 1)  # (T,) -> (N, T, 1)
        return scores.log_softmax(dim=2).gather(2, chosen).squeeze(2)

    @cached_property
    def _search(self) -> Search:
        assert self.decoding is not None
        return make_search(self.decoding, self.training, self.n_best)

    @property
    def _members(self) -> list[Decoder]:
        return self.decoder.decoders if isinstance(self.decoder, Ensemble) else [self.decoder]


def _numbers(values: "ArrayLike | ImageSource", width: int, where: str) -> NDArray[np.float32]:
    """Return the features of an image, (D,), where they are D finite numbers."""
    try:
        given = np.asarray(values)
    except ValueError:  # lists of several lengths
        given = np.empty(0, object)
    # NumPy takes true beside numbers for one
    if given.dtype.kind not in "fiu" or (isinstance(values, list | tuple) and bool in map(type, values)):
        raise InputError(f"{where}: expected features as numbers, received others")
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        found = given.astype(np.float32)
    if found.shape != (width,) or not np.isfinite(found).all():
        received = f"{found.size} with {np.isfinite(found).sum()} finite"
        if found.ndim != 1:
            received = f"an array of the shape {found.shape}"
        raise InputError(f"{where}: expected {width} finite features, received {received}")
    return found


def assemble(
    decoders: Sequence[Path],
    vocabulary: Path,
    reduced: Path,
    backbone: Path,
    device: torch.device | str = "cpu",
) -> Captioner:
    """Load a captioner from its files, without options of decoding.

    Args:
        decoders: folders of decoders; several are an ensemble.
        vocabulary: vocabulary.json.
        reduced: the folder with the PCA and with what training images are like, where there are these.
        backbone: its folder; without weights there is no backbone.
        device: where to compute.

    Raises:
        InputError: a file is absent or holds something else, the parts are of different runs, or the products
            of this process come out wrong.
    """
    check_product()
    has_backbone = (backbone / WEIGHTS_FILE).is_file()
    return Captioner(
        load_model(decoders, device),
        parse_vocabulary(read_json(vocabulary), str(vocabulary)),
        backbone=load_backbone(backbone).to(device) if has_backbone else None,
        projection=load_projection(reduced / PROJECTION_FILE).to(device),
        familiarity=load_familiarity(reduced / FAMILIARITY_FILE),
    )


def load_model(folders: Sequence[Path], device: torch.device | str) -> Decoder | Ensemble:
    """Load the decoder of a folder, or the ensemble of several.

    Raises:
        InputError: a folder holds no decoder, or their vocabularies differ in size.
    """
    members = [load_decoder(folder, device) for folder in folders]
    return members[0] if len(members) == 1 else Ensemble(members)
