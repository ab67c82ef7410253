"""Saliency maps: which pixels a class score reacts to.

Source: Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", arXiv:1312.6034, section 3.
Shapes: N batch, H and W height and width in pixels.
"""

from torch import Tensor, nn

from recap.explain.class_scores import score_gradients


def compute_saliency_maps(X: Tensor, y: Tensor, model: nn.Module) -> Tensor:
    """|d score_y / d x|, maximum over the colour channels.

    Args:
        X: (N, 3, H, W) float32, images preprocessed for the model.
        y: (N,) int64, the class index of each image.
        model: a classifier in evaluation mode, (N, 3, H, W) -> logits (N, C).

    Returns:
        (N, H, W) float32, not negative.

    Raises:
        InputError: a class index out of range, images that the model cannot take, or a model without
            gradients.
    """
    gradients, _ = score_gradients(model, X, y)
    return gradients.abs().amax(dim=1)  # (N, 3, H, W) -> (N, H, W)
