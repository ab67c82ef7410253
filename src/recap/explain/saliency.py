"""Saliency maps: the pixels to which a class score is sensitive.

Source: Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", arXiv:1312.6034, section 3.
Shapes: N batch, H and W height and width in pixels.
"""

from torch import Tensor, nn

from recap.explain.class_scores import score_gradients


def compute_saliency_maps(X: Tensor, y: Tensor, model: nn.Module) -> Tensor:
    """Return |d score_y / d x|, maximum over the colour channels: (N, H, W) float32.

    Arguments and errors are those of ``score_gradients``: X are images, y targets.
    """
    gradients, _ = score_gradients(model, X, y)
    return gradients.abs().amax(dim=1)  # (N, 3, H, W) -> (N, H, W)
